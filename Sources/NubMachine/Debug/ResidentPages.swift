import Glibc

/// Which pages of this process's memory have ever been touched, from `/proc/self/pagemap`
/// (Linux, Documentation/admin-guide/mm/pagemap.rst).
struct ResidentPages {
  // An entry's bits 63 and 62: present, swapped.
  private static let touched: UInt64 = 3 << 62
  private static let pageSize: UInt = 4096

  /// Ranges of page numbers, counted from the view's first page, ascending. The whole view where the system does not say.
  static func ranges(of view: UnsafeRawBufferPointer) -> [Range<Int>] {
    let pages = view.count / Int(pageSize)
    guard pages > 0 else { return [] }
    let file = unsafe open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return [0..<pages] }
    defer { close(file) }
    let first = UInt(bitPattern: view.baseAddress) / pageSize
    var ranges: [Range<Int>] = []
    var entries = [UInt64](repeating: 0, count: 8192)
    var page = 0
    while page < pages {
      let wanted = min(entries.count, pages - page)
      let offset = off_t((first + UInt(page)) * 8)
      let got = unsafe entries.withUnsafeMutableBytes { bytes in
        unsafe pread(file, bytes.baseAddress, wanted * 8, offset)
      }
      guard got >= 8 else { return [0..<pages] }
      for index in 0..<(got / 8) where entries[index] & touched != 0 {
        if let last = ranges.last, last.upperBound == page + index {
          ranges[ranges.count - 1] = last.lowerBound..<(page + index + 1)
        } else {
          ranges.append((page + index)..<(page + index + 1))
        }
      }
      page += got / 8
    }
    return ranges
  }

  /// Joins ranges whose gaps are small until there are at most `limit`.
  static func joined(_ ranges: [Range<Int>], limit: Int) -> [Range<Int>] {
    var ranges = ranges
    var gap = 4
    while ranges.count > max(limit, 1) {
      var joined: [Range<Int>] = []
      for range in ranges {
        if let last = joined.last, range.lowerBound - last.upperBound <= gap {
          joined[joined.count - 1] = last.lowerBound..<range.upperBound
        } else {
          joined.append(range)
        }
      }
      ranges = joined
      gap = gap.multipliedReportingOverflow(by: 2).overflow ? gap : gap * 2
    }
    return ranges
  }
}
