public import NubCap

extension Client {
  /// What became of a put.
  public struct PutOutcome: Sendable, Hashable {
    public let hash: CapHash
    /// False: the worker had it, and nothing was uploaded.
    public let wasStored: Bool
    /// How many of the caps that it refers to the worker did not have when it stored it.
    public let missingReferences: Int

    public init(hash: CapHash, wasStored: Bool, missingReferences: Int = 0) {
      self.hash = hash
      self.wasStored = wasStored
      self.missingReferences = missingReferences
    }
  }

  /// Hashes in one question: the protocol allows 65 536; fewer let the worker answer others in between.
  private static let hashesPerQuestion = 16_384
  /// Uploads under way at once in ``put(contentsOf:timeout:)``.
  private static let uploadsAtOnce = 16

  /// The hash of the Data cap with that content, computed here.
  public static func hash(of content: [UInt8]) -> CapHash {
    Cap.Data.hashTreeRoot(of: content.span.bytes)
  }

  /// The wire form of the Data cap with that content.
  public static func dataCap(_ content: [UInt8]) throws(ClientError) -> [UInt8] {
    do {
      return try Cap.data(.inline(content)).encoded()
    } catch {
      throw ClientError(.invalidArgument, "this content has no wire form: \(error)", cause: error)
    }
  }

  /// Files content as a Data cap, uploading it only if the worker lacks it.
  public func put(_ content: [UInt8], timeout: Duration? = nil) async throws(ClientError) -> PutOutcome {
    let hash = Self.hash(of: content)
    let wasMissing = try await !findMissing([hash], timeout: timeout).isEmpty
    if wasMissing { try await upload(content, hash, timeout: timeout) }
    return PutOutcome(hash: hash, wasStored: wasMissing)
  }

  /// Files many: one question, then what is missing, several at a time. Outcomes in the order of the contents.
  public func put(contentsOf contents: [[UInt8]], timeout: Duration? = nil) async throws(ClientError)
    -> [PutOutcome]
  {
    let hashes = contents.map(Self.hash(of:))
    var contentOf: [CapHash: [UInt8]] = [:]
    for (hash, content) in zip(hashes, contents) { contentOf[hash] = content }
    let missing = try await findMissing(Array(contentOf.keys), timeout: timeout)
    let uploads = missing.compactMap { hash in contentOf[hash].map { (hash, $0) } }
    let results = await concurrently(uploads, atOnce: Self.uploadsAtOnce) { upload in
      do throws(ClientError) {
        try await self.upload(upload.1, upload.0, timeout: timeout)
        return Result<Void, ClientError>.success(())
      } catch {
        return .failure(error)
      }
    }
    for result in results { try result.get() }
    let stored = Set(missing)
    return hashes.map { PutOutcome(hash: $0, wasStored: stored.contains($0)) }
  }

  private func upload(_ content: [UInt8], _ hash: CapHash, timeout: Duration?) async throws(ClientError) {
    let filed = try await put(wire: Self.dataCap(content), claiming: hash, timeout: timeout)
    guard filed == hash else {
      throw ClientError(.malformedReply, "the worker filed \(hash.hex) under \(filed.hex)")
    }
  }

  /// Files a cap of any kind, given in wire form.
  /// - Returns: its hash, as the worker computed it.
  public func put(
    wire: [UInt8], claiming claim: CapHash? = nil, timeout: Duration? = nil
  ) async throws(ClientError) -> CapHash {
    try await upload(wire: wire, claiming: claim, timeout: timeout).hash
  }

  /// The same, with what the worker says about it.
  public func upload(
    wire: [UInt8], claiming claim: CapHash? = nil, timeout: Duration? = nil
  ) async throws(ClientError) -> PutOutcome {
    let reply = try await ask(.putCap, operand: claim?.bytes ?? [], body: wire, timeout: timeout)
    guard let hash = CapHash(reply.body) else {
      throw ClientError(.malformedReply, "a hash is 32 bytes, the worker sent \(reply.body.count)")
    }
    let missing = ReplyMeta(json: reply.metaJSON).missingReferences ?? 0
    return PutOutcome(hash: hash, wasStored: true, missingReferences: Int(clamping: missing))
  }

  /// Those of the hashes that the worker does not have, in that order.
  public func findMissing(_ hashes: [CapHash], timeout: Duration? = nil) async throws(ClientError)
    -> [CapHash]
  {
    var missing: [CapHash] = []
    for start in stride(from: 0, to: hashes.count, by: Self.hashesPerQuestion) {
      var body: [UInt8] = []
      for hash in hashes[start..<min(start + Self.hashesPerQuestion, hashes.count)] {
        hash.withUnsafeBytes { body.append(contentsOf: $0) }
      }
      let reply = try await ask(.findMissing, body: body, timeout: timeout)
      guard let some = CapHash.list(reply.body) else {
        throw ClientError(.malformedReply, "hashes are 32 bytes each, the worker sent \(reply.body.count)")
      }
      missing.append(contentsOf: some)
    }
    return missing
  }

  /// The wire form of a cap.
  public func getCap(_ hash: CapHash, timeout: Duration? = nil) async throws(ClientError) -> [UInt8] {
    try await ask(.getCap, operand: hash.bytes, timeout: timeout).body
  }
}
