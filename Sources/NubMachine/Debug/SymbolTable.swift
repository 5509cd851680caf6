import NubELF

/// The function symbols of an image, for naming addresses. Empty where the image is stripped.
struct SymbolTable: Sendable {
  private struct Entry {
    var address: UInt64
    /// Behind its last byte; where the image does not say, the next symbol's address.
    var end: UInt64
    var name: String
  }

  /// Sorted by address.
  private let entries: [Entry]

  init(_ elf: ELFFile) {
    let symbols = ((try? elf.symbols()) ?? []).filter { $0.isDefined && $0.type == 2 }
      .sorted { $0.address != $1.address ? $0.address < $1.address : $0.size > $1.size }
    var entries: [Entry] = []
    entries.reserveCapacity(symbols.count)
    for (index, symbol) in symbols.enumerated() where entries.last?.address != symbol.address {
      // The file is somebody else's: sizes may wrap.
      let (sum, overflow) = symbol.address.addingReportingOverflow(symbol.size)
      let next = index + 1 < symbols.count ? symbols[index + 1].address : symbol.address &+ 1
      let end = symbol.size == 0 ? next : overflow ? .max : sum
      entries.append(Entry(address: symbol.address, end: end, name: symbol.name))
    }
    self.entries = entries
  }

  /// The function that an address lies in, and how far into it.
  func find(_ address: UInt64) -> (name: String, offset: UInt64)? {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].address <= address { low = middle + 1 } else { high = middle }
    }
    guard low > 0, address < entries[low - 1].end else { return nil }
    return (entries[low - 1].name, address - entries[low - 1].address)
  }
}
