/// Work over time as an inline picture: no script, no library.
enum Chart {
  /// - Parameters:
  ///   - bins: oldest first; nil where nothing was measured.
  ///   - seconds: how long a bin is.
  static func throughput(_ bins: [ThroughputRing.Sample?], seconds: Int) -> HTML {
    let rates = bins.map { bin in bin.map { Double($0.succeeded + $0.failed) / Double(seconds) } }
    let top = max(rates.compactMap { $0 }.max() ?? 0, 1)
    let width = 600.0
    let height = 120.0
    let step = width / Double(max(1, bins.count))
    func y(_ rate: Double) -> String { number(height - 4 - rate / top * (height - 12)) }
    var line = ""
    var first: Double?
    var last = 0.0
    for (index, rate) in rates.enumerated() {
      guard let rate else { continue }
      // A step for each bin, as wide as the time that it stands for: the first one can be seen, too.
      let x = Double(index) * step
      if first == nil { first = x }
      last = x + step
      line += (line.isEmpty ? "M" : "L") + "\(number(x)) \(y(rate))L\(number(last)) \(y(rate))"
    }
    let area =
      first.map { "\(line)L\(number(last)) \(number(height - 4))L\(number($0)) \(number(height - 4))Z" } ?? ""
    var failures: [HTML] = []
    for (index, bin) in bins.enumerated() {
      guard let bin, bin.failed > 0 else { continue }
      // Never so small that a single failure among thousands of jobs could not be seen.
      let tall = max(Double(bin.failed) / Double(seconds) / top * (height - 12), 3)
      failures.append(
        """
        <rect class="fail" x="\(number(Double(index) * step + step * 0.2))" y="\(number(height - 4 - tall))" \
        width="\(number(step * 0.6))" height="\(number(tall))"/>
        """)
    }
    let minutes = bins.count * seconds / 60
    return """
      <div class="card chart"><svg viewBox="0 0 600 120" preserveAspectRatio="none" role="img" \
      aria-label="Jobs per second over the last \(minutes) minutes">\
      <path class="area" d="\(area)"/><path class="line" d="\(line)"/>\(failures)\
      <path class="base" d="M0 116.5H600"/></svg>\
      <div class="legend"><span>\(minutes) min ago</span><span>highest \(rates.contains { ($0 ?? 0) > 0 } ? Show.decimal(top) : "0")\
       jobs/s</span><span>now</span></div></div>
      """
  }

  private static func number(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(abs(tenths % 10))"
  }
}
