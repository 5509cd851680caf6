import NubABI
import Synchronization

/// Memory and breakpoints, while the guest is at rest. What is not marked otherwise is for the debugger's thread.
extension DebugTarget {
  /// Guest memory as the guest's own code sees it, breakpoints left out. As much as there is from `address` on.
  func readMemory(_ address: UInt64, _ count: UInt64) -> [UInt8] {
    locked {
      guard state == .held || state == .stopped else { return [] }
      var bytes: [UInt8] = []
      while UInt64(bytes.count) < count {
        let start = address &+ UInt64(bytes.count)
        let page = min(count - UInt64(bytes.count), MemoryMap.pageSize - start % MemoryMap.pageSize)
        guard let view = unsafe machine.guestBytes(at: start, count: page) else { break }
        unsafe bytes.append(contentsOf: view)
      }
      for (place, byte) in breakpoints where place >= address && place - address < UInt64(bytes.count) {
        bytes[Int(place - address)] = byte
      }
      return bytes
    }
  }

  /// Changes guest memory, code included. False where part of it is not mapped.
  func writeMemory(_ address: UInt64, _ bytes: [UInt8]) -> Bool {
    locked {
      guard state == .held || state == .stopped,
        machine.template.space.locate(address, count: UInt64(bytes.count)) != nil
      else { return false }
      for (index, byte) in bytes.enumerated() {
        let place = address + UInt64(index)
        keepOriginal(place)
        if breakpoints[place] != nil {
          breakpoints[place] = byte
        } else if !patch(place, byte) {
          return false
        }
      }
      return true
    }
  }

  func insertBreakpoint(_ address: UInt64) -> Bool {
    locked {
      guard state == .held || state == .stopped else { return false }
      if breakpoints[address] != nil { return true }
      guard let place = machine.template.space.locate(address, count: 1), place.mapping.isExecutable,
        let byte = unsafe machine.guestBytes(at: address, count: 1)?.first, patch(address, 0xcc)
      else { return false }
      breakpoints[address] = byte
      return true
    }
  }

  func removeBreakpoint(_ address: UInt64) -> Bool {
    locked {
      guard state == .held || state == .stopped else { return false }
      guard let byte = breakpoints.removeValue(forKey: address) else { return true }
      return patch(address, byte)
    }
  }

  private func patch(_ address: UInt64, _ byte: UInt8) -> Bool {
    guard let place = machine.template.space.locate(address, count: 1),
      let view = unsafe machine.view(of: place.mapping)
    else { return false }
    unsafe view[Int(address - place.mapping.virtual)] = byte
    if place.slot == .guest {
      let page = UInt32(place.offset / MemoryMap.pageSize)
      machine.debuggerWrites.withLock { _ = $0.insert(page) }
    }
    return true
  }

  /// Under the lock: the guest's code without breakpoints.
  func removeBreakpoints() {
    for (address, byte) in breakpoints { _ = patch(address, byte) }
    breakpoints = [:]
  }

  /// The sandbox's thread, for a restore: code and what the host has written are again what they were. Breakpoints stay
  /// where a debugger has them.
  func undoWrites() {
    locked {
      for (address, byte) in originalBytes {
        if breakpoints[address] != nil { breakpoints[address] = byte } else { _ = patch(address, byte) }
      }
      originalBytes = [:]
    }
  }

  /// A restore knows what the guest's own pages were; what all sandboxes share, and this one has a copy of, it does not,
  /// nor what the host has written for the guest once and for all.
  private func keepOriginal(_ address: UInt64) {
    guard originalBytes[address] == nil, let place = machine.template.space.locate(address, count: 1),
      place.slot != .guest
    else { return }
    let current = unsafe machine.guestBytes(at: address, count: 1)?.first
    originalBytes[address] = breakpoints[address] ?? current
  }
}
