internal import NubCap

/// The graphs whose caps one tenant's sandbox was given: what refers to what.
///
/// A guest asks for one cap at a time. When that one is missing, the other holes of the graph that the call was about are known from
/// here, so that a producer is told all of them at once instead of one with each try.
struct SuppliedGraphs {
  private var references: [CapHash: [CapHash]] = [:]
  private var count = 0

  /// References that are remembered; beyond that, remembering starts anew. They take 32 bytes each.
  static let maximum = 65_536

  mutating func note(_ hash: CapHash, references caps: [CapHash]) {
    guard !caps.isEmpty, references[hash] == nil else { return }
    if count + caps.count > Self.maximum { removeAll() }
    references[hash] = caps
    count += caps.count
  }

  mutating func removeAll() {
    references.removeAll()
    count = 0
  }

  /// Everything that leads to `hashes`, over any number of steps.
  func ancestors(of hashes: [CapHash]) -> Set<CapHash> {
    guard !references.isEmpty else { return [] }
    var parents: [CapHash: [CapHash]] = [:]
    for (parent, children) in references {
      for child in children { parents[child, default: []].append(parent) }
    }
    var ancestors = Set<CapHash>()
    var next = hashes
    while let hash = next.popLast() {
      for parent in parents[hash] ?? [] where ancestors.insert(parent).inserted { next.append(parent) }
    }
    return ancestors
  }

  /// Everything that `roots` lead to, as far as it is known; each once.
  func below(_ roots: [CapHash]) -> [CapHash] {
    var seen = Set(roots)
    var found: [CapHash] = []
    var next = roots
    while let cap = next.popLast() {
      for child in references[cap] ?? [] where seen.insert(child).inserted {
        found.append(child)
        next.append(child)
      }
    }
    return found
  }
}
