import CNubABI
import CNubGuest
import NubCap

/// The caps that a sandbox holds, by hash, in the layout that `nub_abi.h` documents, so that the host can look a hash up
/// without entering the VM.
///
/// When a new cap does not fit, the least recently used go. Caps used since ``beginCall()`` stay, because a function may
/// still hold their bytes.
struct Directory: ~Copyable {
  enum Insertion {
    case inserted
    case alreadyPresent
    /// Everything that could make room is in use by the running call.
    case full
  }

  let header: UnsafeMutablePointer<nub_directory>
  private let entries: UnsafeMutablePointer<nub_directory_entry>
  private let mask: Int
  private let byteLimit: UInt64

  /// A directory of `capacity` entries (a power of two) whose caps' wire forms take at most `byteLimit` bytes.
  init?(capacity: Int, byteLimit: UInt64) {
    let size = MemoryLayout<nub_directory>.size + capacity * MemoryLayout<nub_directory_entry>.size
    // calloc, because in an image it does not write memory that is zero already: an empty directory costs a sandbox's
    // start some microseconds and one page instead of all of its pages.
    guard capacity > 1, capacity & (capacity - 1) == 0, let memory = calloc(1, size) else { return nil }
    header = memory.assumingMemoryBound(to: nub_directory.self)
    entries = (memory + MemoryLayout<nub_directory>.size).assumingMemoryBound(to: nub_directory_entry.self)
    mask = capacity - 1
    self.byteLimit = byteLimit
    header.pointee.magic = NUB_DIRECTORY_MAGIC
    header.pointee.abi_version = NUB_ABI_VERSION
    header.pointee.capacity = UInt32(capacity)
  }

  deinit {
    for slot in 0...mask where entries[slot].state != 0 { releaseBytes(pointer(slot)) }
    releaseBytes(UnsafeMutableRawPointer(header))
  }

  var count: Int { Int(header.pointee.count) }
  var bytes: UInt64 { header.pointee.bytes }

  /// Marks what is used from here on as used by a new call.
  func beginCall() { header.pointee.clock &+= 1 }

  /// The wire form of a cap, which stays where it is until the next ``beginCall()``.
  func find(_ hash: CapHash) -> UnsafeRawBufferPointer? {
    guard let slot = slot(of: hash) else { return nil }
    entries[slot].last_used = header.pointee.clock
    return UnsafeRawBufferPointer(start: pointer(slot), count: Int(entries[slot].length))
  }

  /// Files a copy of `wire`, whose hash the caller has computed.
  func insert(_ hash: CapHash, wire: UnsafeRawBufferPointer) -> Insertion {
    if let slot = slot(of: hash) {
      entries[slot].last_used = header.pointee.clock
      return .alreadyPresent
    }
    let size = UInt64(wire.count)
    guard size <= byteLimit else { return .full }
    // A quarter stays empty, which keeps probe sequences short.
    while UInt64(count) >= UInt64(mask + 1) / 4 * 3 || bytes + size > byteLimit {
      guard evictLeastRecentlyUsed() else { return .full }
    }
    var memory = allocateBytes(max(wire.count, 1), alignment: 16)
    while memory == nil, evictLeastRecentlyUsed() {
      memory = allocateBytes(max(wire.count, 1), alignment: 16)
    }
    guard let memory else { return .full }
    if let source = wire.baseAddress { memory.copyMemory(from: source, byteCount: wire.count) }

    var slot = home(hash)
    while entries[slot].state != 0 { slot = (slot + 1) & mask }
    entries[slot].hash = hash.words
    entries[slot].address = UInt64(UInt(bitPattern: memory))
    entries[slot].length = UInt32(wire.count)
    entries[slot].last_used = header.pointee.clock
    entries[slot].state = 1
    header.pointee.count += 1
    header.pointee.bytes += size
    return .inserted
  }

  /// Removes a cap. False when it was not there.
  func remove(_ hash: CapHash) -> Bool {
    guard let slot = slot(of: hash) else { return false }
    remove(slot: slot)
    return true
  }

  /// Removes every cap and returns how many there were.
  func removeAll() -> UInt64 {
    let before = UInt64(count)
    for slot in 0...mask where entries[slot].state != 0 {
      releaseBytes(pointer(slot))
      entries[slot] = nub_directory_entry()
    }
    header.pointee.count = 0
    header.pointee.bytes = 0
    return before
  }

  // MARK: Slots

  private func home(_ hash: CapHash) -> Int { Int(truncatingIfNeeded: hash.words.0) & mask }

  private func pointer(_ slot: Int) -> UnsafeMutableRawPointer? {
    UnsafeMutableRawPointer(bitPattern: UInt(entries[slot].address))
  }

  private func slot(of hash: CapHash) -> Int? {
    let wanted = hash.words
    var slot = home(hash)
    while entries[slot].state != 0 {
      if entries[slot].hash == wanted { return slot }
      slot = (slot + 1) & mask
    }
    return nil
  }

  /// Removes an entry and moves back those behind it that would no longer be found (Knuth, TAOCP 3, 6.4, algorithm R).
  private func remove(slot start: Int) {
    releaseBytes(pointer(start))
    header.pointee.count -= 1
    header.pointee.bytes -= UInt64(entries[start].length)
    var hole = start
    var slot = start
    while true {
      slot = (slot + 1) & mask
      guard entries[slot].state != 0 else { break }
      let wanted = Int(truncatingIfNeeded: entries[slot].hash.0) & mask
      // It may move when its home is not cyclically between the hole (excluded) and where it is.
      if ((slot - wanted) & mask) >= ((slot - hole) & mask) {
        entries[hole] = entries[slot]
        hole = slot
      }
    }
    entries[hole] = nub_directory_entry()
  }

  private func evictLeastRecentlyUsed() -> Bool {
    var oldest: Int?
    var time = header.pointee.clock
    for slot in 0...mask where entries[slot].state != 0 && entries[slot].last_used < time {
      time = entries[slot].last_used
      oldest = slot
    }
    guard let oldest else { return false }
    remove(slot: oldest)
    header.pointee.evictions &+= 1
    return true
  }
}

func allocateBytes(_ size: Int, alignment: Int) -> UnsafeMutableRawPointer? {
  var memory: UnsafeMutableRawPointer?
  return posix_memalign(&memory, alignment, size) == 0 ? memory : nil
}

func releaseBytes(_ pointer: UnsafeMutableRawPointer?) { free(pointer) }
