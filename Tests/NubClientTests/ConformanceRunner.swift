import Foundation
import NubCap
import Testing

@testable import NubClient

/// One step of a case: JSON as it is in the file.
struct ConformanceStep: @unchecked Sendable {
  // Read from a file once and never changed.
  let json: [String: Any]

  init(_ json: [String: Any]) { self.json = json }

  var op: String { json["op"] as? String ?? "" }
  var expect: [String: Any] { json["expect"] as? [String: Any] ?? [:] }
}

/// Does a case's steps with one client and compares.
struct ConformanceRunner {
  let client: Client
  let engine: String
  let name: String
  private var unique: [String: [UInt8]] = [:]

  init(client: Client, engine: String, name: String) {
    self.client = client
    self.engine = engine
    self.name = name
  }

  /// What a step gave, in the terms of the file.
  private struct Value {
    var bytes: [UInt8]?
    var list: [[UInt8]]?
    var stored: Bool?
    var duplicate: Bool?
  }

  mutating func run(_ step: ConformanceStep) async throws {
    let expect = step.expect
    let comment = Comment(rawValue: "\(name): \(step.op)")
    let value: Value
    do {
      value = try await perform(step)
    } catch let error as ClientError {
      #expect(expect["error"] as? Int == error.status.map { Int($0.rawValue) }, "\(comment): \(error)")
      if let status = expect["guest_status"] as? Int {
        #expect(error.meta?.guestStatus == UInt32(status), comment)
      }
      if let message = expect["message"] as? String { #expect(error.message.contains(message), comment) }
      if let missing = expect["missing"] as? [Any] {
        #expect(error.missing.map(\.bytes) == missing.map { bytes($0) }, comment)
      }
      return
    }
    #expect(expect["error"] == nil, "\(comment) succeeded")
    if let wanted = expect["value"] { #expect(value.bytes == bytes(wanted), comment) }
    if let wanted = expect["values"] as? [Any] { #expect(value.list == wanted.map { bytes($0) }, comment) }
    if let wanted = expect["count"] as? Int { #expect(value.list?.count == wanted, comment) }
    if let wanted = expect["stored"] as? Bool { #expect(value.stored == wanted, comment) }
    if let wanted = expect["duplicate"] as? Bool { #expect(value.duplicate == wanted, comment) }
  }

  private mutating func perform(_ step: ConformanceStep) async throws -> Value {
    switch step.op {
    case "ping":
      let info = try await client.ping()
      #expect(info.engine == engine)
      for name in step.expect["functions"] as? [String] ?? [] { #expect(info.function(named: name) != nil) }
      return Value()
    case "hash": return Value(bytes: Client.hash(of: field(step, "content")).bytes)
    case "put":
      let outcome = try await client.put(field(step, "content"))
      return Value(bytes: outcome.hash.bytes, stored: outcome.wasStored)
    case "put_many":
      let outcomes = try await client.put(contentsOf: fields(step, "contents"))
      return Value(list: outcomes.map(\.hash.bytes))
    case "put_form":
      return Value(
        bytes: try await client.put(wire: field(step, "form"), claiming: CapHash(field(step, "hash"))).bytes)
    case "find_missing" where step.json["count"] != nil:
      let hashes = (0..<(step.json["count"] as? Int ?? 0)).compactMap { number in
        CapHash(
          withUnsafeBytes(of: UInt64(number).littleEndian) { bytes in
            var sha256 = SHA256()
            sha256.update(bytes)
            return sha256.finalize().bytes
          })
      }
      return Value(list: try await client.findMissing(hashes).map(\.bytes))
    case "find_missing":
      return Value(
        list: try await client.findMissing(fields(step, "hashes").compactMap { CapHash($0) }).map(\.bytes))
    case "get_cap": return Value(bytes: try await client.getCap(try hash(field(step, "hash"))))
    case "result": return Value(bytes: try await client.result(of: try id(step)).body)
    case "cancel":
      try await client.cancel(try id(step))
      return Value()
    case "call": return try await call(step)
    case "call_many":
      let function = step.json["function"] as? UInt32 ?? 0
      let count = step.json["count"] as? Int ?? 0
      let requests = (0..<count).map { CallRequest(function: function, payload: Array("\($0)".utf8)) }
      let results = await client.callMany(requests)
      #expect(try results.map { try $0.get().body } == requests.map(\.payload))
      return Value()
    default:
      Issue.record("a step that this client does not know: \(step.op)")
      return Value()
    }
  }

  private mutating func call(_ step: ConformanceStep) async throws -> Value {
    var options = CallOptions()
    options.deadline = (step.json["deadline_ms"] as? Int).map { .milliseconds($0) }
    options.expiresAtMilliseconds = step.json["expires_at_ms"] as? UInt64
    options.tenant = step.json["tenant"] as? String
    options.priority = step.json["priority"] as? Int
    options.fresh = step.json["fresh"] as? Bool
    options.traceparent = step.json["traceparent"] as? String
    options.needs = fields(step, "need").compactMap { CapHash($0) }
    var request = CallRequest(
      function: step.json["function"] as? UInt32 ?? 0, payload: field(step, "payload"), options: options)
    if step.json["id"] != nil { request.id = try id(step) }
    request.caps = try fields(step, "caps").map(Client.dataCap(_:))
    let result = try await client.call(request)
    return Value(bytes: result.body, duplicate: result.isDuplicate)
  }

  private mutating func id(_ step: ConformanceStep) throws -> JobID {
    try #require(JobID(field(step, "id")))
  }

  private func hash(_ bytes: [UInt8]) throws -> CapHash {
    try #require(CapHash(bytes))
  }

  private mutating func field(_ step: ConformanceStep, _ name: String) -> [UInt8] {
    step.json[name].map { bytes($0) } ?? []
  }

  private mutating func fields(_ step: ConformanceStep, _ name: String) -> [[UInt8]] {
    (step.json[name] as? [Any] ?? []).map { bytes($0) }
  }

  /// The file's notation for bytes; its `about` explains it.
  private mutating func bytes(_ json: Any) -> [UInt8] {
    if let text = json as? String { return Array(text.utf8) }
    let object = json as? [String: Any] ?? [:]
    if let text = object["repeat"] as? String {
      return Array(repeatElement(Array(text.utf8), count: object["count"] as? Int ?? 0).joined())
    }
    if let hex = object["hex"] as? String {
      return stride(from: 0, to: hex.utf8.count, by: 2).compactMap { offset in
        UInt8(hex.dropFirst(offset).prefix(2), radix: 16)
      }
    }
    if let number = object["u32"] as? UInt64 {
      return (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) }
    }
    if let number = object["u64"] as? UInt64 {
      return (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) }
    }
    if let name = object["unique"] as? String {
      let value = unique[name] ?? JobID().bytes
      unique[name] = value
      return value
    }
    if let parts = object["concat"] as? [Any] { return parts.flatMap { bytes($0) } }
    if let inner = object["sha256"] {
      var sha256 = SHA256()
      let content = bytes(inner)
      sha256.update(content.span.bytes)
      return sha256.finalize().bytes
    }
    if let inner = object["form"] { return (try? Client.dataCap(bytes(inner))) ?? [] }
    if let inner = object["root"] { return Client.hash(of: bytes(inner)).bytes }
    Issue.record("bytes in a notation that this client does not know: \(json)")
    return []
  }
}
