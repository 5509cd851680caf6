import CNubABI
import NubABI
public import NubCap

extension Sandbox {
  /// Ships a cap to the guest, which decodes, hashes and files it. Returns the hash that the guest computed.
  /// - Throws: ``MachineError/Code/capInvalid`` for a cap that has no wire form (a page that is not loaded, an unresolved
  ///   reference) or breaks a rule of the format; nothing has been sent then.
  public mutating func putCap(_ cap: Cap) throws(MachineError) -> CapHash { try putCap(wireForm(of: cap)) }

  /// Puts a cap whose hash is known, unless the guest's directory already has it. See ``putCap(hash:wire:)``.
  @discardableResult
  public mutating func putCap(hash: CapHash, cap: Cap) throws(MachineError) -> Bool {
    if try directoryContains(hash) { return false }
    return try putCap(hash: hash, wire: wireForm(of: cap))
  }

  private func wireForm(of cap: Cap) throws(MachineError) -> [UInt8] {
    do throws(CapError) {
      return try cap.encoded()
    } catch {
      throw MachineError(.capInvalid, "the cap cannot be sent: \(error)")
    }
  }

  /// Ships a cap's wire form to the guest, which decodes, hashes and files it. Returns the hash that the guest computed.
  public mutating func putCap(_ wire: [UInt8]) throws(MachineError) -> CapHash {
    let answer = try call(FunctionID.putCap, wire)
    guard let hash = CapHash(answer) else {
      throw poisoning(
        MachineError(.protocolViolation, "the guest answered a put with \(answer.count) bytes; expected 32"))
    }
    guard hash != .refused else { throw MachineError(.capInvalid, "the guest could not decode the cap") }
    return hash
  }

  /// Puts a cap whose hash is known, unless the guest's directory already has it.
  /// - Returns: true where it was put, false where it was there.
  /// - Throws: ``MachineError/Code/hashMismatch`` where the guest computes another hash than the claimed one. One of the
  ///   two is wrong, and the sandbox is not used again.
  @discardableResult
  public mutating func putCap(hash: CapHash, wire: [UInt8]) throws(MachineError) -> Bool {
    if try directoryContains(hash) { return false }
    let computed = try putCap(wire)
    guard computed == hash else {
      throw poisoning(
        MachineError(.hashMismatch, "the guest computed the hash \(computed), the claim is \(hash)"))
    }
    return true
  }

  /// True where the guest's directory has the cap. Read from shared memory, without entering the VM.
  public mutating func directoryContains(_ hash: CapHash) throws(MachineError) -> Bool {
    directory?.contains(hash) ?? false
  }

  /// The caps in the directory that calls have used since this was asked before, by the guest's word; none if that, or the sandbox's start,
  /// is less than `interval` ago. Read from shared memory; looks at the whole directory.
  public mutating func usedCaps(every interval: Duration) -> [CapHash] {
    let now = ContinuousClock.now
    guard let directory, now - usesLooked.time >= interval else { return [] }
    let used = directory.used(since: usesLooked.clock)
    usesLooked = (used.clock, now)
    return used.caps
  }

  /// What the guest said about itself when it started; checked then, and kept.
  public func bootInfo() throws(MachineError) -> BootInfo {
    guard let info else { throw MachineError(.poisoned, "the sandbox never started") }
    return info
  }

  func makeDirectoryReader(_ info: BootInfo) throws(MachineError) -> DirectoryReader {
    let size = UInt64(
      MemoryLayout<nub_directory>.size + Int(info.directoryCapacity) * MemoryLayout<nub_directory_entry>.size)
    let bytes: UnsafeRawBufferPointer? =
      switch body {
      case .machine(let machine): unsafe machine.guestBytes(at: info.directoryAddress, count: size)
      case .inProcess:
        unsafe UnsafeRawBufferPointer(
          start: UnsafeRawPointer(bitPattern: UInt(info.directoryAddress)), count: Int(size))
      }
    guard let bytes = unsafe bytes,
      let reader = unsafe DirectoryReader(bytes, capacity: info.directoryCapacity)
    else {
      throw MachineError(
        .imageInvalid, "the guest's directory at \(hexadecimal(info.directoryAddress)) is not one")
    }
    return reader
  }

  /// Puts the sandbox out of service because of `error`.
  mutating func poisoning(_ error: MachineError) -> MachineError {
    poison = error
    return error
  }
}
