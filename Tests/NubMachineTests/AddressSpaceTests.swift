import CNubABI
import NubABI
import Testing

@testable import NubMachine

/// The tables that decide what ring 3 may reach, read back by a walk of their own.
@Suite struct AddressSpaceTests {
  /// A template's memory as the host writes it, and the walk that a processor does (Intel SDM vol. 3, 4.5.4).
  private final class Tables {
    let space: AddressSpace
    private let memory: MappedMemory
    private let root: UInt64

    init(_ configuration: SandboxConfiguration = SandboxConfiguration()) throws {
      space = AddressSpace(image: try GuestImage.builtIn(), configuration: configuration)
      memory = try MappedMemory(anonymous: Int(space.templateSize))
      guard let root = PageTables.write(space, into: memory) else {
        throw MachineError(.configurationInvalid, "the tables do not fit")
      }
      self.root = root
      DescriptorTables.write(into: memory)
    }

    func word(_ offset: UInt64) -> UInt64 {
      memory.bytes(at: offset, count: 8).map { $0.loadUnaligned(as: UInt64.self) } ?? 0
    }

    struct Translation: Equatable {
      var physical: UInt64
      var isUser: Bool
      var isWritable: Bool
      var isExecutable: Bool
    }

    func translate(_ virtual: UInt64) -> Translation? {
      var table = root
      var rights = Translation(physical: 0, isUser: true, isWritable: true, isExecutable: true)
      for shift in [39, 30, 21, 12] as [UInt64] {
        let entry = word(table - AddressSpace.Slot.template.physicalBase + (virtual >> shift & 511) * 8)
        guard entry & 1 != 0 else { return nil }
        rights.isWritable = rights.isWritable && entry & 2 != 0
        rights.isUser = rights.isUser && entry & 4 != 0
        rights.isExecutable = rights.isExecutable && entry >> 63 == 0
        let frame = entry & 0x000f_ffff_ffff_f000
        let isLeaf = shift == 12 || (shift == 21 && entry & 0x80 != 0)
        // The tables are read-only: the processor must not want to set these.
        #expect(entry & 0x20 != 0 && (!isLeaf || entry & 0x40 != 0))
        if isLeaf {
          rights.physical = (frame & ~((1 << shift) - 1)) | (virtual & ((1 << shift) - 1))
          return rights
        }
        table = frame
      }
      return nil
    }
  }

