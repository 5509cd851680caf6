import Testing

@testable import NubWorker

@Suite struct RelayFlowTests {
  private static let room = 100

  /// Reads `count` bytes and writes `written` of them.
  private func pass(_ direction: inout RelayDirection, _ count: Int, written: Int? = nil) {
    direction.didRead(count, of: Self.room)
    direction.didWrite(written ?? count)
  }

  /// A peer that has sent what it had and is gone altogether.
  private func hangUp(_ flow: inout RelayFlow) {
    flow.peerChanged(readable: true, writable: true, ending: true, gone: true)
  }

  @Test func `bytes are read as long as the sink takes them`() {
    var flow = RelayFlow()
    #expect(flow.up.step == .read)
    pass(&flow.up, Self.room)
    #expect(flow.up.step == .read)
    pass(&flow.up, Self.room, written: 30)
    #expect(flow.up.waiting == 70)
    #expect(flow.up.step == .rest, "the sink is full")
    flow.innerChanged(readable: false, writable: true, ending: false, gone: false)
    #expect(flow.up.step == .write, "what was read first")
    flow.up.didWrite(70)
    #expect(flow.up.step == .read)
  }

  @Test func `a sink that is full holds its source up`() {
    var flow = RelayFlow()
    flow.up.didRead(10, of: Self.room)
    flow.up.sinkIsFull()
    for _ in 0..<3 {
      flow.peerChanged(readable: true, writable: true, ending: false, gone: false)
      #expect(flow.up.step == .rest)
    }
    #expect(flow.up.waiting == 10, "it holds the rest of one read")
  }

  @Test func `a source that gives less than it was asked for is left alone until it has more`() {
    var flow = RelayFlow()
    pass(&flow.up, 10)
    #expect(flow.up.step == .rest)
    flow.peerChanged(readable: true, writable: false, ending: false, gone: false)
    #expect(flow.up.step == .read)
    flow.up.sourceIsEmpty()
    #expect(flow.up.step == .rest)
  }

  @Test func `a peer that hangs up is read to its end, which is passed on once`() {
    var flow = RelayFlow()
    hangUp(&flow)
    #expect(flow.up.step == .read)
    // Less than asked for, but its end is behind it.
    pass(&flow.up, 10, written: 4)
    #expect(flow.up.step == .rest)
    #expect(!flow.isOver, "libzmq has not read everything")
    flow.innerChanged(readable: false, writable: true, ending: false, gone: false)
    #expect(flow.up.step == .write)
    flow.up.didWrite(6)
    #expect(flow.up.step == .read)
    flow.up.sourceEnded()
    #expect(flow.up.step == .end)
    flow.up.endIsPassedOn()
    #expect(flow.up.step == .rest)
    #expect(!flow.isOver, "libzmq closes, not we")
  }

  @Test func `libzmq is listened to when the peer is gone`() {
    var flow = RelayFlow()
    hangUp(&flow)
    flow.up.sourceEnded()
    flow.up.endIsPassedOn()
    #expect(flow.isPeerDone)
    for _ in 0..<3 {
      flow.innerChanged(readable: true, writable: true, ending: false, gone: false)
      #expect(flow.down.step == .read, "the answer to a PING")
      flow.down.didRead(20, of: Self.room)
      #expect(flow.down.waiting == 0, "thrown away")
      #expect(flow.down.step == .rest)
    }
    flow.innerChanged(readable: true, writable: true, ending: true, gone: true)
    #expect(!flow.isOver)
    flow.down.sourceEnded()
    #expect(flow.isOver)
  }

  @Test func `a peer that ends its writing alone is still spoken to`() {
    var flow = RelayFlow()
    flow.peerChanged(readable: true, writable: true, ending: true, gone: false)
    flow.up.sourceEnded()
    flow.up.endIsPassedOn()
    #expect(!flow.isPeerDone)
    flow.innerChanged(readable: true, writable: true, ending: false, gone: false)
    flow.down.didRead(20, of: Self.room)
    #expect(flow.down.waiting == 20)
    #expect(flow.down.step == .write)
  }

  @Test func `libzmq's last words reach a peer that listens`() {
    var flow = RelayFlow()
    flow.innerChanged(readable: true, writable: true, ending: true, gone: true)
    #expect(!flow.isOver)
    flow.down.didRead(20, of: Self.room)
    #expect(flow.down.step == .write)
    #expect(!flow.isOver)
    flow.down.didWrite(20)
    #expect(flow.down.step == .read, "up to the end")
    flow.down.sourceEnded()
    #expect(flow.isOver)
    #expect(flow.up.step == .rest, "nobody is left to read for")
  }

  @Test func `a peer that does not listen keeps nothing alive`() {
    var flow = RelayFlow()
    flow.down.didRead(50, of: 50)
    flow.down.sinkIsFull()
    #expect(!flow.isOver)
    flow.innerChanged(readable: true, writable: true, ending: true, gone: true)
    #expect(flow.isOver)
  }

  @Test func `a failed write to libzmq ends the reading, and its hang-up the rest`() {
    var flow = RelayFlow()
    flow.up.didRead(10, of: Self.room)
    flow.up.sinkIsGone()
    #expect(flow.up.waiting == 0)
    flow.peerChanged(readable: true, writable: true, ending: false, gone: false)
    #expect(flow.up.step == .rest, "what it still sends would be thrown away")
  }

  /// All orders of events and of what the system calls say: libzmq is never hung up on, and nothing is lost on the way to it.
  @Test func `no order of events hangs up on libzmq or loses a byte`() {
    var generator = SeededGenerator(state: 7)
    for _ in 0..<5_000 {
      var flow = RelayFlow()
      let sent = Int.random(in: 0...400, using: &generator)
      var (taken, sunk) = (0, 0)
      var (isGone, isEndSeen) = (false, false)
      for _ in 0..<2_000 where !isEndSeen {
        if !isGone, Int.random(in: 0..<8, using: &generator) == 0 {
          isGone = true
          hangUp(&flow)
        }
        if Int.random(in: 0..<4, using: &generator) == 0 {
          flow.innerChanged(readable: true, writable: true, ending: false, gone: false)
        }
        #expect(!flow.isOver, "libzmq is there")
        switch flow.up.step {
        case .read:
          let count = min(sent - taken, Int.random(in: 1...Self.room, using: &generator))
          if count > 0 {
            taken += count
            flow.up.didRead(count, of: Self.room)
            if !isGone, count < Self.room {
              flow.peerChanged(readable: true, writable: false, ending: false, gone: false)
            }
            fallthrough
          } else if isGone {
            flow.up.sourceEnded()
          } else {
            flow.up.sourceIsEmpty()
          }
        case .write:
          let count = Int.random(in: 0...flow.up.waiting, using: &generator)
          sunk += count
          flow.up.didWrite(count)
        case .end:
          flow.up.endIsPassedOn()
          isEndSeen = true
        case .rest: break
        }
        #expect(flow.up.waiting <= Self.room)
      }
      #expect(isEndSeen && sunk == sent, "\(sunk) of \(sent)")
    }
  }
}

private struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}
