import NubABI
import NubELF
import Testing

@testable import NubMachine

/// Images that are not ones: each is refused, with the reason.
@Suite struct GuestImageTests {
  /// The built-in image's bytes, with a change.
  private static func changed(_ change: (inout [UInt8]) -> Void) throws -> MachineError? {
    var bytes = try GuestImage.builtIn().elf.bytes
    change(&bytes)
    do throws(MachineError) {
      _ = try GuestImage(bytes)
      return nil
    } catch {
      return error
    }
  }

  private static func put<Number: FixedWidthInteger>(
    _ number: Number, at offset: Int, in bytes: inout [UInt8]
  ) {
    for index in 0..<MemoryLayout<Number>.size {
      bytes[offset + index] = UInt8(truncatingIfNeeded: number >> Number(8 * index))
    }
  }

  private static func programOffset(_ bytes: [UInt8]) -> Int {
    (0..<8).reduce(0) { $0 | Int(bytes[32 + $1]) << (8 * $1) }
  }

  @Test func theBuiltInImageIsTaken() throws {
    #expect(try Self.changed { _ in } == nil)
    #expect(try GuestImage.builtIn().function(named: "echo")?.id == FunctionID.echo)
  }

  @Test func anImageForAnotherProcessorIsRefused() throws {
    let error = try Self.changed { Self.put(UInt16(183), at: 18, in: &$0) }
    #expect(error?.code == .imageInvalid)
    #expect(error?.message.contains("x86-64") == true)
  }

  @Test func aTruncatedImageIsRefused() throws {
    for keep in [0, 10, 63, 64, 200, 4096] {
      let error = try Self.changed { $0 = Array($0.prefix(keep)) }
      #expect(error?.code == .imageInvalid, "\(keep) bytes")
    }
  }

  @Test func anOversizedImageIsRefused() throws {
    let error = try Self.changed { $0 += [UInt8](repeating: 0, count: Int(MemoryMap.imageMaximum)) }
    #expect(error?.message.contains("at most") == true)
  }

  @Test func aSegmentOutsideTheImagesPlaceIsRefused() throws {
    for address in [0, 0x10_0000, MemoryMap.hostControl, MemoryMap.guestControl, 0xffff_ffff_8000_0000]
      as [UInt64]
    {
      let error = try Self.changed { Self.put(address, at: Self.programOffset($0) + 16, in: &$0) }
      #expect(error?.message.contains("lies outside") == true, "\(hexadecimal(address))")
    }
    let error = try Self.changed { Self.put(UInt64(1 << 40), at: Self.programOffset($0) + 40, in: &$0) }
    #expect(error?.message.contains("lies outside") == true)
  }

  @Test func overlappingSegmentsAreRefused() throws {
    let error = try Self.changed {
      Self.put(MemoryMap.imageBase, at: Self.programOffset($0) + 56 + 16, in: &$0)
    }
    #expect(error?.message.contains("share a page") == true)
  }

  @Test func aWritableAndExecutableSegmentIsRefused() throws {
    let error = try Self.changed { Self.put(UInt32(7), at: Self.programOffset($0) + 4, in: &$0) }
    #expect(error?.message.contains("writable and executable") == true)
  }

  @Test func anEntryPointInNoCodeIsRefused() throws {
    for entry in [0, MemoryMap.heapBase, UInt64.max] {
      let error = try Self.changed { Self.put(entry, at: 24, in: &$0) }
      #expect(error?.message.contains("entry point") == true)
    }
  }

  @Test func aDamagedImageIsRefusedOrRunsInASandbox() throws {
    let bytes = try GuestImage.builtIn().elf.bytes
    var random = Splitmix(state: 3)
    for _ in 0..<(Machine.isLong ? 5_000 : 200) {
      var damaged = bytes
      for _ in 0..<3 {
        damaged[Int.random(in: 0..<512, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      // The section table and what it points to lie at the end.
      damaged[damaged.count - 1 - Int.random(in: 0..<2048, using: &random)] = .random(
        in: 0...255, using: &random)
      guard let image = try? GuestImage(damaged) else { continue }
      _ = SymbolTable(image.elf).find(image.entry)
    }
  }
}
