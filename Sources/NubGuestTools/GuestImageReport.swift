import NubELF
public import NubMachine

/// What is in an image, for people and for programs.
public struct GuestImageReport: Codable, Sendable, Equatable {
  public struct Function: Codable, Sendable, Equatable {
    public var id: UInt32
    public var name: String
    /// 0 to 255: nub's own, in every image.
    public var isReserved: Bool
    /// Bytes of code, where the image has symbols.
    public var codeSize: UInt64?
  }

  /// A part of the image that is loaded into a sandbox.
  public struct Segment: Codable, Sendable, Equatable {
    public var address: UInt64
    public var fileSize: UInt64
    public var memorySize: UInt64
    /// `r`, `w` and `x`, or `-` in their places.
    public var access: String
    /// True where all sandboxes share one copy.
    public var isShared: Bool
  }

  public struct Section: Codable, Sendable, Equatable {
    public var name: String
    /// 0 for sections that are not loaded.
    public var address: UInt64
    public var size: UInt64
  }

  /// Bytes of the file.
  public var fileSize: UInt64
  public var entry: UInt64
  public var functions: [Function]
  public var segments: [Segment]
  public var sections: [Section]
  public var hasSymbols: Bool
  public var hasDebugInfo: Bool
  /// Bytes that every sandbox has a copy of, and bytes that all share.
  public var privateSize: UInt64
  public var sharedSize: UInt64

  public init(_ image: GuestImage) {
    let elf = image.elf
    let symbols = (try? elf.symbols()) ?? []
    let sizes = Dictionary(symbols.map { ($0.name, $0.size) }, uniquingKeysWith: max)
    fileSize = UInt64(elf.bytes.count)
    entry = elf.entry
    functions = image.functions.map { function in
      Function(
        id: function.id, name: function.name, isReserved: function.id < 256,
        codeSize: sizes["nub_fn_\(function.id)_\(function.name)"])
    }
    segments = elf.segments.filter { $0.type == ELFFile.Segment.load && $0.memorySize > 0 }.map { segment in
      Segment(
        address: segment.address, fileSize: segment.fileSize, memorySize: segment.memorySize,
        access: (segment.isReadable ? "r" : "-") + (segment.isWritable ? "w" : "-")
          + (segment.isExecutable ? "x" : "-"),
        isShared: !segment.isWritable)
    }
    sections = elf.sections.filter { !$0.name.isEmpty }.map {
      Section(name: $0.name, address: $0.address, size: $0.size)
    }
    hasSymbols = !symbols.isEmpty
    hasDebugInfo = elf.section(named: ".debug_info") != nil
    privateSize = segments.reduce(0) { $0 &+ ($1.isShared ? 0 : $1.memorySize) }
    sharedSize = segments.reduce(0) { $0 &+ ($1.isShared ? $1.memorySize : 0) }
  }

  /// The report as lines of text.
  public var text: String {
    var lines = [
      "file        \(fileSize) bytes, entry at \(hexadecimal(entry))",
      "in memory   \(sharedSize) bytes shared by all sandboxes, \(privateSize) bytes in each",
      "symbols     \(hasSymbols ? "yes" : "no"), debug info \(hasDebugInfo ? "yes" : "no")",
      "", "functions",
    ]
    for function in functions {
      let size = function.codeSize.map { "\($0) bytes" } ?? ""
      lines.append(
        "  \(column(String(function.id), 8))\(column(function.name, 34))\(column(size, 14))\(function.isReserved ? "nub" : "")"
      )
    }
    lines += ["", "segments"]
    for segment in segments {
      lines.append(
        "  \(column(hexadecimal(segment.address), 14))\(segment.access)  \(segment.fileSize) of \(segment.memorySize) bytes from the file"
      )
    }
    lines += ["", "sections"]
    for section in sections {
      let place = section.address == 0 ? "not loaded" : hexadecimal(section.address)
      lines.append("  \(column(section.name, 28))\(column(place, 14))\(section.size) bytes")
    }
    return lines.map { String($0.reversed().drop { $0 == " " }.reversed()) }.joined(separator: "\n")
  }

  private func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
  private func column(_ text: String, _ width: Int) -> String {
    text.count < width ? text + String(repeating: " ", count: width - text.count) : text + " "
  }
}
