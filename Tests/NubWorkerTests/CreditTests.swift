import Testing

@testable import NubWorker

@Suite struct CreditTests {
  private let pulled = Credit.Share(bytes: 5, isPulled: true)
  private let asked = Credit.Share(bytes: 5)

  @Test func `what direct doors hold is not charged to pipelines`() {
    var credit = Credit(maximumJobs: 10, maximumBytes: 1_000)
    credit.take(Credit.Share(bytes: 100))
    credit.take(pulled)
    #expect(credit.pulledJobs == 1 && credit.pulledBytes == 5 && credit.jobs == 2 && credit.bytes == 105)
    credit.giveBack(pulled)
    #expect(credit.pulledJobs == 0 && credit.pulledBytes == 0 && credit.jobs == 1 && credit.bytes == 100)
  }

  @Test(arguments: [(1, 1), (2, 2), (3, 3), (4, 3), (64, 48), (4_096, 3_072)])
  func `pipelines have three quarters of the jobs, and one at least`(maximum: Int, share: Int) {
    var credit = Credit(maximumJobs: maximum, maximumBytes: .max)
    for _ in 0..<share {
      #expect(!credit.isPulledShareExhausted)
      credit.take(pulled)
    }
    #expect(credit.isPulledShareExhausted)
    credit.giveBack(pulled)
    #expect(!credit.isPulledShareExhausted)
  }

  @Test func `pipelines have three quarters of the bytes`() {
    var credit = Credit(maximumJobs: 100, maximumBytes: 1_000)
    credit.take(Credit.Share(bytes: 749, isPulled: true))
    #expect(!credit.isPulledShareExhausted)
    credit.take(Credit.Share(bytes: 1, isPulled: true))
    #expect(credit.isPulledShareExhausted && !credit.isExhausted)
  }

  @Test func `a quarter is left to direct doors, and theirs is all of it`() {
    var credit = Credit(maximumJobs: 64, maximumBytes: .max)
    while !credit.isPulledShareExhausted { credit.take(pulled) }
    #expect(credit.jobs == 48 && !credit.isExhausted)
    while !credit.isExhausted { credit.take(asked) }
    #expect(credit.jobs == 64)
    // Without pipelines nothing is kept back.
    var direct = Credit(maximumJobs: 64, maximumBytes: .max)
    for _ in 0..<64 { direct.take(asked) }
    #expect(direct.isExhausted && !direct.isPulledShareExhausted)
  }
}
