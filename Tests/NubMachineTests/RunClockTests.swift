import NubABI
import Testing

@testable import NubMachine

@Suite struct RunClockTests {
  private static let millisecond: UInt64 = 1_000_000

  @Test func anHonestGuestIsBelieved() {
    var clock = RunClock(at: 1_000)
    clock.look(at: 1_000 + 5 * Self.millisecond)
    #expect(clock.charge(cycles: 2_000_000, tscKilohertz: 1_000_000, isLast: false) == 2 * Self.millisecond)
    #expect(
      clock.charge(cycles: 2_500_000, tscKilohertz: 1_000_000, isLast: true) == 5 * Self.millisecond / 2)
  }

  @Test(arguments: [UInt64.max, UInt64.max / 2_000_000, 10_000_000_000])
  func aGuestThatClaimsTooMuchGetsWhatPassed(cycles: UInt64) {
    var clock = RunClock(at: 0)
    clock.look(at: 3 * Self.millisecond)
    #expect(clock.charge(cycles: cycles, tscKilohertz: 0, isLast: false) == 3 * Self.millisecond)
    #expect(clock.charge(cycles: cycles, tscKilohertz: 1, isLast: true) == 0)
  }

  @Test func aGuestThatClaimsNothingIsChargedAllTheSame() {
    var clock = RunClock(at: 0)
    clock.look(at: 60_000 * Self.millisecond)
    #expect(clock.charge(cycles: 0, tscKilohertz: 1_000_000, isLast: false) == 0)
    #expect(clock.charge(cycles: 0, tscKilohertz: 1_000_000, isLast: true) == 59_999 * Self.millisecond)
  }

  @Test func theEntryItselfIsChargedToNobody() {
    var clock = RunClock(at: 0)
    clock.look(at: RunClock.slack)
    #expect(clock.charge(cycles: 1_000, tscKilohertz: 1_000_000, isLast: true) == 1_000)
  }

  @Test func whatFailsHasRunSinceTheLastLook() {
    var clock = RunClock(at: 0)
    clock.look(at: 10)
    _ = clock.charge(cycles: 1, tscKilohertz: 1_000_000, isLast: true)
    clock.pause(nanoseconds: 90)
    #expect(clock.running(at: 700 * Self.millisecond + 100) == 700 * Self.millisecond)
    // A clock that goes backwards, which the kernel rules out, would be no reason to trap.
    #expect(clock.running(at: 0) == 0)
    clock.look(at: 0)
    #expect(clock.charge(cycles: 5, tscKilohertz: 1, isLast: true) == 0)
  }

  @Test(.needsKVM) func aCallThatIsLateSaysHowLongItRan() throws {
    var sandbox = try Support.sandbox()
    var charged: [UInt32] = []
    let forever = Support.bytes(of: UInt64(0))
    forever.withUnsafeBytes { payload in
      let call = GuestCall(function: FunctionID.spin, payload: payload, deadline: .milliseconds(50))
      withUnsafePointer(to: call) { call in
        sandbox.runBatch(UnsafeBufferPointer(start: call, count: 1)) { _, _, microseconds in
          charged.append(microseconds)
        }
      }
    }
    #expect(charged.count == 1)
    #expect(charged.allSatisfy { $0 >= 50_000 })
  }
}
