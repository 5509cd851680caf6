import Testing

@testable import NubWorker

struct ProgressJudgeTests {
  private func judge(_ patience: UInt64...) -> ProgressJudge {
    ProgressJudge(
      parts: patience.enumerated().map { ProgressJudge.Part(name: "\($0.offset)", patience: $0.element) },
      tick: 1_000)
  }

  @Test func `a thread that has work and makes no step is stuck once its patience is over`() {
    var judge = judge(2_000)
    let pulse = Pulse()
    pulse.work()
    #expect(judge.look([pulse.reading], elapsed: 1_000).isEmpty)
    #expect(judge.look([pulse.reading], elapsed: 1_000).isEmpty)
    #expect(judge.look([pulse.reading], elapsed: 1_000) == ["0"])
    pulse.work()
    #expect(judge.look([pulse.reading], elapsed: 1_000).isEmpty, "a step and it is well again")
  }

  @Test func `a thread without work may rest for ever`() {
    var judge = judge(1_000)
    let pulse = Pulse()
    pulse.work()
    pulse.rest()
    for _ in 0..<100 { #expect(judge.look([pulse.reading], elapsed: 1_000).isEmpty) }
    pulse.work()
    _ = judge.look([pulse.reading], elapsed: 1_000)
    #expect(
      judge.look([pulse.reading], elapsed: 1_000) == ["0"], "its rest is not held against it, its work is")
  }

  @Test func `each thread has its own patience`() {
    var judge = judge(1_000, 5_000)
    let first = Pulse()
    let second = Pulse()
    first.work()
    second.work()
    _ = judge.look([first.reading, second.reading], elapsed: 1_000)
    #expect(judge.look([first.reading, second.reading], elapsed: 1_000) == ["0"])
    for _ in 0..<4 { _ = judge.look([first.reading, second.reading], elapsed: 1_000) }
    #expect(judge.look([first.reading, second.reading], elapsed: 1_000) == ["0", "1"])
  }

  @Test func `time in which the whole process stood still does not count`() {
    var judge = judge(5_000)
    let pulse = Pulse()
    pulse.work()
    _ = judge.look([pulse.reading], elapsed: 1_000)
    #expect(judge.look([pulse.reading], elapsed: 3_600_000).isEmpty)
  }

  @Test func `every step changes the reading and says whether there is work`() {
    let pulse = Pulse()
    var before = pulse.reading
    for step in 0..<10 {
      if step % 3 == 0 { pulse.rest() } else { pulse.work() }
      #expect(pulse.reading != before)
      #expect(pulse.reading & 1 == (step % 3 == 0 ? 0 : 1))
      before = pulse.reading
    }
  }
}
