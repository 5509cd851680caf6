import CNubGuest
import NubABI
import NubCap

/// Caps by hash: from the directory, else through host function 1 from the store.
extension GuestRuntime {
  /// The wire form of a cap, valid until the running call ends. Where nobody has it, the output of `frame` becomes the
  /// hashes that are missing, and the error says so.
  func cap(_ hash: CapHash, for frame: UnsafeMutablePointer<nub_call>) throws(GuestError)
    -> UnsafeRawBufferPointer
  {
    if let wire = directory.find(hash) { return wire }
    let (status, answer) = hash.withUnsafeBytes { hostCall(HostFunctionID.capFetch, $0) }
    guard status == 0 else {
      frame.pointee.output_length = 0
      if status == 1, answer.count > 0, answer.count % CapHash.byteCount == 0 {
        _ = nub_write(frame, answer.baseAddress, answer.count)
      } else {
        _ = hash.withUnsafeBytes { nub_write(frame, $0.baseAddress, $0.count) }
      }
      throw .answered(NUB_STATUS_CAP_MISSING)
    }
    try fileAll(answer)
    guard let wire = directory.find(hash) else { throw .outOfMemory }
    return wire
  }

  /// The bytes of a Data cap.
  func data(_ hash: CapHash, for frame: UnsafeMutablePointer<nub_call>) throws(GuestError)
    -> UnsafeRawBufferPointer
  {
    let wire = try cap(hash, for: frame)
    guard let bytes = CapWire.dataBytes(wire) else {
      throw GuestError(status: NUB_STATUS_CAP_INVALID, message: "the cap is not a Data cap")
    }
    return bytes
  }

  /// Decodes, hashes and files a cap. Its hash, or nil when it is not a valid cap.
  func file(_ wire: UnsafeRawBufferPointer) throws(GuestError) -> CapHash? {
    guard let hash = CapWire.hash(wire) else { return nil }
    guard directory.insert(hash, wire: wire) != .full else { throw .outOfMemory }
    return hash
  }

  /// Files the caps of an answer to host function 1. The first must fit; of the others as many as do.
  private func fileAll(_ answer: UnsafeRawBufferPointer) throws(GuestError) {
    var rest = answer
    var isFirst = true
    while rest.count >= 4 {
      let length = Int(rest.loadUnaligned(as: UInt32.self))
      guard length <= rest.count - 4 else { return }
      let wire = UnsafeRawBufferPointer(rebasing: rest[4..<(4 + length)])
      do throws(GuestError) {
        _ = try file(wire)
      } catch {
        if isFirst { throw error }
        return
      }
      isFirst = false
      rest = UnsafeRawBufferPointer(rebasing: rest[(4 + length)...])
    }
  }
}
