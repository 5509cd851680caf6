internal import NubZMQ

/// A job's bytes, at addresses that stay good for as long as the job lives: its id, operand and small bodies in one piece of memory, a
/// large body in libzmq's own frame.
struct JobContent: ~Copyable {
  /// Bodies of more than this stay in their frame; copying fewer bytes costs less than another allocation that a different thread
  /// frees.
  static let copyLimit = 1_024

  // The views point into `memory`, which is allocated once and freed by deinit, or into `frame`, which keeps its bytes where they are.
  private let memory: UnsafeMutableRawPointer
  private let frame: Message?

  let id: UnsafeRawBufferPointer
  let operand: UnsafeRawBufferPointer
  let body: UnsafeRawBufferPointer

  /// Copies everything.
  init(id: UnsafeRawBufferPointer, operand: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer) {
    self.init(id, operand, copied: body, frame: nil)
  }

  /// Takes frame `index` of `message` as the body, without copying it if it is large.
  init(
    id: UnsafeRawBufferPointer, operand: UnsafeRawBufferPointer, bodyFrame index: Int,
    of message: inout InboundMessage
  ) {
    let body = message.frames[index]
    if body.count > Self.copyLimit {
      self.init(id, operand, copied: UnsafeRawBufferPointer(start: nil, count: 0), frame: message.take(index))
    } else {
      self.init(id, operand, copied: body, frame: nil)
    }
  }

  private init(
    _ id: UnsafeRawBufferPointer, _ operand: UnsafeRawBufferPointer, copied: UnsafeRawBufferPointer,
    frame: consuming Message?
  ) {
    let count = id.count + operand.count + copied.count
    memory = .allocate(byteCount: max(1, count), alignment: 16)
    var position = 0
    func place(_ bytes: UnsafeRawBufferPointer, at memory: UnsafeMutableRawPointer) -> UnsafeRawBufferPointer
    {
      let target = memory + position
      if let source = bytes.baseAddress { target.copyMemory(from: source, byteCount: bytes.count) }
      position += bytes.count
      return UnsafeRawBufferPointer(start: target, count: bytes.count)
    }
    self.id = place(id, at: memory)
    self.operand = place(operand, at: memory)
    let small = place(copied, at: memory)
    body = frame?.unsafeBytes ?? small
    self.frame = frame
  }

  deinit {
    memory.deallocate()
  }
}

/// A cap that came with a call, in wire form.
final class AttachedCap: @unchecked Sendable {
  // Fixed from init on; the bytes are never written.
  private let content: JobContent

  init(_ index: Int, of message: inout InboundMessage) {
    let none = UnsafeRawBufferPointer(start: nil, count: 0)
    content = JobContent(id: none, operand: none, bodyFrame: index, of: &message)
  }

  init(copying bytes: UnsafeRawBufferPointer) {
    let none = UnsafeRawBufferPointer(start: nil, count: 0)
    content = JobContent(id: none, operand: none, body: bytes)
  }

  var wire: UnsafeRawBufferPointer { content.body }
}
