import Testing

@testable import NubMachine

/// The numbered timing points of ``InterruptState``, without a VM.
@Suite struct InterruptStateTests {
  @Test func aRequestBeforeTheCallBeginsHasNoEffect() {
    let idle = InterruptState()
    #expect(idle.requested(.cancel, ofCall: nil) == nil)
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
    let asked = try #require(InterruptState().begun().requested(request, ofCall: nil))
    #expect(asked.has(request))
    #expect(asked.hasSignallers)
    #expect(asked.isRunning)
  }

  @Test func aRequestForAnotherCallHasNoEffect() {
    let running = InterruptState().begun()
    #expect(running.requested(.cancel, ofCall: running.callNumber + 1) == nil)
    #expect(running.requested(.cancel, ofCall: running.callNumber) != nil)
  }

  @Test func timingPoint5TakesOneSignallerAway() throws {
    let running = InterruptState().begun()
    let one = try #require(running.requested(.cancel, ofCall: nil))
    let two = try #require(one.requested(.tick, ofCall: nil))
    #expect(two.released().hasSignallers)
    #expect(!two.released().released().hasSignallers)
    #expect(two.released().released().has(.cancel))
  }

  @Test func timingPoint6ForgetsWhatWasAskedAndKeepsTheSignallers() throws {
    let asked = try #require(InterruptState().begun().requested(.cancel, ofCall: nil))
    let ended = asked.ended()
    #expect(!ended.isRunning)
    #expect(!ended.has(.cancel))
    #expect(ended.hasSignallers)
    #expect(!ended.released().begun().has(.cancel))
  }

  @Test func atMost255SignallersAreRegistered() throws {
    var state = InterruptState().begun()
    for _ in 0..<255 { state = try #require(state.requested(.cancel, ofCall: nil)) }
    #expect(state.requested(.cancel, ofCall: nil) == nil)
    #expect(state.isRunning && state.callNumber == 1)
    #expect(state.released().requested(.tick, ofCall: nil) != nil)
  }

  @Test func theCallNumberWrapsWithoutTouchingTheFlags() {
    let last = InterruptState(word: UInt64.max << 16)
    let next = last.begun()
    #expect(next.callNumber == 0)
    #expect(next.isRunning && !next.has(.cancel) && !next.hasSignallers)
  }

  @Test func aTickThatWasSeenIsGoneAndACancelStays() throws {
    let asked = try #require(InterruptState().begun().requested([.tick, .cancel], ofCall: nil))
    #expect(!asked.ticked().has(.tick))
    #expect(asked.ticked().has(.cancel))
  }
}
