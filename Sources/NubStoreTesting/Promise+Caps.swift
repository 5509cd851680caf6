import NubCap
import NubStore
import NubStoreSamples
import Testing

extension Promise {
  static let caps: [Promise] = [
    Promise("a cap is stored once, whoever puts it, and shown to those who did") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let (red, blue) = (try writer.tenant("red"), try writer.tenant("blue"))
      let cap = Sample.cap("c", tenant: red)
      try writer.commit { $0.caps = [cap] }
      let reader = try test.store.makeReader()
      #expect(try reader.hasCap(cap.hash, tenant: red))
      #expect(try !reader.hasCap(cap.hash, tenant: blue))
      #expect(try reader.wire(cap.hash, tenant: blue) == nil)
      try writer.commit { $0.caps = [Sample.cap("c", tenant: blue), Sample.cap("c", tenant: red)] }
      #expect(try reader.wire(cap.hash, tenant: blue) == Sample.wire("c"))
      let row = try #require(try test.queries().cap(cap.hash))
      #expect(row.row.puts == 3 && row.tenants == ["blue", "red"])
    },
    Promise("find_missing names the absent ones of ten thousand, in order") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let caps = (0..<200).map { Sample.cap("\($0)", count: 10) }
      try writer.commit { $0.caps = caps }
      let reader = try test.store.makeReader()
      var hashes: [UInt8] = []
      var absent: [Int] = []
      for index in 0..<10_000 {
        if index % 50 == 0 {
          hashes += caps[index / 50].hash.bytes
        } else {
          hashes += Sample.bytes("absent \(index)", count: 32)
          absent.append(index)
        }
      }
      var missing: [Int] = []
      try reader.snapshot { () throws(StoreError) in
        try StoreBytes.array(hashes).withUnsafeBytes { (hashes) throws(StoreError) in
          try reader.missingCaps(hashes, tenant: .default, usedSince: .min) { missing.append($0) }
        }
      }
      #expect(missing == absent)
      // A cap that may expire is not known for sure.
      var old: [Int] = []
      try writer.commit {
        $0.capUses = [CapUse(hash: caps[3].hash, skips: 0, lastUsedMilliseconds: .max / 2)]
      }
      try StoreBytes.array(caps[2].hash.bytes + caps[3].hash.bytes).withUnsafeBytes {
        (hashes) throws(StoreError) in
        try reader.missingCaps(hashes, tenant: .default, usedSince: .max / 2) { old.append($0) }
      }
      #expect(old == [0])
      #expect(try reader.lastUse(ofCap: caps[3].hash, tenant: .default) == .max / 2)
    },
    Promise("a tenant sees what its caps refer to, in whatever order they came") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let (red, blue) = (try writer.tenant("red"), try writer.tenant("blue"))
      let leaf = Sample.cap("leaf", tenant: red)
      var middle = Sample.cap("middle", tenant: red)
      middle.references = [leaf.hash]
      var root = Sample.cap("root", tenant: blue)
      root.references = [middle.hash]
      let reader = try test.store.makeReader()
      // Top down: blue's root first, then red's, from the middle to the leaf.
      try writer.commit { $0.caps = [root] }
      try writer.commit { $0.caps = [middle] }
      #expect(try reader.hasCap(middle.hash, tenant: blue))
      try writer.commit { $0.caps = [leaf] }
      #expect(try reader.hasCap(leaf.hash, tenant: blue))
      #expect(try !reader.hasCap(root.hash, tenant: red))
      // From below: green puts the root when all is there.
      let green = try writer.tenant("green")
      #expect(try !reader.hasCap(leaf.hash, tenant: green))
      root.tenant = green
      try writer.commit { $0.caps = [root] }
      #expect(try reader.hasCap(leaf.hash, tenant: green) && reader.hasCap(middle.hash, tenant: green))
    },
    Promise("a graph comes out breadth first, each cap once, with what is missing") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let leaf = Sample.cap("leaf")
      let absent = Sample.cap("absent").hash
      var left = Sample.cap("left")
      left.references = [leaf.hash, absent]
      var right = Sample.cap("right")
      right.references = [leaf.hash]
      var root = Sample.cap("root")
      root.references = [left.hash, right.hash]
      try writer.commit { $0.caps = [leaf, left, right, root] }
      let reader = try test.store.makeReader()
      var found: [(CapHash, Int)] = []
      var missing: [(CapHash, Int)] = []
      try reader.caps(
        reachableFrom: [root.hash, root.hash], tenant: .default,
        found: { hash, depth, wire in
          #expect(Sample.hash(ofWire: Array(wire)) == hash)
          found.append((hash, depth))
          return true
        }, missing: { missing.append(($0, $1)) })
      #expect(found.first?.0 == root.hash)
      #expect(found.map(\.1) == [0, 1, 1, 2])
      #expect(Set(found.map(\.0)) == [root.hash, left.hash, right.hash, leaf.hash])
      #expect(missing.map(\.0) == [absent] && missing.map(\.1) == [2])
      var count = 0
      try reader.caps(
        reachableFrom: [root.hash], tenant: .default,
        found: { _, _, _ in
          count += 1
          return count < 2
        }, missing: { _, _ in })
      #expect(count == 2)
    },
    Promise("a cap whose references are missing is accepted and said to be incomplete, until they come") {
      provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let children = ["one", "two", "three"].map { Sample.cap($0) }
      var parent = Sample.cap("parent")
      parent.references = children.map(\.hash)
      func file(_ caps: [NewCap]) throws -> [Int: Int] {
        var batch = CommitBatch()
        batch.caps = caps
        var incomplete: [Int: Int] = [:]
        try writer.commit(batch, lost: { _, _ in }, incomplete: { incomplete[$0] = $1 })
        return incomplete
      }
      func listed(onlyIncomplete: Bool) throws -> [Bool] {
        var filter = CapFilter()
        filter.onlyIncomplete = onlyIncomplete
        return try test.queries().caps(filter, limit: 10, after: nil, budget: .seconds(60)).rows.map(
          \.isIncomplete)
      }
      #expect(try file([Sample.cap("leaf"), parent]) == [1: 3])
      #expect(try listed(onlyIncomplete: true) == [true] && listed(onlyIncomplete: false) == [true, false])
      // One that comes behind it in the same batch is there in the end.
      #expect(try file([parent, children[0]]) == [0: 2])
      #expect(try file([children[1], children[2]]) == [:])
      #expect(try file([parent]) == [:])
      #expect(try listed(onlyIncomplete: true) == [])
      let detail = try #require(try test.queries().cap(parent.hash))
      #expect(detail.references.count == 3 && detail.references.allSatisfy(\.isPresent))
    },
    Promise("uses are added up") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let cap = Sample.cap("c")
      try writer.commit { $0.caps = [cap] }
      for _ in 0..<2 {
        try writer.commit {
          $0.capUses = [CapUse(hash: cap.hash, skips: 5, lastUsedMilliseconds: Sample.now)]
        }
      }
      let row = try #require(try test.queries().cap(cap.hash)).row
      #expect(row.puts == 1 && row.skips == 10 && row.lastUsedMilliseconds == Sample.now)
    },
    Promise("verifying finds the caps whose bytes are not theirs") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      var wrong = Sample.cap("wrong")
      wrong.hash = Sample.cap("other").hash
      var garbage = Sample.cap("garbage")
      garbage.wire = .array([9, 9, 9])
      var otherKind = Sample.cap("other kind")
      otherKind.kind = 4
      var forgetful = Sample.cap("refers to what its bytes do not")
      forgetful.references = [wrong.hash]
      try writer.commit {
        $0.caps = (0..<20).map { Sample.cap("\($0)") } + [wrong, garbage, otherKind, forgetful]
      }
      let queries = try test.queries()
      var damaged: [CapHash] = []
      var checked = 0
      var cursor: PageCursor?
      repeat {
        let outcome = try queries.verifyCaps(after: cursor, bytes: 2_000)
        damaged += outcome.damaged
        checked += outcome.checked
        cursor = outcome.next
      } while cursor != nil
      #expect(checked == 24)
      #expect(Set(damaged) == [wrong.hash, garbage.hash, otherKind.hash, forgetful.hash])
    },
    Promise("caps are collected when nothing refers to them and nobody uses them, from the top down") {
      provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let leaf = Sample.cap("leaf")
      let used = Sample.cap("used")
      var root = Sample.cap("root")
      root.references = [leaf.hash]
      var keeper = Sample.cap("keeper")
      keeper.references = [Sample.cap("kept").hash]
      try writer.commit { $0.caps = [leaf, root, used, keeper, Sample.cap("kept")] }
      try writer.commit { batch in
        batch.capUses = [used, keeper].map {
          CapUse(hash: $0.hash, skips: 1, lastUsedMilliseconds: Sample.now)
        }
      }
      let maintenance = try test.maintenance()
      let dry = try maintenance.collectCaps(unusedSince: Sample.now, dryRun: true) { _ in true }
      let wet = try maintenance.collectCaps(unusedSince: Sample.now, dryRun: false) { _ in true }
      #expect(dry == wet)
      #expect(wet.caps == 2)
      let reader = try test.store.makeReader()
      #expect(try !reader.hasCap(root.hash, tenant: .default) && !reader.hasCap(leaf.hash, tenant: .default))
      #expect(try reader.hasCap(used.hash, tenant: .default))
      #expect(try reader.hasCap(Sample.cap("kept").hash, tenant: .default))
    },
  ]
}
