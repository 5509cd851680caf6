internal import NubJSON
internal import NubZMQ

/// The frames of nub's job protocol inside an MDP request, as far as a broker looks at them.
///
/// A request that is none is passed on as it is: the broker serves any RFC 7 worker.
struct JobMessage {
  private static let magic = Array("NUB1".utf8)
  /// Frames that may stand in front of `NUB1`, and bytes of each: what a worker accepts, so that both find the same `NUB1`.
  static let envelopeFrames = 8
  private static let envelopeBytes = 1_024

  /// The index of `NUB1` in the message.
  let start: Int
  let id: [UInt8]
  /// The frames in front of `NUB1`, which a reply begins with.
  let envelope: [[UInt8]]
  /// Whether it may run twice without any effect: everything but `call`.
  let isIdempotent: Bool

  /// - Parameter body: the index of the request's first body frame.
  init?(_ message: Multipart, body: Int) {
    let candidates = body..<max(body, min(message.count, body + Self.envelopeFrames + 1))
    guard let start = candidates.first(where: { message.frame($0, equals: Self.magic) }) else { return nil }
    guard (body..<start).allSatisfy({ message.size($0) <= Self.envelopeBytes }) else { return nil }
    guard start + 2 < message.count, (1...64).contains(message.size(start + 2)) else { return nil }
    self.start = start
    id = message[start + 2]
    envelope = (body..<start).map { message[$0] }
    isIdempotent = !message.frame(start + 1, equals: Array("call".utf8))
  }

  /// Statuses that a broker gives itself (the job protocol's table).
  enum Status: UInt32 {
    case badRequest = 1
    case deadlineExceeded = 5
    case tooLarge = 10
    case unavailable = 11
    case unauthorized = 14
  }

  /// The body of a reply that the broker gives in a worker's place.
  func reply(_ status: Status, _ text: String, broker: String, retryAfter: UInt64? = nil) -> [[UInt8]] {
    let number = status.rawValue.littleEndian
    var meta = "{\"worker\":\(JSONString.quoted(broker)),\"engine\":\"broker\",\"sandbox\":0,\"attempt\":0"
    if let retryAfter { meta += ",\"retry_after_ms\":\(retryAfter)" }
    meta += "}"
    return envelope + [
      Self.magic, Array("reply".utf8), id, withUnsafeBytes(of: number) { Array($0) }, Array(text.utf8),
      Array(meta.utf8),
    ]
  }

  /// The body of a reply to a request without a readable id: MDP wants one for every request.
  static func unreadable(_ status: Status, _ text: String) -> [[UInt8]] {
    let number = status.rawValue.littleEndian
    return [
      magic, Array("reply".utf8), [], withUnsafeBytes(of: number) { Array($0) }, Array(text.utf8),
      Array("{}".utf8),
    ]
  }
}

/// Why a broker refuses a job itself.
struct JobRefusal: Error {
  var status: JobMessage.Status
  var message: String
}

extension JobMessage {
  /// Reads the options and makes them name `tenant`, if the producer's key is bound to one.
  ///
  /// - Throws: status 14 when they name another one, 1 when they cannot be understood.
  func enforce(tenant: String?, in message: Multipart) throws(JobRefusal) -> BrokerOptions {
    let frame = start + 5
    if tenant != nil, message.count < frame {
      throw JobRefusal(
        status: .badRequest, message: "a job has at least 5 frames: NUB1, verb, id, operand, body")
    }
    let options: BrokerOptions
    do throws(JSONError) {
      options = try message.withBytes(frame) { (bytes) throws(JSONError) in try BrokerOptions(bytes) }
    } catch {
      throw JobRefusal(status: .badRequest, message: "options: \(error.message)")
    }
    if let tenant {
      try write(Array(tenant.utf8), over: options, in: message, frame)
    }
    return options
  }

  private func write(
    _ tenant: [UInt8], over options: BrokerOptions, in message: Multipart, _ frame: Int
  ) throws(JobRefusal) {
    if let named = options.tenant {
      guard named == tenant else {
        throw JobRefusal(status: .unauthorized, message: "this key may not act for that tenant")
      }
      return
    }
    let member = Array("\"tenant\":\(JSONString.quoted(String(decoding: tenant, as: UTF8.self)))".utf8)
    var text = message[frame]
    if text.isEmpty {
      text = Array("{".utf8) + member + Array("}".utf8)
    } else {
      // Right behind the object's brace, whose place is known.
      text.insert(contentsOf: options.isEmpty ? member : member + Array(",".utf8), at: options.start + 1)
    }
    guard text.count <= BrokerOptions.maximumBytes else {
      throw JobRefusal(status: .badRequest, message: "options: more than 65536 bytes, with the tenant")
    }
    do throws(ZMQError) {
      if frame < message.count { try message.replace(frame, with: text) } else { try message.append(text) }
    } catch {
      // No memory for a few hundred bytes: the producer may try again.
      throw JobRefusal(status: .unavailable, message: "the broker is out of memory")
    }
  }
}
