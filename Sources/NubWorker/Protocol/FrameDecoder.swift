internal import NubCap
internal import NubJSON

/// What a message turned out to be.
enum DecodedMessage {
  case job(JobRequest)
  /// Wrong, but its job id is readable: to be answered.
  case refused(Refusal)
  /// Without a readable job id: counted and dropped.
  case unanswerable(StaticString)
}

/// Decodes the frames of a job (protocol version 1). Pure: no socket, no store, and no allocation for a well-formed job without a
/// `caps` option.
struct FrameDecoder: Sendable {
  var limits: ProtocolLimits

  static let magic: StaticString = "NUB1"

  /// - Parameters:
  ///   - prefix: frames in front that the socket itself added (1 on a ROUTER); they do not count as envelope.
  ///   - truncated: whether frames at the end were dropped because of their number or size.
  func decode(_ frames: FrameList, prefix: Int = 0, truncated: Bool = false) -> DecodedMessage {
    guard let start = findMagic(frames, from: prefix) else {
      return .unanswerable("no NUB1 behind an envelope of at most 8 frames")
    }
    for index in prefix..<start where frames[index].count > ProtocolLimits.envelopeFrameBytes {
      return .unanswerable("an envelope frame of more than 1024 bytes")
    }
    guard start + 2 < frames.count else { return .unanswerable("no job id frame") }
    let idFrame = frames[start + 2]
    guard !idFrame.isEmpty, let id = ShortBytes(idFrame) else {
      return .unanswerable("a job id that is not of 1 to 64 bytes")
    }
    do throws(RequestError) {
      if truncated { throw RequestError(.tooLarge, "the message has too many frames or bytes") }
      return .job(try decode(frames, from: start, id))
    } catch {
      return .refused(Refusal(start: start, id: id, status: error.status, message: error.message))
    }
  }

  private func decode(
    _ frames: FrameList, from start: Int, _ id: ShortBytes
  ) throws(RequestError) -> JobRequest {
    guard let verb = Verb(frames[start + 1]) else { throw RequestError(.badRequest, "unknown verb") }
    guard frames.count >= start + 5 else {
      throw RequestError(.badRequest, "a job has at least 5 frames: NUB1, verb, id, operand, body")
    }
    let capCount = max(0, frames.count - (start + 6))
    guard capCount == 0 || verb == .call else {
      throw RequestError(.badRequest, "\(verb.name) takes no frames after the options")
    }
    guard capCount <= ProtocolLimits.caps else {
      throw RequestError(.badRequest, "more than \(ProtocolLimits.caps) caps")
    }
    for index in start + 4..<frames.count where index != start + 5 && frames[index].count > limits.bodyBytes {
      throw RequestError(
        .tooLarge, "a frame of \(frames[index].count) bytes; the limit is \(limits.bodyBytes)")
    }
    let action = try action(verb, operand: frames[start + 3], body: frames[start + 4])
    let options = try options(frames[start + 5])
    return JobRequest(action: action, id: id, options: options, start: start, capCount: capCount)
  }

  private func findMagic(_ frames: FrameList, from prefix: Int) -> Int? {
    for index in prefix..<min(frames.count, prefix + ProtocolLimits.envelopeFrames + 1) {
      let frame = frames[index]
      guard frame.count == 4 else { continue }
      if frame.bytes.unsafeLoadUnaligned(as: UInt32.self).littleEndian == 0x3142_554E { return index }
    }
    return nil
  }

  private func action(
    _ verb: Verb, operand: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer
  ) throws(RequestError) -> JobRequest.Action {
    switch verb {
    case .call:
      guard operand.count == 4 else {
        throw RequestError(.badRequest, "call: the operand is a function id of 4 bytes, little-endian")
      }
      return .call(function: operand.bytes.unsafeLoadUnaligned(as: UInt32.self).littleEndian)
    case .putCap:
      if operand.isEmpty { return .putCap(claim: nil) }
      guard let claim = CapHash(operand) else {
        throw RequestError(.badRequest, "put_cap: the operand is a hash of 32 bytes, or empty")
      }
      return .putCap(claim: claim)
    case .findMissing:
      try requireEmpty(operand, "find_missing: the operand is empty")
      guard body.count.isMultiple(of: CapHash.byteCount) else {
        throw RequestError(.badRequest, "find_missing: the body is hashes of 32 bytes each")
      }
      return .findMissing
    case .getCap:
      guard let hash = CapHash(operand) else {
        throw RequestError(.badRequest, "get_cap: the operand is a hash of 32 bytes")
      }
      try requireEmpty(body, "get_cap: the body is empty")
      return .getCap(hash)
    case .getResult, .cancel:
      try requireEmpty(operand, "\(verb.name): the operand is empty")
      guard !body.isEmpty, let id = ShortBytes(body) else {
        throw RequestError(.badRequest, "\(verb.name): the body is a job id of 1 to 64 bytes")
      }
      return verb == .cancel ? .cancel(id) : .getResult(id)
    case .ping:
      try requireEmpty(operand, "ping: the operand is empty")
      return .ping
    }
  }

  private func options(_ frame: UnsafeRawBufferPointer) throws(RequestError) -> JobOptions {
    if frame.isEmpty { return JobOptions() }
    guard frame.count <= ProtocolLimits.optionsBytes else {
      throw RequestError(.badRequest, "options of more than \(ProtocolLimits.optionsBytes) bytes")
    }
    do throws(JSONError) {
      return try JobOptions(json: frame.bytes)
    } catch {
      throw RequestError(.badRequest, "options: \(error.message)")
    }
  }

  private func requireEmpty(
    _ frame: UnsafeRawBufferPointer, _ message: @autoclosure () -> String
  ) throws(RequestError) {
    guard frame.isEmpty else { throw RequestError(.badRequest, message()) }
  }
}

/// A status and the reason for it, in words for the producer.
struct RequestError: Error {
  var status: Status
  var message: String

  init(_ status: Status, _ message: String) {
    self.status = status
    self.message = message
  }
}
