import NubABI
public import NubELF

/// A guest image, checked: an ELF executable whose segments lie where the guest's address space has room for them.
public struct GuestImage: Sendable {
  /// A part of the image, loaded at its address.
  struct Segment: Sendable {
    var address: UInt64
    var memorySize: UInt64
    /// Where its bytes lie in the file; what memory has beyond them is zero.
    var file: Range<Int>
    var isWritable: Bool
    var isExecutable: Bool
  }

  /// A function that the image offers.
  public struct Function: Sendable, Equatable {
    /// What calls name it by; 0 to 255 are nub's own.
    public var id: UInt32
    /// For people and for `nub call`; unique in the image.
    public var name: String
  }

  /// The file.
  public let elf: ELFFile
  let segments: [Segment]
  /// Sorted by id.
  public let functions: [Function]
  /// The address of the first instruction.
  public var entry: UInt64 { elf.entry }

  /// Checks an ELF file. Throws ``MachineError/Code/imageInvalid`` with the reason where it cannot be run.
  public init(_ bytes: [UInt8]) throws(MachineError) {
    guard UInt64(bytes.count) <= MemoryMap.imageMaximum else {
      throw GuestImage.invalid(
        "the file has \(bytes.count) bytes; at most \(MemoryMap.imageMaximum) are taken")
    }
    let elf: ELFFile
    do throws(ELFError) {
      elf = try ELFFile(bytes)
    } catch {
      throw GuestImage.invalid(error.message)
    }
    guard elf.kind == .executable else {
      throw GuestImage.invalid("it is not an executable but of kind \(elf.kind)")
    }
    self.elf = elf
    segments = try GuestImage.segments(of: elf)
    functions = try GuestImage.functions(of: elf)
    let entry = elf.entry
    guard
      segments.contains(where: {
        $0.isExecutable && entry >= $0.address && entry - $0.address < $0.memorySize
      })
    else {
      throw GuestImage.invalid("its entry point \(hexadecimal(entry)) lies in no executable segment")
    }
  }

  static func invalid(_ reason: String) -> MachineError {
    MachineError(.imageInvalid, "this is not a guest image that nub can run: \(reason)")
  }

  private static func segments(of elf: ELFFile) throws(MachineError) -> [Segment] {
    var segments: [Segment] = []
    for segment in elf.segments where segment.type == ELFFile.Segment.load && segment.memorySize > 0 {
      let place = "segment at \(hexadecimal(segment.address))"
      guard segment.address >= MemoryMap.imageBase,
        segment.address + segment.memorySize <= MemoryMap.imageBase + MemoryMap.imageMaximum
      else {
        throw invalid(
          "\(place) of \(segment.memorySize) bytes lies outside \(hexadecimal(MemoryMap.imageBase)) and the "
            + "\(MemoryMap.imageMaximum) bytes from there")
      }
      guard segment.address % MemoryMap.pageSize == 0 else {
        throw invalid("\(place) does not begin on a page")
      }
      guard !(segment.isWritable && segment.isExecutable) else {
        throw invalid("\(place) is writable and executable; nub allows one of them")
      }
      segments.append(
        Segment(
          address: segment.address, memorySize: segment.memorySize,
          file: Int(segment.offset)..<Int(segment.offset + segment.fileSize), isWritable: segment.isWritable,
          isExecutable: segment.isExecutable))
    }
    guard !segments.isEmpty else { throw invalid("it has no loadable segment") }
    guard segments.count <= 16 else {
      throw invalid("it has \(segments.count) loadable segments; at most 16 are taken")
    }
    let ordered = segments.sorted { $0.address < $1.address }
    for (one, next) in zip(ordered, ordered.dropFirst())
    where (one.address + one.memorySize).roundedUp(to: MemoryMap.pageSize) > next.address {
      throw invalid(
        "the segments at \(hexadecimal(one.address)) and \(hexadecimal(next.address)) share a page")
    }
    return ordered
  }

  /// The table in section `nub_functions`, see `nub_function_entry`.
  private static func functions(of elf: ELFFile) throws(MachineError) -> [Function] {
    guard let section = elf.section(named: "nub_functions") else {
      throw invalid("it has no function table (section nub_functions); build it with `nub guest build`")
    }
    let table = elf.contents(of: section)
    let entrySize = 24
    guard table.count % entrySize == 0, table.count / entrySize <= 65536 else {
      throw invalid("its function table has \(table.count) bytes, not a multiple of \(entrySize)")
    }
    var functions: [Function] = []
    for index in 0..<(table.count / entrySize) {
      let entry = Array(table.dropFirst(index * entrySize).prefix(entrySize))
      let id = unsafe entry.withUnsafeBytes { unsafe UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
      let nameAddress = unsafe entry.withUnsafeBytes {
        unsafe UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
      }
      guard let id = UInt32(exactly: id) else {
        throw invalid("function \(index) has the id \(id), over 32 bits")
      }
      if let last = functions.last, last.id >= id { throw invalid("its function table is not sorted by id") }
      guard let name = name(in: elf, at: nameAddress) else {
        throw invalid("the name of function \(id) is unreadable")
      }
      functions.append(Function(id: id, name: name))
    }
    return functions
  }

  private static func name(in elf: ELFFile, at address: UInt64) -> String? {
    var bytes: [UInt8] = []
    while bytes.count <= 64, let byte = elf.loaded(at: address &+ UInt64(bytes.count), count: 1)?.first {
      if byte == 0 { return bytes.isEmpty ? nil : String(validating: bytes, as: UTF8.self) }
      bytes.append(byte)
    }
    return nil
  }

  /// The function with this name.
  public func function(named name: String) -> Function? { functions.first { $0.name == name } }
}
