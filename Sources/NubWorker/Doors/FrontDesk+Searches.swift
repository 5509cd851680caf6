internal import DequeModule
internal import NubCap
internal import NubStore

/// Questions of `find_missing` that are being answered, a part of each in turn: 65 536 look-ups at once would keep everybody else
/// waiting for a tenth of a second and more.
struct Searches {
  struct Search {
    var asker: Asker
    var tenant: ShortBytes
    /// The hashes that were asked for.
    var hashes: [UInt8]
    /// Bytes of them that have been looked up.
    var done = 0
    /// The bytes of those that are missing.
    var missing: [UInt8] = []
  }

  private(set) var waiting: Deque<Search> = []
  /// Bytes of hashes in all of them.
  private(set) var bytes = 0

  var isEmpty: Bool { waiting.isEmpty }

  /// - Returns: false if that would be more than `limit` bytes of questions at once; one question is always taken.
  mutating func add(_ search: Search, limit: Int) -> Bool {
    guard waiting.isEmpty || bytes + search.hashes.count <= limit else { return false }
    bytes += search.hashes.count
    waiting.append(search)
    return true
  }

  /// Takes the one whose turn it is.
  mutating func next() -> Search? {
    guard let search = waiting.popFirst() else { return nil }
    bytes -= search.hashes.count
    return search
  }

  /// Puts one back that is not done, behind the others.
  mutating func putBack(_ search: Search) {
    bytes += search.hashes.count
    waiting.append(search)
  }
}

extension FrontDesk {
  func findMissing(_ body: UnsafeRawBufferPointer, _ tenant: ShortBytes, _ asker: Asker) {
    let count = body.count / CapHash.byteCount
    guard count <= limits.hashes else {
      return reply(
        to: asker, JobOutcome(.tooLarge, message: "\(count) hashes; at most \(limits.hashes) in one message"),
        as: .findMissing)
    }
    let search = Searches.Search(asker: asker, tenant: tenant, hashes: [UInt8](body))
    guard searches.add(search, limit: limits.searchBytes) else {
      return reply(to: asker, unavailable("too many questions at once"), as: .findMissing)
    }
  }

  /// Looks some hashes up, of one question after the other, until this round's share is used up.
  func advanceSearches() {
    guard !searches.isEmpty else { return }
    var share = limits.roundHashes
    do throws(StoreError) {
      try parts.reader.snapshot { () throws(StoreError) in
        while share > 0, var search = searches.next() {
          // A turn each, so that a short question does not wait for a long one.
          do throws(StoreError) {
            share -= try advance(&search, by: min(share, limits.turnHashes))
          } catch {
            share -= 1
            reply(to: search.asker, JobOutcome(storeFailure: error), as: .findMissing)
            continue
          }
          if search.done < search.hashes.count {
            searches.putBack(search)
          } else {
            reply(to: search.asker, JobOutcome(.ok, search.missing), as: .findMissing)
          }
        }
      }
    } catch {
      while let search = searches.next() {
        reply(to: search.asker, JobOutcome(storeFailure: error), as: .findMissing)
      }
    }
  }

  /// - Returns: how many hashes were looked up, at least 1, so that empty questions do not come for nothing.
  private func advance(_ search: inout Searches.Search, by count: Int) throws(StoreError) -> Int {
    let end = min(search.hashes.count, search.done + count * CapHash.byteCount)
    let part = search.done..<end
    search.done = end
    guard let tenant = try parts.reader.tenant(search.tenant) else {
      search.missing.append(contentsOf: search.hashes[part])
      return max(1, part.count / CapHash.byteCount)
    }
    var missing: [Int] = []
    try StoreBytes.array(Array(search.hashes[part])).withUnsafeBytes { (hashes) throws(StoreError) in
      try parts.reader.missingCaps(hashes, tenant: tenant, usedSince: keptSince) { missing.append($0) }
    }
    for index in missing {
      let start = part.lowerBound + index * CapHash.byteCount
      search.missing.append(contentsOf: search.hashes[start..<start + CapHash.byteCount])
    }
    return max(1, part.count / CapHash.byteCount)
  }

  /// Answers those that nobody will look up any more.
  func giveUpSearches() {
    while let search = searches.next() {
      reply(to: search.asker, unavailable("the worker is shutting down"), as: .findMissing)
    }
  }
}
