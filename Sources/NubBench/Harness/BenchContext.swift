import Foundation
import Glibc

/// What the figures need to know of the run they are in.
struct BenchContext: ~Copyable, Sendable {
  /// The program that has `worker` and `bench` as subcommands.
  let nub: String
  /// Where `ops/bench` has put the C programs; nil without them.
  let baselines: String?
  /// A folder of this run's own, for stores, sockets and logs. It goes when the run ends.
  let scratch: String
  /// Multiplies how much work a round does: 1 as documented, less for a look.
  let scale: Double

  init(nub: String, baselines: String?, scratch parent: String, scale: Double) throws(BenchError) {
    var template = Array("\(parent)/nub-bench.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw BenchError(.usage, "cannot make a folder in \(parent): \(String(cString: strerror(errno)))")
    }
    scratch = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    self.nub = nub
    self.baselines = baselines
    self.scale = scale
  }

  deinit { try? FileManager.default.removeItem(atPath: scratch) }

  /// `count` times the run's scale, at least `minimum`.
  func scaled(_ count: Int, minimum: Int = 1) -> Int { max(minimum, Int(Double(count) * scale)) }

  /// A C program's path, nil where it has not been built.
  func baseline(_ name: String) -> String? {
    guard let baselines else { return nil }
    let path = "\(baselines)/\(name)"
    return access(path, X_OK) == 0 ? path : nil
  }

  /// A contest whose other side is one run of a C program that prints its numbers; without that program there is no other side.
  func contest(
    _ program: String, _ arguments: [String], reading keys: [String],
    figure: @escaping () throws(BenchError) -> [Double?]
  ) -> Contest {
    guard let path = baseline(program) else { return Contest(figure: figure) }
    return Contest(figure: figure) { () throws(BenchError) in
      let numbers = try runForNumbers(path, arguments)
      return try keys.map { key throws(BenchError) in try numbers.number(key) }
    }
  }

  /// A path for a new store. Its files go with the scratch folder, or before.
  func storePath(_ name: String) -> String { "\(scratch)/\(name).db" }
}

/// Removes a store and what lies beside it.
func removeStore(_ path: String) {
  let folder = (path as NSString).deletingLastPathComponent
  let name = (path as NSString).lastPathComponent
  for file in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where file.hasPrefix(name)
  {
    try? FileManager.default.removeItem(atPath: "\(folder)/\(file)")
  }
}

/// Bytes of a store's database file and its log.
func storeBytes(_ path: String) -> Double {
  [path, path + "-wal"].reduce(0) { sum, file in
    let size = (try? FileManager.default.attributesOfItem(atPath: file))?[.size] as? NSNumber
    return sum + (size?.doubleValue ?? 0)
  }
}
