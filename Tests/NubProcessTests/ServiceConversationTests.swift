import Testing

@testable import NubProcess

@Suite("What the service manager is told")
struct ServiceConversationTests {
  static func report(
    _ phase: ServiceReport.Phase, _ status: String = "s", isLive: Bool = true
  ) -> ServiceReport {
    ServiceReport(phase: phase, isLive: isLive, status: status)
  }

  @Test("ready once, stopping once, whatever comes between")
  func phases() {
    var talk = ServiceConversation(watchdog: nil)
    #expect(talk.look(Self.report(.starting), now: 0) == "STATUS=s")
    #expect(talk.look(Self.report(.up), now: 1) == "READY=1")
    #expect(talk.look(Self.report(.up), now: 2) == nil)
    #expect(talk.look(Self.report(.stopping, "t"), now: 3) == "STOPPING=1\nSTATUS=t")
    #expect(talk.look(Self.report(.stopping, "t"), now: 4) == nil)
    #expect(talk.look(Self.report(.up, "t"), now: 5) == nil)
  }

  @Test("a process that is told to stop before it was up says no READY")
  func early() {
    var talk = ServiceConversation(watchdog: nil)
    #expect(talk.look(Self.report(.stopping), now: 0) == "STOPPING=1\nSTATUS=s")
  }

  @Test("the watchdog hears from it in time while there is progress, and only then")
  func watchdog() {
    var talk = ServiceConversation(watchdog: 8_000_000)
    var last: UInt64 = 0
    for tick in 0..<100 {
      let now = UInt64(tick) * 500_000
      guard talk.look(Self.report(.up), now: now)?.contains("WATCHDOG=1") == true else { continue }
      #expect(now - last <= 8_000_000 / 2)
      last = now
    }
    #expect(last > 45_000_000)
    let stuck = talk.look(Self.report(.up, "no progress: doors", isLive: false), now: 50_000_000)
    #expect(stuck == "STATUS=no progress: doors", "the line says why, at once")
    for tick in 0..<100 {
      let message = talk.look(
        Self.report(.up, "no progress: doors", isLive: false), now: 50_500_000 + UInt64(tick) * 500_000)
      #expect(message == nil)
    }
    let again = talk.look(Self.report(.up, "s"), now: 200_000_000)
    #expect(again == "STATUS=s\nWATCHDOG=1")
  }

  @Test("a drain keeps the watchdog quiet, too")
  func drain() {
    var talk = ServiceConversation(watchdog: 4_000_000)
    _ = talk.look(Self.report(.up), now: 0)
    #expect(talk.look(Self.report(.stopping), now: 2_000_000) == "STOPPING=1\nWATCHDOG=1")
    #expect(talk.look(Self.report(.stopping), now: 4_000_000) == "WATCHDOG=1")
  }

  @Test("a load that changes all the time is told every few seconds")
  func load() {
    var talk = ServiceConversation(watchdog: nil)
    var messages = 0
    for tick in 0..<100 {
      if talk.look(Self.report(.up, "\(tick) jobs"), now: UInt64(tick) * 500_000) != nil { messages += 1 }
    }
    #expect((9...11).contains(messages))
  }

  @Test("a text cannot begin a line of its own")
  func lines() {
    var talk = ServiceConversation(watchdog: nil)
    let message = talk.look(Self.report(.up, "a\nMAINPID=1\r\nb\u{2028}c\0d"), now: 0)
    #expect(message == "READY=1\nSTATUS=a MAINPID=1 b c d")
    #expect(ServiceConversation.oneLine(String(repeating: "x", count: 10_000)).count == 512)
  }
}

@Suite("What a service manager leaves in the environment")
struct SupervisorEnvironmentTests {
  @Test("paths and abstract names")
  func addresses() throws {
    let path = try SupervisorEnvironment(["NOTIFY_SOCKET": "/run/n"], process: 7)
    #expect(path?.address == Array("/run/n".utf8))
    #expect(path?.watchdog == nil)
    let abstract = try SupervisorEnvironment(["NOTIFY_SOCKET": "@n"], process: 7)
    #expect(abstract?.address == [0, UInt8(ascii: "n")])
    #expect(try SupervisorEnvironment([:], process: 7) == nil)
    #expect(try SupervisorEnvironment(["NOTIFY_SOCKET": ""], process: 7) == nil)
  }

  @Test(
    "what cannot be used is refused by name",
    arguments: [
      ["NOTIFY_SOCKET": "vsock:2:1"], ["NOTIFY_SOCKET": "relative"], ["NOTIFY_SOCKET": "@"],
      ["NOTIFY_SOCKET": "/" + String(repeating: "x", count: 108)],
      ["NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"], ["NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"],
      ["NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "-1"],
    ])
  func refused(_ environment: [String: String]) {
    #expect(throws: ProcessError.self) { try SupervisorEnvironment(environment, process: 7) }
  }

  @Test("a watchdog that waits for another process is none of ours")
  func others() throws {
    let environment = ["NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"]
    #expect(try SupervisorEnvironment(environment, process: 7)?.watchdog == nil)
    #expect(try SupervisorEnvironment(environment, process: 8)?.watchdog == 30_000_000)
  }
}
