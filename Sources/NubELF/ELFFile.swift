/// A bounds-checked view of a 64-bit little-endian x86-64 ELF file (System V ABI, chapters 4 and 5; AMD64 supplement).
///
/// The file is hostile: every offset, size and count is checked against the file's length before it is used, sums do not
/// wrap, and a name that does not end inside its table is an error. Nothing is copied but names.
public struct ELFFile: Sendable {
  public enum Kind: UInt16, Sendable {
    case relocatable = 1
    case executable = 2
    case core = 4
  }

  /// A program header.
  public struct Segment: Sendable, Equatable {
    public static let load: UInt32 = 1
    public var type: UInt32
    public var flags: UInt32
    public var offset: UInt64
    public var address: UInt64
    public var fileSize: UInt64
    public var memorySize: UInt64
    public var isExecutable: Bool { flags & 1 != 0 }
    public var isWritable: Bool { flags & 2 != 0 }
    public var isReadable: Bool { flags & 4 != 0 }
  }

  public struct Section: Sendable, Equatable {
    static let null: UInt32 = 0
    static let symbolTable: UInt32 = 2
    static let noBits: UInt32 = 8
    public var name: String
    public var type: UInt32
    public var address: UInt64
    public var offset: UInt64
    public var size: UInt64
    var link: UInt32
    var nameOffset: UInt32
  }

  public struct Symbol: Sendable, Equatable {
    public var name: String
    public var address: UInt64
    public var size: UInt64
    /// ELF64_ST_TYPE: 1 object, 2 function (System V ABI, chapter 4, symbol table).
    public var type: UInt8
    public var isGlobal: Bool
    public var isDefined: Bool

    public static let function: UInt8 = 2
  }

  public let bytes: [UInt8]
  public let kind: Kind
  public let entry: UInt64
  public let segments: [Segment]
  public let sections: [Section]

  /// Reads the headers. Throws ``ELFError`` with what is wrong where the file cannot be used.
  public init(_ bytes: [UInt8]) throws(ELFError) {
    let reader = ELFReader(bytes)
    guard bytes.count >= 64 else {
      throw ELFError(.truncated, "\(bytes.count) bytes are too few for an ELF header (64)")
    }
    guard bytes.starts(with: [0x7f, 0x45, 0x4c, 0x46]) else {
      throw ELFError(.notELF, "the file does not begin with \\x7fELF")
    }
    guard bytes[4] == 2, bytes[5] == 1 else {
      throw ELFError(.foreign, "the file is not a 64-bit little-endian ELF; an image is x86-64")
    }
    guard try reader.u16(18) == 62 else {
      throw ELFError(.foreign, "the file is for machine \(try reader.u16(18)); an image is x86-64 (62)")
    }
    guard let kind = Kind(rawValue: try reader.u16(16)) else {
      throw ELFError(.foreign, "the file is of ELF type \(try reader.u16(16)); expected an executable (2)")
    }
    self.bytes = bytes
    self.kind = kind
    entry = try reader.u64(24)

    let programOffset = try reader.u64(32)
    let programCount = UInt64(try reader.u16(56))
    if programCount > 0, try reader.u16(54) != 56 {
      throw ELFError(.malformed, "program headers are not 56 bytes")
    }
    try reader.check(programOffset, programCount * 56, "program headers")
    var segments: [Segment] = []
    for index in 0..<programCount {
      let at = programOffset + index * 56
      let segment = Segment(
        type: try reader.u32(at), flags: try reader.u32(at + 4), offset: try reader.u64(at + 8),
        address: try reader.u64(at + 16), fileSize: try reader.u64(at + 32),
        memorySize: try reader.u64(at + 40))
      if segment.type == Segment.load {
        try reader.check(segment.offset, segment.fileSize, "segment \(index)")
        guard segment.fileSize <= segment.memorySize else {
          throw ELFError(.malformed, "segment \(index) has more bytes in the file than in memory")
        }
        guard !segment.address.addingReportingOverflow(segment.memorySize).overflow else {
          throw ELFError(.malformed, "segment \(index) wraps around the address space")
        }
      }
      segments.append(segment)
    }
    self.segments = segments
    sections = try ELFFile.readSections(reader)
  }

