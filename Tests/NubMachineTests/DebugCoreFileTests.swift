import NubELF
import Testing

@testable import NubMachine

@Suite struct CoreFileTests {
  @Test func piecesLieOnPagesInOrder() throws {
    let pieces = [
      CoreFile.Piece(address: 0x40_0000, size: 8192, isWritable: false, isExecutable: true),
      CoreFile.Piece(address: 0x8000_0000, size: 4096, isWritable: true, isExecutable: false),
    ]
    var registers = CoreRegisters()
    registers.extended = [UInt8](repeating: 0, count: 4096)
    let core = CoreFile(
      pieces: pieces, registers: registers,
      reason: .init(signal: 11, text: String(repeating: "long ", count: 200)))
    #expect(core.head.count % 4096 == 0)
    #expect(core.offsets == [UInt64(core.head.count), UInt64(core.head.count) + 8192])
    #expect(core.size == UInt64(core.head.count) + 12288)
    let file = try ELFFile(core.head + [UInt8](repeating: 0, count: 12288))
    #expect(file.kind == .core)
    #expect(file.segments.filter { $0.type == ELFFile.Segment.load }.map(\.address) == pieces.map(\.address))
    #expect(file.segments.map(\.flags) == [4, 5, 6])
  }

  @Test func rangesAreJoinedUntilTheyFit() {
    #expect(ResidentPages.joined([0..<1, 2..<3, 100..<101], limit: 3) == [0..<1, 2..<3, 100..<101])
    #expect(ResidentPages.joined([0..<1, 2..<3, 100..<101], limit: 2) == [0..<3, 100..<101])
    #expect(ResidentPages.joined([0..<1, 2..<3, 100..<101], limit: 1) == [0..<101])
    #expect(ResidentPages.joined([], limit: 1) == [])
  }
}
