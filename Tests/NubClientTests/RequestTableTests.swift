import NubCap
import Testing

@testable import NubClient

@Suite("The table of requests")
struct RequestTableTests {
  let start = ContinuousClock.now
  let retry = RetryPolicy(first: .seconds(2), factor: 2, longest: .seconds(30))

  func frames(_ id: UInt8, _ body: UInt8 = 0) -> [[UInt8]] {
    [Frames.magic, Array("call".utf8), [id], [1, 0, 0, 0], [body]]
  }

  /// A table with request 1 submitted and sent.
  func table(timeout: Duration = .seconds(60)) -> RequestTable {
    var table = RequestTable(retry: retry)
    #expect(table.submit(1, frames(1), timeout: timeout, now: start)?.token == nil)
    #expect(table.nextToSend == frames(1))
    table.sent(now: start, scatter: 0.5)
    return table
  }

  @Test("A request is sent once and then rests until its pause is over")
  func pause() {
    var table = table()
    #expect(table.nextToSend == nil)
    #expect(table.advance(to: start + .seconds(1)).isEmpty)
    #expect(table.nextToSend == nil)
    #expect(table.advance(to: start + .seconds(2)).isEmpty)
    #expect(table.nextToSend == frames(1))
  }

  @Test("Pauses double up to the longest")
  func growth() {
    #expect(retry.pause(attempt: 1, scatter: 0.5) == .seconds(2))
    #expect(retry.pause(attempt: 2, scatter: 0.5) == .seconds(4))
    #expect(retry.pause(attempt: 4, scatter: 0.5) == .seconds(16))
    #expect(retry.pause(attempt: 50, scatter: 0.5) == .seconds(30))
    #expect(retry.pause(attempt: .max, scatter: 1) <= .seconds(35))
  }

  @Test("A reply resumes each waiter once; a second one resumes nobody")
  func once() {
    var table = table()
    #expect(table.submit(2, frames(1), timeout: .seconds(60), now: start)?.token == nil)
    let reply = Reply(id: [1], status: .ok, body: [3])
    #expect(table.receive(reply, now: start, scatter: 0).map(\.token) == [1, 2])
    #expect(table.receive(reply, now: start, scatter: 0).isEmpty)
    #expect(table.isEmpty)
    #expect(table.advance(to: start + .seconds(1000)).isEmpty)
  }

  @Test("Each waiter has its own deadline, and the request lives as long as one waits")
  func deadlines() {
    var table = table(timeout: .seconds(1))
    #expect(table.submit(2, frames(1), timeout: .seconds(100), now: start)?.token == nil)
    let late = table.advance(to: start + .seconds(1))
    #expect(late.map(\.token) == [1])
    #expect(table.advance(to: start + .seconds(2)).isEmpty)
    #expect(table.nextToSend == frames(1), "still sent again for the second")
    #expect(
      table.receive(Reply(id: [1], status: .ok), now: start + .seconds(3), scatter: 0).map(\.token) == [2])
  }

  @Test("A request that never found a peer says so")
  func unsent() throws {
    var table = RequestTable(retry: retry)
    #expect(table.submit(1, frames(1), timeout: .seconds(1), now: start)?.token == nil)
    let late = try #require(table.advance(to: start + .seconds(1)).first)
    #expect(throws: ClientError.self) { try late.outcome.get() }
    guard case .failure(let error) = late.outcome else { return }
    #expect(error.message.contains("no worker could be reached"))
    #expect(table.nextToSend == nil)
  }

  @Test("Unavailable postpones instead of ending, and is the answer when time is up")
  func unavailable() {
    var table = table(timeout: .seconds(10))
    let refusal = Reply(id: [1], status: .unavailable, metaJSON: Array(#"{"retry_after_ms":3000}"#.utf8))
    #expect(table.receive(refusal, now: start, scatter: 0).isEmpty)
    #expect(table.advance(to: start + .milliseconds(2999)).isEmpty)
    #expect(table.nextToSend == nil)
    #expect(table.advance(to: start + .seconds(3)).isEmpty)
    #expect(table.nextToSend == frames(1))
    table.sent(now: start + .seconds(3), scatter: 0)
    #expect(
      table.receive(refusal, now: start + .seconds(8), scatter: 0).map { try? $0.outcome.get() } == [refusal])
  }

  @Test("An absurd retry_after cannot overflow or stall")
  func absurd() {
    var table = table(timeout: .seconds(100))
    let refusal = Reply(
      id: [1], status: .unavailable, metaJSON: Array(#"{"retry_after_ms":18446744073709551615}"#.utf8))
    #expect(table.receive(refusal, now: start, scatter: 1).isEmpty)
    #expect(table.advance(to: start + .seconds(36)).isEmpty)
    #expect(table.nextToSend == frames(1))
  }

  @Test("The same id with other content is refused here, because replies could not be told apart")
  func conflict() {
    var table = table()
    #expect(table.submit(2, frames(1, 9), timeout: .seconds(1), now: start)?.token == 2)
    #expect(table.receive(Reply(id: [1], status: .ok), now: start, scatter: 0).map(\.token) == [1])
  }

  @Test("A request that everybody abandoned is not sent")
  func abandon() {
    var table = RequestTable(retry: retry)
    #expect(table.submit(1, frames(1), timeout: .seconds(1), now: start)?.token == nil)
    #expect(table.submit(2, frames(2), timeout: .seconds(1), now: start)?.token == nil)
    #expect(table.abandon(1)?.token == 1)
    #expect(table.abandon(1)?.token == nil)
    #expect(table.nextToSend == frames(2))
  }

  @Test("Submitted, abandoned and submitted again is sent once")
  func again() {
    var table = RequestTable(retry: retry)
    #expect(table.submit(1, frames(1), timeout: .seconds(1), now: start)?.token == nil)
    _ = table.abandon(1)
    #expect(table.submit(2, frames(1), timeout: .seconds(1), now: start)?.token == nil)
    #expect(table.nextToSend == frames(1))
    table.sent(now: start, scatter: 0)
    #expect(table.nextToSend == nil)
  }

  @Test("Many requests at random moments come due in order")
  func heap() {
    var heap = TimerHeap()
    var random = SystemRandomNumberGenerator()
    for _ in 0..<2000 {
      let offset = UInt16.random(in: 0...999, using: &random)
      heap.insert(start + .milliseconds(Int(offset)), [UInt8(offset >> 8), UInt8(offset & 0xFF)])
    }
    var last = -1
    var count = 0
    while let id = heap.popDue(start + .seconds(1)) {
      let offset = Int(id[0]) << 8 | Int(id[1])
      #expect(offset >= last)
      last = offset
      count += 1
    }
    #expect(count == 2000)
  }
}
