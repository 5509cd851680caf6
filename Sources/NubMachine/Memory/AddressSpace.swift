import NubABI

/// The guest's address space as the host lays it out: which virtual ranges exist, which guest physical memory they are,
/// and what ring 3 may do with them.
///
/// Guest physical memory is four KVM slots:
///
/// | slot | guest physical address | content | guest | host mapping |
/// |---|---|---|---|---|
/// | ``Slot/template`` | 0x0001_0000 | descriptor tables, stubs, the image's code and constants | read-only | shared by all sandboxes of a template |
/// | ``Slot/tables`` | behind the template's | page tables | not mapped | shared until it is written |
/// | ``Slot/host`` | 0x2000_0000 | host control page, request and response area | read-only | private |
/// | ``Slot/guest`` | 0x1_0000_0000 | the image's data, exception stack, control page, log, stack, results, heap | writable | private |
///
/// The template's and the host's are KVM_MEM_READONLY slots, so that not even a mistake in the page tables lets a guest
/// change them. The page tables' is not: with nested paging the processor's walk of a guest's tables counts as a write,
/// whether or not it changes them (Intel SDM vol. 3, 29.3.3.2, with EPT's accessed and dirty flags; AMD APM vol. 2, 15.25).
struct AddressSpace: Sendable {
  enum Slot: UInt32, Sendable, CaseIterable {
    case template = 0
    case host = 1
    case guest = 2

    /// The slot of the page tables, which no mapping reaches. Its memory is the end of the template's file.
    static let tables: UInt32 = 3

    var physicalBase: UInt64 {
      switch self {
      case .template: 0x0001_0000
      case .host: 0x2000_0000
      case .guest: 0x1_0000_0000
      }
    }
  }

  enum Region: Sendable, Equatable {
    case descriptors
    case stubs
    case exceptionStack
    case imageReadOnly(index: Int)
    case imageWritable(index: Int)
    case hostControl
    case request
    case response
    case guestControl
    case log
    case result
    case stack
    case heap
  }

  /// A virtual range and the memory behind it.
  struct Mapping: Sendable {
    var region: Region
    var virtual: UInt64
    var size: UInt64
    var slot: Slot
    /// Where it begins in the slot.
    var offset: UInt64
    var isUser = true
    var isWritable = false
    var isExecutable = false
    /// Mapped with 2 MiB pages.
    var isLarge = false

    var physical: UInt64 { slot.physicalBase + offset }
  }

  let mappings: [Mapping]
  /// Bytes of each slot; of the template's file, which ends with the page tables.
  let templateSize: UInt64
  let hostSize: UInt64
  let guestSize: UInt64
  /// Where the page tables lie in the template's file, and how many pages there is room for.
  let tablesOffset: UInt64
  let tablesPages: UInt64

  // Fixed places in the template slot.
  static let descriptorsOffset: UInt64 = 0
  static let stubsOffset: UInt64 = 4096
  // Fixed supervisor addresses.
  static let descriptors: UInt64 = MemoryMap.supervisorBase
  static let stubs: UInt64 = MemoryMap.supervisorBase + 0x1000
  static let exceptionStack: UInt64 = MemoryMap.supervisorBase + 0x3000
  static var exceptionStackTop: UInt64 { exceptionStack + MemoryMap.pageSize }

  init(image: GuestImage, configuration: SandboxConfiguration) {
    let page = MemoryMap.pageSize
    var mappings: [Mapping] = [
      Mapping(
        region: .descriptors, virtual: AddressSpace.descriptors, size: page, slot: .template,
        offset: AddressSpace.descriptorsOffset, isUser: false),
      Mapping(
        region: .stubs, virtual: AddressSpace.stubs, size: page, slot: .template,
        offset: AddressSpace.stubsOffset,
        isUser: false, isExecutable: true),
    ]
    var template: UInt64 = 2 * page
    var guest: UInt64 = 0

    func place(_ region: Region, at virtual: UInt64, _ size: UInt64, user: Bool = true) {
      mappings.append(
        Mapping(
          region: region, virtual: virtual, size: size, slot: .guest, offset: guest, isUser: user,
          isWritable: true))
      guest += size
    }
    place(.exceptionStack, at: AddressSpace.exceptionStack, page, user: false)
    for (index, segment) in image.segments.enumerated() {
      let size = segment.memorySize.roundedUp(to: page)
      if segment.isWritable {
        place(.imageWritable(index: index), at: segment.address, size)
      } else {
        mappings.append(
          Mapping(
            region: .imageReadOnly(index: index), virtual: segment.address, size: size, slot: .template,
            offset: template, isExecutable: segment.isExecutable))
        template += size
      }
    }
    place(.guestControl, at: MemoryMap.guestControl, page)
    place(.log, at: MemoryMap.logBase, configuration.logSize)
    place(.stack, at: MemoryMap.stackTop - configuration.stackSize, configuration.stackSize)
    guest = guest.roundedUp(to: MemoryMap.largePageSize)
    for (region, virtual, size) in [
      (Region.result, MemoryMap.resultBase, configuration.resultAreaSize),
      (Region.heap, MemoryMap.heapBase, configuration.heapSize),
    ] {
      mappings.append(
        Mapping(
          region: region, virtual: virtual, size: size, slot: .guest, offset: guest, isWritable: true,
          isLarge: true))
      guest += size
    }

    // The control page has a large page to itself in the slot, so that the areas behind it are aligned.
    let request = MemoryMap.largePageSize
    let response = request + configuration.requestAreaSize
    mappings.append(
      Mapping(region: .hostControl, virtual: MemoryMap.hostControl, size: page, slot: .host, offset: 0))
    mappings.append(
      Mapping(
        region: .request, virtual: MemoryMap.requestBase, size: configuration.requestAreaSize, slot: .host,
        offset: request, isLarge: true))
    mappings.append(
      Mapping(
        region: .response, virtual: MemoryMap.responseBase, size: configuration.responseAreaSize, slot: .host,
        offset: response, isLarge: true))

    self.mappings = mappings
    tablesOffset = template
    tablesPages = PageTables.pagesNeeded(for: mappings)
    templateSize = template + tablesPages * page
    hostSize = response + configuration.responseAreaSize
    guestSize = guest
  }

  func mapping(_ region: Region) -> Mapping? { mappings.first { $0.region == region } }

  /// Nothing is mapped where a larger stack would be: whoever gets there has used up its own.
  func isBelowStack(_ virtual: UInt64) -> Bool {
    guard let stack = mapping(.stack) else { return false }
    return virtual < stack.virtual
      && virtual >= MemoryMap.stackTop - MemoryMap.stackMaximum - MemoryMap.pageSize
  }

  /// Where `count` bytes at a virtual address lie, when ring 3 can reach all of them in one mapping.
  func locate(_ virtual: UInt64, count: UInt64) -> (slot: Slot, offset: UInt64, mapping: Mapping)? {
    for mapping in mappings where mapping.isUser && virtual >= mapping.virtual {
      let start = virtual - mapping.virtual
      if start <= mapping.size, count <= mapping.size - start {
        return (mapping.slot, mapping.offset + start, mapping)
      }
    }
    return nil
  }
}
