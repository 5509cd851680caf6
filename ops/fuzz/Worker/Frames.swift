/// The decoder of jobs, on messages of any frames. What is accepted is inside the message and its limits, comes back from the envelope,
/// the journal and the options' other form as it was, and a refusal has words.
public func fuzzFrames(_ input: UnsafeRawBufferPointer) {
  var reader = FrameReader(input)
  let flags = reader.byte()
  let prefix = Int(flags & 1)
  let frames = reader.frames(limit: ProtocolLimits.frames + 1)
  var limits = ProtocolLimits()
  if flags & 2 != 0 { limits.bodyBytes = 64 }
  withFrameList(frames) { list in
    // A ROUTER's message has at least its routing id.
    guard list.count >= prefix else { return }
    check(FrameDecoder(limits: limits).decode(list, prefix: prefix, truncated: flags & 4 != 0), list, prefix, limits)
  }
}

private func check(_ decoded: DecodedMessage, _ frames: FrameList, _ prefix: Int, _ limits: ProtocolLimits) {
  switch decoded {
  case .job(let request):
    check(start: request.start, id: request.id, frames, prefix)
    require(request.capFrames.upperBound <= max(frames.count, request.start + 6), "caps outside the message")
    require(request.capCount == 0 || request.verb == .call, "caps without a call")
    require(request.capCount <= ProtocolLimits.caps, "too many caps")
    for index in request.bodyFrame..<frames.count where index != request.start + 5 {
      require(frames[index].count <= limits.bodyBytes, "a frame over the limit")
    }
    check(request.options)
    checkJournal(request, frames, limits)
  case .refused(let refusal):
    check(start: refusal.start, id: refusal.id, frames, prefix)
    require(refusal.status != .ok && !refusal.message.isEmpty, "a refusal without a reason")
  case .unanswerable: break
  }
}

private func check(start: Int, id: ShortBytes, _ frames: FrameList, _ prefix: Int) {
  require(start >= prefix && start <= prefix + ProtocolLimits.envelopeFrames, "an envelope over the limit")
  require(frames[start].elementsEqual("NUB1".utf8), "something else than NUB1")
  require(id.array == [UInt8](frames[start + 2]) && !id.isEmpty, "another id")
  var index = 0
  let envelope = Envelope(frames, count: start)
  let isWhole = envelope.forEachFrame { frame in
    defer { index += 1 }
    return frame.elementsEqual(frames[index])
  }
  require(isWhole && index == start && envelope.frameCount == start, "the envelope comes back as another one")
}

/// Options survive being written down as they were understood.
func check(_ options: JobOptions) {
  require(options.priority <= 9 && options.caps.count <= ProtocolLimits.caps, "options over the limits")
  let text = options.json
  text.withUnsafeBytes { bytes in
    guard let again = try? JobOptions(json: bytes.bytes) else { fatalError("options that were understood are not") }
    require(
      again.deadlineMilliseconds == options.deadlineMilliseconds && again.expiresAtMilliseconds == options.expiresAtMilliseconds
        && again.tenant == options.tenant && again.priority == options.priority && again.fresh == options.fresh
        && again.caps == options.caps && again.traceparent == options.traceparent, "options change when written down")
    require(again.isDefault == options.isDefault, "options change when written down")
  }
}

/// The message as the journal's page describes its blob, and read back.
private func checkJournal(_ request: JobRequest, _ frames: FrameList, _ limits: ProtocolLimits) {
  var blob: [UInt8] = [JournalCodec.version, 7, 0, UInt8(frames.count & 255), UInt8(frames.count >> 8)]
  for index in 0..<frames.count {
    withUnsafeBytes(of: UInt32(frames[index].count).littleEndian) { blob.append(contentsOf: $0) }
    blob.append(contentsOf: frames[index])
  }
  var jobs = 0
  let isWhole = JournalCodec.decode(blob) { door, again in
    jobs += 1
    require(door == 7 && again.count == frames.count, "the journal holds another message")
    for index in 0..<frames.count { require(again[index].elementsEqual(frames[index]), "a frame changes in the journal") }
    // There is no routing id to be told apart there, so a first frame may be taken for the message's start.
    if case .job(let job) = FrameDecoder(limits: limits).decode(again), job.start == request.start {
      require(job.id == request.id && job.verb == request.verb && job.capCount == request.capCount, "another job comes back")
    }
  }
  require(isWhole && jobs == 1, "the journal loses a job")
}

/// A journal's blob, damaged in any way: jobs lie inside it, and what is damaged is said to be.
public func fuzzJournal(_ input: UnsafeRawBufferPointer) {
  let blob = [UInt8](input)
  var bytes = 1
  let isWhole = JournalCodec.decode(blob) { _, frames in
    bytes += 4
    for index in 0..<frames.count { bytes += 4 + frames[index].count }
    require(bytes <= blob.count, "more frames than bytes")
    _ = FrameDecoder(limits: ProtocolLimits()).decode(frames)
  }
  require(!isWhole || bytes == blob.count, "bytes that belong to no job")
}

/// A message's frames, each in memory of exactly its size.
private func withFrameList(_ frames: [UnsafeRawBufferPointer], _ body: (FrameList) -> Void) {
  let areas = frames.map { frame in
    let area = UnsafeMutableRawBufferPointer.allocate(byteCount: frame.count, alignment: 1)
    area.copyMemory(from: frame)
    return UnsafeRawBufferPointer(area)
  }
  defer { for area in areas { UnsafeMutableRawBufferPointer(mutating: area).deallocate() } }
  areas.withUnsafeBufferPointer { body(FrameList($0)) }
}

/// Fuzzed bytes as frames, each after its length in one byte, or in two behind 255.
private struct FrameReader {
  private var rest: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

  mutating func byte() -> UInt8 {
    guard let first = rest.first else { return 0 }
    rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst())
    return first
  }

  mutating func frames(limit: Int) -> [UnsafeRawBufferPointer] {
    var frames: [UnsafeRawBufferPointer] = []
    while !rest.isEmpty, frames.count < limit {
      var size = Int(byte())
      if size == 255 { size = Int(byte()) | Int(byte()) << 8 }
      size = min(size, rest.count)
      frames.append(UnsafeRawBufferPointer(rebasing: rest.prefix(size)))
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(size))
    }
    return frames
  }
}

func require(_ condition: Bool, _ message: @autoclosure () -> String) {
  if !condition { fatalError(message()) }
}
