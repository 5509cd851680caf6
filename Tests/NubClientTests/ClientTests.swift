import Foundation
import NubCap
import NubZMQ
import Testing

@testable import NubClient

@Suite("Client against a peer", .timeLimit(.minutes(2)))
struct ClientTests {
  static let fast = RetryPolicy(first: .milliseconds(30), factor: 2, longest: .milliseconds(100))
  static let echo: Peer.Script = { frames, _ in [.init(body: frames[4])] }

  @Test("A call is six frames or fewer, and its reply comes back")
  func call() async throws {
    try await withPeer(Self.echo) { peer in
      let client = try Client(endpoint: peer.endpoint)
      let id = try #require(JobID(Array("my id".utf8)))
      let result = try await client.call(function: 0x0102_0304, payload: [9, 8, 7], id: id)
      #expect(result.body == [9, 8, 7])
      #expect(result.id == id)
      #expect(
        peer.seen == [
          [Array("NUB1".utf8), Array("call".utf8), Array("my id".utf8), [4, 3, 2, 1], [9, 8, 7]]
        ])
    }
  }

  @Test("Caps follow the options, which are empty when there are none")
  func capsAlong() async throws {
    try await withPeer(Self.echo) { peer in
      let client = try Client(endpoint: peer.endpoint)
      _ = try await client.call(function: 1, caps: [[1], [2]])
      #expect(peer.seen[0].suffix(3) == [[], [1], [2]])
    }
  }

  @Test("An unanswered message is sent again, the same to the last byte")
  func resend() async throws {
    try await withPeer({ _, number in number == 3 ? [.init(body: [1])] : [] }) { peer in
      let client = try Client(endpoint: peer.endpoint, retry: Self.fast)
      #expect(try await client.call(function: 1).body == [1])
      #expect(peer.seen.count >= 3)
      #expect(Set(peer.seen).count == 1)
    }
  }

  @Test("Unavailable is tried again after the time the worker asks for")
  func unavailable() async throws {
    try await withPeer({ _, number in
      number < 3 ? [.init(status: 11, body: [], meta: #"{"retry_after_ms":5}"#)] : [.init(body: [7])]
    }) { peer in
      let client = try Client(endpoint: peer.endpoint)
      #expect(try await client.call(function: 1).body == [7])
      #expect(Set(peer.seen).count == 1)
    }
  }

  @Test("Unavailable for longer than one waits is the error")
  func unavailableToTheEnd() async throws {
    try await withPeer({ _, _ in
      [.init(status: 11, body: Array("draining".utf8), meta: #"{"retry_after_ms":60000}"#)]
    }) { peer in
      let client = try Client(endpoint: peer.endpoint, timeout: .seconds(1))
      let error = await #expect(throws: ClientError.self) { try await client.call(function: 1) }
      #expect(error?.status == .unavailable)
      #expect(error?.meta?.retryAfterMilliseconds == 60000)
    }
  }

  @Test("No answer is a timeout that names the job")
  func timeout() async throws {
    try await withPeer({ _, _ in [] }) { peer in
      let client = try Client(endpoint: peer.endpoint)
      let id = JobID()
      let error = await #expect(throws: ClientError.self) {
        try await client.call(function: 1, id: id, timeout: .milliseconds(100))
      }
      #expect(error?.code == .timedOut)
      #expect(error?.jobID == id)
    }
  }

  @Test("Nobody there is a timeout that says so")
  func nobody() async throws {
    let client = try Client(endpoint: "ipc:///tmp/nub-nobody-listens-here")
    let error = await #expect(throws: ClientError.self) { try await client.ping(timeout: .milliseconds(100)) }
    #expect(error?.code == .timedOut)
  }

  @Test("An endpoint that is none is refused with its name")
  func badEndpoint() {
    let error = #expect(throws: ClientError.self) { try Client(endpoint: "carrier pigeon") }
    #expect(error?.code == .transport)
    #expect(error?.message.contains("carrier pigeon") == true)
  }

  @Test("Cancelling the task gives up waiting at once, and the client goes on")
  func cancellation() async throws {
    try await withPeer({ frames, _ in frames[4] == [1] ? [] : [.init(body: frames[4])] }) { peer in
      let client = try Client(endpoint: peer.endpoint)
      let task = Task { try await client.call(function: 1, payload: [1]) }
      while peer.seen.isEmpty { await Task.yield() }
      task.cancel()
      let error = await #expect(throws: ClientError.self) { try await task.value }
      #expect(error?.code == .abandoned)
      #expect(try await client.call(function: 1, payload: [2]).body == [2])
    }
  }

  @Test("A task cancelled beforehand does not wait either")
  func cancelledBeforehand() async throws {
    try await withPeer({ _, _ in [] }) { peer in
      let client = try Client(endpoint: peer.endpoint)
      let task = Task {
        withUnsafeCurrentTask { $0?.cancel() }
        return try await client.call(function: 1)
      }
      let error = await #expect(throws: ClientError.self) { try await task.value }
      #expect(error?.code == .abandoned)
    }
  }

  @Test("Closing fails what is under way and what comes later")
  func close() async throws {
    try await withPeer({ _, _ in [] }) { peer in
      let client = try Client(endpoint: peer.endpoint)
      let tasks = (0..<10).map { _ in Task { try await client.call(function: 1) } }
      while peer.seen.count < 10 { await Task.yield() }
      client.close()
      for task in tasks {
        let error = await #expect(throws: ClientError.self) { try await task.value }
        #expect(error?.code == .closed)
      }
      let error = await #expect(throws: ClientError.self) { try await client.ping() }
      #expect(error?.code == .closed)
    }
  }

  @Test("Second answers, answers to nobody and garbage disturb nothing")
  func garbage() async throws {
    try await withPeer({ frames, _ in
      [
        .init(raw: [[]]), .init(raw: [Array("NUB1".utf8)]), .init(raw: [Array("NUB1".utf8), [], [], [], []]),
        .init(raw: [Array("NUB1".utf8), Array("reply".utf8), [1, 2, 3], [0, 0, 0, 0], [], []]),
        .init(body: frames[4], meta: "not JSON"), .init(body: [0]),
      ]
    }) { peer in
      let client = try Client(endpoint: peer.endpoint)
      for number in 0..<50 as Range<UInt8> {
        let result = try await client.call(function: 1, payload: [number])
        #expect(result.body == [number])
        #expect(!result.isDuplicate)
      }
    }
  }

  @Test("Thousands of calls from many tasks are each answered with their own reply")
  func many() async throws {
    try await withPeer(Self.echo) { peer in
      let client = try Client(endpoint: peer.endpoint)
      let requests = (0..<5000).map { CallRequest(function: 1, payload: Array("\($0)".utf8)) }
      let results = await client.callMany(requests)
      #expect(results.count == requests.count)
      for (request, result) in zip(requests, results) {
        #expect(try result.get().body == request.payload)
      }
    }
  }

  @Test(
    "A job asked for twice at once is one message and two answers; other content under its id is a conflict")
  func joined() async throws {
    try await withPeer({ _, number in number == 1 ? [] : [.init(body: [5])] }) { peer in
      let client = try Client(endpoint: peer.endpoint, retry: RetryPolicy(first: .milliseconds(300)))
      let id = JobID()
      let first = Task { try await client.call(function: 1, payload: [1], id: id) }
      while peer.seen.isEmpty { await Task.yield() }
      let error = await #expect(throws: ClientError.self) {
        try await client.call(function: 1, payload: [2], id: id)
      }
      #expect(error?.status == .conflict)
      let second = Task { try await client.call(function: 1, payload: [1], id: id) }
      #expect(try await first.value.body == [5])
      #expect(try await second.value.body == [5])
    }
  }

  @Test("A status becomes an error with its message, meta and missing hashes")
  func statuses() async throws {
    let hash = Client.hash(of: [1])
    try await withPeer({ frames, _ in
      frames[4] == [7]
        ? [.init(status: 7, body: hash.bytes)]
        : [.init(status: 3, body: Array("on purpose".utf8), meta: #"{"guest_status":77,"worker":"w"}"#)]
    }) { peer in
      let client = try Client(endpoint: peer.endpoint)
      let failed = await #expect(throws: ClientError.self) { try await client.call(function: 1) }
      #expect(failed?.status == .guestError)
      #expect(failed?.meta?.guestStatus == 77)
      #expect(failed?.message.contains("on purpose") == true)
      let missing = await #expect(throws: ClientError.self) {
        try await client.call(function: 1, payload: [7])
      }
      #expect(missing?.missing == [hash])
    }
  }

  @Test("A put asks first and uploads only what is missing")
  func put() async throws {
    try await withPeer({ frames, number in
      let verb = String(decoding: frames[1], as: UTF8.self)
      if verb == "find_missing" { return [.init(body: number == 1 ? frames[4] : [])] }
      return [.init(body: frames[3])]
    }) { peer in
      let client = try Client(endpoint: peer.endpoint)
      let first = try await client.put([1, 2, 3])
      let second = try await client.put([1, 2, 3])
      #expect(first == .init(hash: Client.hash(of: [1, 2, 3]), wasStored: true))
      #expect(second == .init(hash: first.hash, wasStored: false))
      #expect(
        peer.seen.map { String(decoding: $0[1], as: UTF8.self) } == [
          "find_missing", "put_cap", "find_missing",
        ])
      #expect(peer.seen[1][4] == [2, 4, 0, 0, 0, 1, 2, 3])
    }
  }

  @Test("CURVE reaches the server whose key one has, and no other")
  func curve() async throws {
    let server = try CurveKeyPair.generate()
    let mine = try CurveKeyPair.generate()
    let other = try CurveKeyPair.generate()
    try await withPeer(curveSecretKey: server.secretKey, Self.echo) { peer in
      func client(_ serverKey: String) throws -> Client {
        let curve = Client.Curve(serverKey: serverKey, publicKey: mine.publicKey, secretKey: mine.secretKey)
        return try Client(endpoint: peer.endpoint, curve: curve)
      }
      let friend = try client(server.publicKey)
      #expect(try await friend.call(function: 1, payload: [1]).body == [1])
      let stranger = try client(other.publicKey)
      let error = await #expect(throws: ClientError.self) {
        _ = try await stranger.call(function: 1, timeout: .milliseconds(300))
      }
      #expect(error?.code == .timedOut)
    }
  }

  @Test("Clients that go away leave no descriptors behind")
  func descriptors() async throws {
    try await withPeer(Self.echo) { peer in
      func open() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count }
      let before = try open()
      for _ in 0..<300 {
        let client = try Client(endpoint: peer.endpoint)
        #expect(try await client.call(function: 1, payload: [1]).body == [1])
      }
      // A client's descriptors go away on its thread, a moment after the client; other tests run beside this one. One
      // client has more than five, so a leak of any kind shows.
      while try open() > before + 300 { await Task.yield() }
    }
  }
}
