internal import Foundation

/// What a reply says about how it came about. Every field is optional: older and newer workers say less or more.
public struct ReplyMeta: Codable, Hashable, Sendable {
  public var worker: String?
  /// `kvm` or `inprocess`.
  public var engine: String?
  public var sandbox: UInt64?
  public var attempt: Int?
  /// Whether it was answered from the store, and nothing ran.
  public var duplicate: Bool?
  /// Microseconds between arrival and start.
  public var queuedMicroseconds: UInt64?
  /// Microseconds in the function.
  public var runMicroseconds: UInt64?
  /// The function's own status, with ``JobStatus/guestError``.
  public var guestStatus: UInt32?
  /// Milliseconds to wait before sending again, with ``JobStatus/unavailable``.
  public var retryAfterMilliseconds: UInt64?
  /// Of a put: how many of the caps that the cap refers to the worker does not have; nil for none.
  public var missingReferences: UInt64?

  enum CodingKeys: String, CodingKey {
    case worker, engine, sandbox, attempt, duplicate
    case queuedMicroseconds = "queued_us"
    case runMicroseconds = "run_us"
    case guestStatus = "guest_status"
    case retryAfterMilliseconds = "retry_after_ms"
    case missingReferences = "missing_refs"
  }

  public init() {}

  /// Reads the meta frame. What cannot be read is absent: a reply is not lost for its decoration.
  init(json: [UInt8]) {
    self = (try? JSONDecoder().decode(ReplyMeta.self, from: Data(json))) ?? ReplyMeta()
  }

  public init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: CodingKeys.self)
    worker = try? fields.decodeIfPresent(String.self, forKey: .worker)
    engine = try? fields.decodeIfPresent(String.self, forKey: .engine)
    sandbox = try? fields.decodeIfPresent(UInt64.self, forKey: .sandbox)
    attempt = try? fields.decodeIfPresent(Int.self, forKey: .attempt)
    duplicate = try? fields.decodeIfPresent(Bool.self, forKey: .duplicate)
    queuedMicroseconds = try? fields.decodeIfPresent(UInt64.self, forKey: .queuedMicroseconds)
    runMicroseconds = try? fields.decodeIfPresent(UInt64.self, forKey: .runMicroseconds)
    guestStatus = try? fields.decodeIfPresent(UInt32.self, forKey: .guestStatus)
    retryAfterMilliseconds = try? fields.decodeIfPresent(UInt64.self, forKey: .retryAfterMilliseconds)
    missingReferences = try? fields.decodeIfPresent(UInt64.self, forKey: .missingReferences)
  }
}

/// What a worker says of itself when it is pinged.
public struct WorkerInfo: Sendable {
  /// A function of the guest image.
  public struct Function: Codable, Hashable, Sendable {
    public let id: UInt32
    public let name: String
  }

  public let version: String?
  public let worker: String?
  /// `kvm` or `inprocess`.
  public let engine: String?
  public let functions: [Function]
  /// The whole answer, JSON.
  public let json: String

  /// The id of the function with that name.
  public func function(named name: String) -> UInt32? {
    functions.first { $0.name == name }?.id
  }

  private struct Fields: Decodable {
    var version: String?
    var worker: String?
    var engine: String?
    var functions: [Function]?
  }

  init?(json: [UInt8]) {
    guard let fields = try? JSONDecoder().decode(Fields.self, from: Data(json)) else { return nil }
    version = fields.version
    worker = fields.worker
    engine = fields.engine
    functions = fields.functions ?? []
    self.json = String(decoding: json, as: UTF8.self)
  }
}
