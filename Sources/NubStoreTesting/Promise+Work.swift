import NubCap
import NubStore
import NubStoreSamples
import Testing

extension Promise {
  static let work: [Promise] = [
    Promise("work is entered by one at a time, of one process or several") { provider in
      let test = try provider.makeStore(StoreOptions())
      let (first, second) = (try test.store.makeWorkBook(), try test.reopen().makeWorkBook())
      let (key, other) = (WorkKey(rawValue: 7), WorkKey(rawValue: .max))
      #expect(!first.isUnderWay(key) && !second.isUnderWay(key))
      #expect(first.begin(key))
      #expect(!first.begin(key) && !second.begin(key))
      #expect(first.isUnderWay(key) && second.isUnderWay(key))
      // What somebody else has entered is theirs to take out.
      second.end(key)
      #expect(second.isUnderWay(key) && !second.begin(key))
      #expect(second.begin(other) && !first.begin(other))
      first.end(key)
      #expect(!second.isUnderWay(key) && second.begin(key))
    },
    Promise("an entry ends with the book that made it") { provider in
      let test = try provider.makeStore(StoreOptions())
      var first: (any WorkBook)? = try test.store.makeWorkBook()
      let second = try test.reopen().makeWorkBook()
      let key = WorkKey(rawValue: 1)
      #expect(first?.begin(key) == true && !second.begin(key))
      first = nil
      #expect(second.begin(key))
    },
    Promise("whoever is at work leaves word of it for those with the same key") { provider in
      let test = try provider.makeStore(StoreOptions())
      let (first, second) = (try test.store.makeWorkBook(), try test.reopen().makeWorkBook())
      let (key, other) = (WorkKey(rawValue: 3), WorkKey(rawValue: 4))
      #expect(first.result(of: key) == nil)
      #expect(first.begin(key))
      let cap = Sample.cap("done").hash
      first.note(cap, of: key)
      #expect(second.result(of: key) == cap && second.result(of: other) == nil)
      first.end(key)
      #expect(second.result(of: key) == cap)
      // What a few dozen at a time leave is found by all of them.
      let many = (0..<40).map { WorkKey(rawValue: UInt64($0) &* 0x9e37_79b9_7f4a_7c15) }
      for (number, key) in many.enumerated() { second.note(Sample.cap("\(number)").hash, of: key) }
      for (number, key) in many.enumerated() {
        #expect(first.result(of: key) == Sample.cap("\(number)").hash)
      }
    },
    Promise("all books of a store have one secret, and stores have different ones") { provider in
      let test = try provider.makeStore(StoreOptions())
      let books = [try test.store.makeWorkBook(), try test.reopen().makeWorkBook()]
      #expect(books[0].secret == books[1].secret)
      let other = try provider.makeStore(StoreOptions())
      #expect(try other.store.makeWorkBook().secret != books[0].secret)
    },
  ]
}
