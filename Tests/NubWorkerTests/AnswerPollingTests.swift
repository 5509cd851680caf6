import Testing

@testable import NubWorker

@Suite struct AnswerPollingTests {
  private func look(_ polling: inout AnswerPolling, at microseconds: UInt64, jobs: Int = 1) -> Bool {
    polling.looksAgain(at: at(microseconds), jobs: jobs)
  }

  private func at(_ microseconds: UInt64) -> Monotonic { Monotonic(nanoseconds: microseconds * 1_000) }

  @Test func aLoneJobIsLookedOutForUntilTheLimit() {
    var polling = AnswerPolling(limitMicroseconds: 400)
    #expect(look(&polling, at: 0) == true)
    #expect(look(&polling, at: 399) == true)
    #expect(look(&polling, at: 400) == false)
    #expect(look(&polling, at: 401) == false, "it gave up for this job")
  }

  @Test func nobodyIsLookedOutForWithoutJobsWithManyOrWhereItIsOff() {
    var polling = AnswerPolling(limitMicroseconds: 400)
    #expect(look(&polling, at: 0, jobs: 0) == false)
    #expect(look(&polling, at: 0, jobs: 2) == false)
    var off = AnswerPolling(limitMicroseconds: 0)
    #expect(look(&off, at: 0) == false)
  }

  @Test func whereAnswersTakeLongItTriesMoreAndMoreSeldom() {
    var polling = AnswerPolling(limitMicroseconds: 400)
    var tries = 0
    for job in UInt64(0)..<2_000 {
      if look(&polling, at: job * 1_000) {
        tries += 1
        #expect(look(&polling, at: job * 1_000 + 500) == false)
      }
      polling.answered(at: at(job * 1_000 + 600))
    }
    #expect((8...20).contains(tries), "\(tries) tries in 2000 slow jobs")
  }

  @Test func oneQuickAnswerBringsItBackThoughNobodyLookedOutForIt() {
    var polling = AnswerPolling(limitMicroseconds: 400)
    var time: UInt64 = 0
    // Several slow ones, until it leaves jobs alone.
    for _ in 0..<20 {
      if look(&polling, at: time) { _ = look(&polling, at: time + 500) }
      polling.answered(at: at(time + 600))
      time += 1_000
    }
    #expect(look(&polling, at: time) == false)
    polling.answered(at: at(time + 300))
    for _ in 0..<10 {
      time += 1_000
      #expect(look(&polling, at: time) == true)
      polling.answered(at: at(time + 300))
    }
  }
}
