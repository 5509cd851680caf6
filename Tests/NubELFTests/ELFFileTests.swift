import Foundation
import NubELF
import Testing

/// A small executable, built byte by byte, so that each field can be wrong by itself.
struct SampleELF {
  struct Program {
    var type: UInt32 = 1
    var flags: UInt32 = 5
    var offset: UInt64 = 0x1000
    var address: UInt64 = 0x40_0000
    var fileSize: UInt64 = 16
    var memorySize: UInt64 = 16
  }
  var machine: UInt16 = 62
  var type: UInt16 = 2
  var fileClass: UInt8 = 2
  var entry: UInt64 = 0x40_0000
  var programs = [Program()]
  var programEntrySize: UInt16 = 56
  var size = 0x2000

  var bytes: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: size)
    func put<Number: FixedWidthInteger>(_ number: Number, at offset: Int) {
      guard offset + MemoryLayout<Number>.size <= bytes.count else { return }
      withUnsafeBytes(of: number.littleEndian) {
        bytes.replaceSubrange(offset..<(offset + $0.count), with: $0)
      }
    }
    bytes.replaceSubrange(0..<4, with: [0x7f, 0x45, 0x4c, 0x46])
    put(fileClass, at: 4)
    put(UInt8(1), at: 5)
    put(UInt8(1), at: 6)
    put(type, at: 16)
    put(machine, at: 18)
    put(UInt32(1), at: 20)
    put(entry, at: 24)
    put(UInt64(64), at: 32)
    put(UInt16(64), at: 52)
    put(programEntrySize, at: 54)
    put(UInt16(programs.count), at: 56)
    put(UInt16(64), at: 58)
    for (index, program) in programs.enumerated() {
      let at = 64 + 56 * index
      put(program.type, at: at)
      put(program.flags, at: at + 4)
      put(program.offset, at: at + 8)
      put(program.address, at: at + 16)
      put(program.fileSize, at: at + 32)
      put(program.memorySize, at: at + 40)
    }
    return bytes
  }

  static func code(_ bytes: [UInt8]) -> ELFError.Code? {
    do throws(ELFError) {
      let file = try ELFFile(bytes)
      // What a reader does next must not trap either.
      for section in file.sections { _ = file.contents(of: section) }
      _ = try file.symbols()
      for segment in file.segments { _ = file.loaded(at: segment.address, count: segment.fileSize) }
      return nil
    } catch {
      return error.code
    }
  }
}

@Suite struct ELFFileTests {
  @Test func aGoodFileIsRead() throws {
    let file = try ELFFile(SampleELF().bytes)
    #expect(file.entry == 0x40_0000)
    #expect(file.segments.count == 1)
    #expect(file.loaded(at: 0x40_0008, count: 8)?.count == 8)
    #expect(file.loaded(at: 0x40_0008, count: 9) == nil)
  }

  @Test func whatIsNoELFFileIsSaidSo() {
    #expect(SampleELF.code([]) == .truncated)
    #expect(SampleELF.code([UInt8](repeating: 0x7f, count: 4096)) == .notELF)
  }

  @Test func anotherProcessorOrWordSizeOrTypeIsForeign() {
    var sample = SampleELF()
    sample.machine = 183  // AArch64
    #expect(SampleELF.code(sample.bytes) == .foreign)
    sample = SampleELF()
    sample.fileClass = 1
    #expect(SampleELF.code(sample.bytes) == .foreign)
    sample = SampleELF()
    sample.type = 3
    #expect(SampleELF.code(sample.bytes) == .foreign)
  }

  @Test func aSegmentBeyondTheFileIsTruncated() {
    var sample = SampleELF()
    sample.programs[0].offset = 0x1ff8
    #expect(SampleELF.code(sample.bytes) == .truncated)
    sample.programs[0].offset = .max - 7
    #expect(SampleELF.code(sample.bytes) == .truncated)
  }

  @Test func aSegmentThatWrapsOrHoldsMoreThanItsMemoryIsMalformed() {
    var sample = SampleELF()
    sample.programs[0].address = .max - 8
    #expect(SampleELF.code(sample.bytes) == .malformed)
    sample = SampleELF()
    sample.programs[0].memorySize = 8
    #expect(SampleELF.code(sample.bytes) == .malformed)
    sample = SampleELF()
    sample.programEntrySize = 55
    #expect(SampleELF.code(sample.bytes) == .malformed)
  }

  @Test func everyTruncationOfARealImageIsRefusedOrRead() throws {
    let bytes = SampleELF().bytes
    for length in 0..<bytes.count where length < 256 || length % 61 == 0 {
      _ = SampleELF.code(Array(bytes.prefix(length)))
    }
  }

  /// The machine code under test is this test's own executable: a large real file with sections and symbols.
  @Test func aDamagedRealFileNeverTraps() throws {
    let path = try #require(Bundle.main.executablePath)
    var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)).prefix(1 << 16))
    if bytes.count > 16 { bytes[16] = 2 }
    var state: UInt64 = 7
    func random(_ limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
    for _ in 0..<300 {
      var damaged = bytes
      for _ in 0..<4 { damaged[random(min(1024, damaged.count))] = UInt8(random(256)) }
      _ = SampleELF.code(damaged)
    }
  }

  @Test func everyWordOfTheHeadersMayBeAnything() {
    let bytes = SampleELF().bytes
    for offset in stride(from: 16, to: 120, by: 2) {
      for value in [0, 1, 0x7f, 0x80, 0xff] as [UInt8] {
        var damaged = bytes
        for index in offset..<(offset + 8) { damaged[index] = value }
        _ = SampleELF.code(damaged)
      }
    }
  }
}
