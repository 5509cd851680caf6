/// A job's body, at an address that stays good for as long as the job lives: small ones are copied out of libzmq's frame, large ones
/// keep the frame.
struct JobBytes: ~Copyable {
  /// Frames of more than this are kept; copying fewer bytes is cheaper than an allocation that another thread frees.
  static let copyLimit = 1_024

  private enum Owner: ~Copyable {
    case none
    case memory(UnsafeMutableRawPointer)
    case frame(Message)
  }

  // `view` points into what `owner` owns: malloc'ed memory, or the heap part of a frame of more than 33 bytes. Neither moves.
  private let owner: Owner
  let view: UnsafeRawBufferPointer

  /// A copy of `bytes`.
  init(copying bytes: UnsafeRawBufferPointer) {
    guard !bytes.isEmpty else {
      owner = .none
      view = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 16)
    memory.copyMemory(from: bytes.baseAddress.unsafelyUnwrapped, byteCount: bytes.count)
    owner = .memory(memory)
    view = UnsafeRawBufferPointer(start: memory, count: bytes.count)
  }

  /// Frame `index` of `message`.
  static func frame(_ index: Int, of message: inout InboundMessage) -> JobBytes {
    let bytes = message.frames[index]
    return bytes.count > copyLimit ? JobBytes(keeping: message.take(index)) : JobBytes(copying: bytes)
  }

  private init(keeping frame: consuming Message) {
    var frame = frame
    view = frame.bytes()
    owner = .frame(frame)
  }

  deinit {
    if case .memory(let memory) = owner { memory.deallocate() }
  }
}
