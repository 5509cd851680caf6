public import NubCap

/// Why a request of a ``Client`` has no result.
public struct ClientError: Error, Sendable, CustomStringConvertible {
  public enum Code: Hashable, Sendable {
    /// The worker answered with this status.
    case status(JobStatus)
    /// No answer in time. The job may have run: send it again with its id, or ask for its result.
    case timedOut
    /// The task that asked was cancelled. The job itself goes on: ``Client/cancel(_:timeout:)`` stops it.
    case abandoned
    /// The client was closed.
    case closed
    /// The socket could not be made or used.
    case transport
    /// The request could not be sent as it is.
    case invalidArgument
    /// The worker's answer is not what the protocol says.
    case malformedReply
  }

  public let code: Code
  /// What happened, for a person.
  public let message: String
  /// The job it is about.
  public let jobID: JobID?
  /// What the worker said with its status.
  public let meta: ReplyMeta?
  /// With ``JobStatus/capMissing``: put these, then call again with the same id.
  public let missing: [CapHash]
  public let cause: (any Error)?

  init(
    _ code: Code, _ message: String, jobID: JobID? = nil, meta: ReplyMeta? = nil, missing: [CapHash] = [],
    cause: (any Error)? = nil
  ) {
    self.code = code
    self.message = message
    self.jobID = jobID
    self.meta = meta
    self.missing = missing
    self.cause = cause
  }

  /// The worker's status, where it is one.
  public var status: JobStatus? {
    if case .status(let status) = code { status } else { nil }
  }

  public var description: String { message }

  /// The error of a reply whose status is not 0.
  init(_ reply: Reply) {
    var missing: [CapHash] = []
    let text: String
    if reply.status == .capMissing {
      missing = CapHash.list(reply.body) ?? []
      text = "caps are missing: " + missing.map(\.hex).joined(separator: ", ")
    } else {
      text = String(decoding: reply.body, as: UTF8.self)
    }
    let meta = ReplyMeta(json: reply.metaJSON)
    self.init(
      .status(reply.status), "\(reply.status) (\(reply.status.rawValue)): \(text)",
      jobID: JobID(unchecked: reply.id), meta: meta, missing: missing)
  }
}

extension CapHash {
  /// Hashes laid end to end; `nil` when the length is no multiple of 32.
  static func list(_ bytes: [UInt8]) -> [CapHash]? {
    guard bytes.count.isMultiple(of: 32) else { return nil }
    return bytes.withUnsafeBytes { buffer in
      stride(from: 0, to: buffer.count, by: 32).compactMap { start in
        CapHash(UnsafeRawBufferPointer(rebasing: buffer[start..<start + 32]))
      }
    }
  }
}
