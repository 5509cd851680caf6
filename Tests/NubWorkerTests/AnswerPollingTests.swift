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
      polling.answered()
    }
    #expect((8...20).contains(tries), "\(tries) tries in 2000 slow jobs")
  }

  @Test func oneQuickAnswerBringsItBack() {
    var polling = AnswerPolling(limitMicroseconds: 400)
    #expect(look(&polling, at: 0) == true)
    #expect(look(&polling, at: 500) == false)
    polling.answered()
    // One job is left alone after the first that took too long.
    #expect(look(&polling, at: 1_000) == false)
    polling.answered()
    for job in UInt64(2)..<10 {
      #expect(look(&polling, at: job * 1_000) == true)
      polling.answered()
    }
  }
}