  private static func readSections(_ reader: ELFReader) throws(ELFError) -> [Section] {
    let offset = try reader.u64(40)
    let count = UInt64(try reader.u16(60))
    guard count > 0 else { return [] }
    guard try reader.u16(58) == 64 else { throw ELFError(.malformed, "section headers are not 64 bytes") }
    try reader.check(offset, count * 64, "section headers")
    var sections: [Section] = []
    for index in 0..<count {
      let at = offset + index * 64
      let section = Section(
        name: "", type: try reader.u32(at + 4), address: try reader.u64(at + 16),
        offset: try reader.u64(at + 24),
        size: try reader.u64(at + 32), link: try reader.u32(at + 40), nameOffset: try reader.u32(at))
      if section.type != Section.noBits, section.type != Section.null {
        try reader.check(section.offset, section.size, "section \(index)")
      }
      sections.append(section)
    }
    let names = Int(try reader.u16(62))
    guard names < sections.count else {
      throw ELFError(.malformed, "the section with section names does not exist")
    }
    let table = sections[names]
    for index in sections.indices where table.type == 3 {
      sections[index].name = try reader.name(in: table, at: sections[index].nameOffset)
    }
    return sections
  }

  public func section(named name: String) -> Section? { sections.first { $0.name == name } }

  /// The bytes of a section in the file; empty for one that has none.
  public func contents(of section: Section) -> ArraySlice<UInt8> {
    section.type == Section.noBits || section.type == Section.null
      ? [] : bytes[Int(section.offset)..<Int(section.offset + section.size)]
  }

  /// Every named symbol of the symbol table; none where the file is stripped.
  public func symbols() throws(ELFError) -> [Symbol] {
    guard let table = sections.first(where: { $0.type == Section.symbolTable }) else { return [] }
    guard Int(table.link) < sections.count, sections[Int(table.link)].type == 3 else {
      throw ELFError(.malformed, "the symbol table names no string table")
    }
    let strings = sections[Int(table.link)]
    let reader = ELFReader(bytes)
    var symbols: [Symbol] = []
    for index in 0..<(table.size / 24) {
      let at = table.offset + index * 24
      let nameOffset = try reader.u32(at)
      guard nameOffset != 0 else { continue }
      let info = try reader.u8(at + 4)
      symbols.append(
        Symbol(
          name: try reader.name(in: strings, at: nameOffset), address: try reader.u64(at + 8),
          size: try reader.u64(at + 16), type: info & 15, isGlobal: info >> 4 != 0,
          isDefined: try reader.u16(at + 6) != 0))
    }
    return symbols
  }

  /// `count` bytes at a virtual address of a loaded segment, as far as the file has them.
  public func loaded(at address: UInt64, count: UInt64) -> ArraySlice<UInt8>? {
    for segment in segments where segment.type == Segment.load && address >= segment.address {
      let start = address - segment.address
      if start < segment.fileSize, count <= segment.fileSize - start {
        let first = Int(segment.offset + start)
        return bytes[first..<(first + Int(count))]
      }
    }
    return nil
  }
}

/// Loads of little-endian numbers and names at checked places.
struct ELFReader {
  let bytes: [UInt8]
  init(_ bytes: [UInt8]) { self.bytes = bytes }

  func check(_ offset: UInt64, _ size: UInt64, _ what: @autoclosure () -> String) throws(ELFError) {
    let (end, overflow) = offset.addingReportingOverflow(size)
    guard !overflow, end <= UInt64(bytes.count) else {
      throw ELFError(
        .truncated, "\(what()): bytes \(offset)..<\(offset)+\(size) lie beyond the file's \(bytes.count)")
    }
  }

  private func number(_ offset: UInt64, _ size: UInt64) throws(ELFError) -> UInt64 {
    try check(offset, size, "number")
    var value: UInt64 = 0
    for index in 0..<Int(size) { value |= UInt64(bytes[Int(offset) + index]) << UInt64(8 * index) }
    return value
  }

  func u8(_ offset: UInt64) throws(ELFError) -> UInt8 { UInt8(try number(offset, 1)) }
  func u16(_ offset: UInt64) throws(ELFError) -> UInt16 { UInt16(try number(offset, 2)) }
  func u32(_ offset: UInt64) throws(ELFError) -> UInt32 { UInt32(try number(offset, 4)) }
  func u64(_ offset: UInt64) throws(ELFError) -> UInt64 { try number(offset, 8) }

  func name(in table: ELFFile.Section, at offset: UInt32) throws(ELFError) -> String {
    guard UInt64(offset) < table.size else { throw ELFError(.malformed, "a name lies outside its table") }
    let start = Int(table.offset) + Int(offset)
    // No name is longer; without a limit a small file could name much more text than it has bytes.
    let end = min(Int(table.offset + table.size), start + 4096)
    guard let stop = bytes[start..<end].firstIndex(of: 0) else {
      throw ELFError(.malformed, "a name does not end inside its table, or has more than 4096 bytes")
    }
    return String(decoding: bytes[start..<stop], as: UTF8.self)
  }
}