  @Test func everyMappingIsReachedWithItsRightsAtBothEnds() throws {
    let tables = try Tables()
    for mapping in tables.space.mappings {
      for offset in [0, mapping.size / 2, mapping.size - 1] {
        let found = tables.translate(mapping.virtual + offset)
        let physical = mapping.physical + offset
        #expect(
          found
            == Tables.Translation(
              physical: physical, isUser: mapping.isUser, isWritable: mapping.isWritable,
              isExecutable: mapping.isExecutable),
          "\(mapping.region) + \(offset)")
      }
    }
  }

  @Test func whatLiesBetweenMappingsIsUnmapped() throws {
    let tables = try Tables()
    #expect(tables.translate(0) == nil)
    for mapping in tables.space.mappings {
      for address in [mapping.virtual - 1, mapping.virtual + mapping.size] {
        let isOther = tables.space.mappings.contains {
          $0.virtual <= address && address - $0.virtual < $0.size
        }
        #expect(isOther || tables.translate(address) == nil, "\(mapping.region) \(hexadecimal(address))")
      }
    }
    #expect(tables.translate(MemoryMap.userEnd) == nil)
    #expect(tables.translate(0xffff_8000_0000_0000) == nil)
  }

  @Test func nothingIsWritableAndExecutableAndWhatTheHostOwnsIsReadOnly() throws {
    for mapping in try Tables().space.mappings {
      #expect(!(mapping.isWritable && mapping.isExecutable))
      #expect(mapping.isWritable == (mapping.slot == .guest))
    }
  }

  @Test func mappingsOverlapNeitherInVirtualNorInPhysicalMemory() throws {
    let mappings = try Tables().space.mappings
    for (index, one) in mappings.enumerated() {
      for other in mappings[(index + 1)...] {
        #expect(one.virtual + one.size <= other.virtual || other.virtual + other.size <= one.virtual)
        #expect(one.physical + one.size <= other.physical || other.physical + other.size <= one.physical)
      }
    }
  }

  @Test func theLargestConfigurationFits() throws {
    var configuration = SandboxConfiguration()
    configuration.heapSize = MemoryMap.heapMaximum
    configuration.stackSize = MemoryMap.stackMaximum
    configuration.maximumRequest = MemoryMap.areaMaximum - (4 << 20)
    configuration.maximumResult = MemoryMap.areaMaximum - (4 << 20)
    configuration.maximumResponse = MemoryMap.areaMaximum - (4 << 20)
    try configuration.validate()
    let space = AddressSpace(image: try GuestImage.builtIn(), configuration: configuration)
    for mapping in space.mappings { #expect(mapping.virtual + mapping.size <= MemoryMap.userEnd) }
    let ends = AddressSpace.Slot.allCases.map { slot in
      slot.physicalBase
        + (slot == .template ? space.templateSize : slot == .host ? space.hostSize : space.guestSize)
    }
    #expect(ends[0] <= AddressSpace.Slot.host.physicalBase)
    #expect(ends[1] <= AddressSpace.Slot.guest.physicalBase)
  }

  /// With nested paging a walk of the tables counts as a write to them, so they may not lie in a read-only slot. A
  /// processor that has to set the accessed bits shows that it can, and each sandbox's are its own.
  @Test(.needsKVM) func theProcessorMayWriteToASandboxsPageTables() throws {
    let bits: UInt64 = 1 << 5 | 1 << 6
    /// How many entries are present, and how many of those are marked.
    func count(_ machine: VirtualMachine) -> (present: Int, accessed: Int) {
      var result = (present: 0, accessed: 0)
      for offset in stride(from: 0, to: machine.tables.size, by: 8) {
        let entry = machine.tables.base.load(fromByteOffset: offset, as: UInt64.self)
        if entry & 1 != 0 { result.present += 1 }
        if entry & 1 != 0, entry & 1 << 5 != 0 { result.accessed += 1 }
      }
      return result
    }
    let template = try SandboxTemplate(kvm: try GuestImage.builtIn())
    var sandbox = try Sandbox(unstarted: template)
    guard case .machine(let machine) = sandbox.body else { return }
    for offset in stride(from: 0, to: machine.tables.size, by: 8) {
      let entry = machine.tables.base.load(fromByteOffset: offset, as: UInt64.self)
      machine.tables.base.storeBytes(of: entry & ~bits, toByteOffset: offset, as: UInt64.self)
    }
    #expect(count(machine).accessed == 0)
    try sandbox.start()
    #expect(try sandbox.call(FunctionID.echo, [1, 2, 3]) == [1, 2, 3])
    #expect(count(machine).accessed > 0)
    let other = try template.makeSandbox()
    guard case .machine(let untouched) = other.body else { return }
    let all = count(untouched)
    #expect(all.present > 0 && all.accessed == all.present)
  }

  @Test func locateGivesOnlyWhatLiesWhollyInOneUserMapping() throws {
    let space = try Tables().space
    let heap = try #require(space.mapping(.heap))
    #expect(space.locate(heap.virtual, count: heap.size)?.offset == heap.offset)
    #expect(space.locate(heap.virtual, count: heap.size + 1) == nil)
    #expect(space.locate(heap.virtual + heap.size - 1, count: 2) == nil)
    #expect(space.locate(heap.virtual - 1, count: 2) == nil)
    #expect(space.locate(.max, count: 1) == nil)
    #expect(space.locate(heap.virtual, count: .max) == nil)
    #expect(space.locate(AddressSpace.stubs, count: 1) == nil)
    #expect(space.locate(AddressSpace.exceptionStack, count: 8) == nil)
  }

  @Test func ringThreeMayWriteTheDoorbellAndNoOtherPort() throws {
    let tables = try Tables()
    let task = UInt64(DescriptorTables.tssOffset)
    let bitmap = task + (tables.word(task + 96) >> 48)
    let limit = task + UInt64(DescriptorTables.tssLimit)
    func isDenied(_ port: UInt64) -> Bool {
      // The processor reads two bytes; beyond the limit is denied (Intel SDM vol. 1, 19.5.2).
      guard bitmap + port / 8 + 1 <= limit else { return true }
      return tables.word(bitmap + port / 8) >> (port % 8) & 1 != 0
    }
    for port in UInt64(0)..<65536 { #expect(isDenied(port) == (port != UInt64(NUB_PORT_DOORBELL))) }
  }

  @Test func onlyTheBreakpointGateIsOpenToSoftwareAndAllUseTheirOwnStack() throws {
    let tables = try Tables()
    for vector in 0..<DescriptorTables.vectors {
      let low = tables.word(UInt64(DescriptorTables.idtOffset + 16 * vector))
      #expect(low >> 45 & 3 == (vector == 3 ? 3 : 0))
      #expect(low >> 32 & 7 == 1)
      #expect(low >> 40 & 0x9f == 0x8e)
      let handler = low & 0xffff | low >> 32 & 0xffff_0000
      #expect(DescriptorTables.vector(atStub: handler) == vector)
    }
    #expect(DescriptorTables.vector(atStub: AddressSpace.stubs - 1) == nil)
    #expect(DescriptorTables.vector(atStub: AddressSpace.stubs + 32 * DescriptorTables.stubSize) == nil)
  }
}
