import Testing

@testable import NubStore
@testable import nub

struct PageTests {
  @Test func `a ranking that time did not suffice for says what it ranks, and how to go on`() {
    let page = Page<ResultRow>(rows: [], next: nil, ranksSince: 1_795_663_065_001)
    #expect(
      PageOptions.notice(page)
        == "time was up: these rank the jobs finished since 2026-11-26T03:17:45.001Z; "
        + "for those before: --until 2026-11-26T03:17:45.002Z")
    #expect(PageOptions.notice(Page<ResultRow>(rows: [], next: nil)) == nil)
  }
}
