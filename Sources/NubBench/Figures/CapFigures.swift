import NubCap
import NubMachine

/// Caps: hashing, checking, and what the host does for a cap that a sandbox has already.
enum CapFigures {
  static let all: [Scenario] = [hash, decode, directory]

  private static let mebibyte = 1 << 20

  private static func wire(_ bytes: Int) -> [UInt8] {
    // A Data cap's selector and offset, then its bytes.
    [2, 4, 0, 0, 0] + (0..<bytes).map { UInt8(truncatingIfNeeded: $0 &* 31) }
  }

  /// The name of a Data cap of 1 MiB.
  private static let hash = Scenario("hash_1mib", "MB/s", against: "the same tree in C with SHA instructions")
  {
    context throws(BenchError) in
    let count = context.scaled(40)
    let bytes = Array(wire(mebibyte).dropFirst(5))
    return context.contest("cap_parts", ["hash", "\(count)"], reading: ["mb_per_second"]) {
      () throws(BenchError) in
      var last = CapHash.zero
      let seconds = timed { for _ in 0..<count { last = Cap.Data.hashTreeRoot(of: bytes.span.bytes) } }
      guard !last.isZero else { throw BenchError(.wrongResult, "the hash is zero") }
      return [Double(count * mebibyte) / seconds / 1e6]
    }
  }

  /// Checking the wire form of a Data cap of 1 MiB in place.
  private static let decode = Scenario("decode_1mib", "ns", against: "memcpy of 1 MiB") {
    context throws(BenchError) in
    let count = context.scaled(200_000)
    let bytes = wire(mebibyte)
    return context.contest("cap_parts", ["copy", "200"], reading: ["ns"]) { () throws(BenchError) in
      var size = 0
      let seconds = timed {
        for _ in 0..<count { size &+= (try? CapView(validating: bytes.span.bytes).dataRange?.count) ?? 0 }
      }
      guard size == count &* mebibyte else { throw BenchError(.wrongResult, "a good cap was refused") }
      return [seconds / Double(count) * 1e9]
    }
  }

  /// Looking for a cap in a guest's directory from the host, and a put that finds it there; 1000 caps in the directory.
  private static let directory = Scenario(
    "directory",
    [Measure("directory_lookup", "ns", against: "a probe of a table in C"), Measure("put_duplicate", "ns")]
  ) { context throws(BenchError) in
    let template = try machine { () throws(MachineError) in try SandboxTemplate(kvm: GuestImage.builtIn()) }
    let box = try SandboxBox(template)
    let wires = (0..<1_000).map { index in
      [2, 4, 0, 0, 0] + (0..<64).map { UInt8(truncatingIfNeeded: $0 &+ index) } + [
        UInt8(index & 255), UInt8(index >> 8),
      ]
    }
    var hashes: [CapHash] = []
    for wire in wires {
      hashes.append(try machine { () throws(MachineError) in try box.sandbox.putCap(wire) })
    }
    let rounds = context.scaled(300)
    let count = Double(rounds * hashes.count)
    return context.contest("cap_parts", ["probe", "\(rounds * hashes.count)"], reading: ["ns"]) {
      () throws(BenchError) in
      var found = 0
      let lookup = try timed { () throws(BenchError) in
        for _ in 0..<rounds {
          for hash in hashes {
            let has = try machine { () throws(MachineError) in try box.sandbox.directoryContains(hash) }
            if has { found += 1 }
          }
        }
      }
      guard found == rounds * hashes.count else { throw BenchError(.wrongResult, "\(found) caps were found") }
      var skipped = 0
      let put = try timed { () throws(BenchError) in
        for _ in 0..<rounds {
          for (hash, wire) in zip(hashes, wires) {
            let isNew = try machine { () throws(MachineError) in
              try box.sandbox.putCap(hash: hash, wire: wire)
            }
            if !isNew { skipped += 1 }
          }
        }
      }
      guard skipped == found else { throw BenchError(.wrongResult, "\(skipped) puts were skipped") }
      return [lookup / count * 1e9, put / count * 1e9]
    }
  }
}
