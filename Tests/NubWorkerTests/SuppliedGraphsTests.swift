import NubCap
import Testing

@testable import NubWorker

@Suite struct SuppliedGraphsTests {
  private func cap(_ number: UInt8) throws -> CapHash {
    try #require(CapHash([UInt8](repeating: number, count: 32)))
  }

  private func caps(_ numbers: UInt8...) throws -> [CapHash] { try numbers.map { try cap($0) } }

  /// 1 refers to 2 and 3, 2 to 4 and 5, 3 to 5 and 6; 10 to 11 is another graph.
  private func graphs() throws -> SuppliedGraphs {
    var graphs = SuppliedGraphs()
    graphs.note(try cap(1), references: try caps(2, 3))
    graphs.note(try cap(2), references: try caps(4, 5))
    graphs.note(try cap(3), references: try caps(5, 6))
    graphs.note(try cap(10), references: try caps(11))
    return graphs
  }

  @Test func `what leads to a cap is found over any number of steps`() throws {
    #expect(try graphs().ancestors(of: try caps(4)) == Set(try caps(1, 2)))
    #expect(try graphs().ancestors(of: try caps(5)) == Set(try caps(1, 2, 3)))
    #expect(try graphs().ancestors(of: try caps(9)).isEmpty)
    #expect(SuppliedGraphs().ancestors(of: try caps(4)).isEmpty)
  }

  @Test func `what a cap leads to is found once each`() throws {
    let below = try graphs().below(try caps(1))
    #expect(Set(below) == Set(try caps(2, 3, 4, 5, 6)))
    #expect(below.count == 5)
    #expect(try graphs().below(try caps(4)).isEmpty)
  }

  @Test func `what is remembered is bounded`() throws {
    var graphs = try graphs()
    graphs.note(try cap(20), references: Array(repeating: try cap(21), count: SuppliedGraphs.maximum))
    #expect(graphs.ancestors(of: try caps(4)).isEmpty)
  }
}

@Suite struct SearchesTests {
  private func search(_ hashes: Int) throws -> Searches.Search {
    Searches.Search(
      asker: Asker(door: 0, envelope: Envelope(), id: try #require(ShortBytes("id"))),
      tenant: ShortBytes(), hashes: [UInt8](repeating: 0, count: hashes * 32))
  }

  @Test func `questions wait up to a number of bytes, and one is always taken`() throws {
    var searches = Searches()
    #expect(searches.add(try search(1_000), limit: 100))
    #expect(!searches.add(try search(1), limit: 100))
    let next = searches.next()
    let taken = try #require(next)
    #expect(searches.isEmpty && searches.bytes == 0)
    searches.putBack(taken)
    #expect(searches.bytes == 32_000)
  }

  @Test func `a question that is not done goes behind the others`() throws {
    var searches = Searches()
    #expect(searches.add(try search(5), limit: 1 << 20))
    #expect(searches.add(try search(3), limit: 1 << 20))
    let next = searches.next()
    searches.putBack(try #require(next))
    #expect(searches.next()?.hashes.count == 3 * 32)
    #expect(searches.next()?.hashes.count == 5 * 32)
    #expect(searches.next()?.hashes.count == nil)
  }
}
