import Testing

@testable import NubMachine

extension InterruptState {
  /// Of a request that is the first of its kind.
  fileprivate func signalled(_ request: Request, ofCall number: UInt64? = nil) -> InterruptState? {
    guard case .signal(let state) = requested(request, ofCall: number) else { return nil }
    return state
  }
}

/// The numbered timing points of ``InterruptState``, without a VM.
@Suite struct InterruptStateTests {
  @Test func aRequestBeforeTheCallBeginsHasNoEffect() {
    let idle = InterruptState()
    #expect(idle.requested(.cancel, ofCall: nil) == .notRunning)
    #expect(!idle.begun().has(.cancel))
  }

  @Test func timingPoint1GivesEachCallANumberOfItsOwn() {
    let first = InterruptState().begun()
    let second = first.ended().begun()
    #expect(first.isRunning && second.isRunning)
    #expect(second.callNumber == first.callNumber + 1)
  }

  @Test(arguments: [InterruptState.Request.cancel, .tick])
  func timingPoint3MarksTheRunningCallAndRegistersTheSignaller(request: InterruptState.Request) throws {
    let asked = try #require(InterruptState().begun().signalled(request))
    #expect(asked.has(request))
    #expect(asked.hasSignallers)
    #expect(asked.isRunning)
  }

  @Test func aRequestForAnotherCallHasNoEffect() {
    let running = InterruptState().begun()
    #expect(running.requested(.cancel, ofCall: running.callNumber + 1) == .notRunning)
    #expect(running.signalled(.cancel, ofCall: running.callNumber) != nil)
  }

  @Test func timingPoint5TakesOneSignallerAway() throws {
    let running = InterruptState().begun()
    let one = try #require(running.signalled(.cancel))
    let two = try #require(one.signalled(.tick))
    #expect(two.released().hasSignallers)
    #expect(!two.released().released().hasSignallers)
    #expect(two.released().released().has(.cancel))
  }

  @Test func timingPoint6ForgetsWhatWasAskedAndKeepsTheSignallers() throws {
    let asked = try #require(InterruptState().begun().signalled(.cancel))
    let ended = asked.ended()
    #expect(!ended.isRunning)
    #expect(!ended.has(.cancel))
    #expect(ended.hasSignallers)
    #expect(!ended.released().begun().has(.cancel))
  }

  @Test(arguments: [InterruptState.Request.cancel, .tick])
  func ofManyRequestsForTheSameTheFirstSendsTheSignal(request: InterruptState.Request) throws {
    let first = try #require(InterruptState().begun().signalled(request))
    for state in [first, first.released()] {
      #expect(state.requested(request, ofCall: nil) == .asked)
      #expect(state.requested(request, ofCall: state.callNumber) == .asked)
      #expect(state.requested(request, ofCall: state.callNumber + 1) == .notRunning)
    }
    // Another wish is another signal, and so is the next call.
    let other: InterruptState.Request = request == .tick ? .cancel : .tick
    #expect(first.signalled(other) != nil)
    #expect(first.released().ended().begun().signalled(request) != nil)
  }

  @Test func aTickThatWasSeenCanBeAskedForAgain() throws {
    let seen = try #require(InterruptState().begun().signalled(.tick)).ticked()
    #expect(seen.hasSignallers)
    #expect(seen.signalled(.tick) != nil)
  }

  @Test func atMost255SignallersAreRegistered() throws {
    var state = InterruptState().begun()
    // The owner sees each tick before its signaller is done.
    for _ in 0..<255 { state = try #require(state.signalled(.tick)).ticked() }
    #expect(state.requested(.cancel, ofCall: nil) == .full)
    #expect(state.isRunning && state.callNumber == 1)
    #expect(state.released().signalled(.tick) != nil)
  }

  @Test func theCallNumberWrapsWithoutTouchingTheFlags() {
    let last = InterruptState(word: UInt64.max << 16)
    let next = last.begun()
    #expect(next.callNumber == 0)
    #expect(next.isRunning && !next.has(.cancel) && !next.hasSignallers)
  }

  @Test func aTickThatWasSeenIsGoneAndACancelStays() throws {
    let asked = try #require(InterruptState().begun().signalled([.tick, .cancel]))
    #expect(!asked.ticked().has(.tick))
    #expect(asked.ticked().has(.cancel))
  }
}
