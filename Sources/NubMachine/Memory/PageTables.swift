import NubABI

/// Four-level page tables (Intel SDM vol. 3, 4.5), built once before the first run and never changed: a shadow-paging KVM
/// does not see later changes.
///
/// Accessed and dirty bits are set from the start, so that no processor has to set them: that would cost each sandbox a
/// copy of the tables, and a hypervisor that walks them in software an atomic change.
@safe struct PageTables {
  // Safe: it exists only while ``write(_:into:)`` borrows the memory; indices below the count that it checks.
  private static let present: UInt64 = 1 << 0
  private static let writable: UInt64 = 1 << 1
  private static let user: UInt64 = 1 << 2
  private static let accessed: UInt64 = 1 << 5
  private static let dirty: UInt64 = 1 << 6
  private static let large: UInt64 = 1 << 7
  private static let noExecute: UInt64 = 1 << 63
  private static let addressMask: UInt64 = 0x000f_ffff_ffff_f000

  /// Table pages that a set of mappings takes: the top level, and a table for each range that a level splits into.
  static func pagesNeeded(for mappings: [AddressSpace.Mapping]) -> UInt64 {
    var tables: Set<[UInt64]> = []
    for mapping in mappings {
      let last = mapping.virtual + mapping.size - 1
      for gigabytes in (mapping.virtual >> 39)...(last >> 39) { tables.insert([3, gigabytes]) }
      for index in (mapping.virtual >> 30)...(last >> 30) { tables.insert([2, index]) }
      if !mapping.isLarge {
        for index in (mapping.virtual >> 21)...(last >> 21) { tables.insert([1, index]) }
      }
    }
    return 1 + UInt64(tables.count)
  }

  private var tables: UnsafeMutableBufferPointer<UInt64>
  private let physicalBase: UInt64
  private var used: UInt64 = 1

  /// Writes tables for `space` into its template's file, whose memory is `template`.
  /// Returns the physical address of the top-level table, for CR3.
  static func write(_ space: AddressSpace, into template: borrowing MappedMemory) -> UInt64? {
    let size = space.tablesPages * MemoryMap.pageSize
    guard let bytes = unsafe template.bytes(at: space.tablesOffset, count: size) else { return nil }
    var tables = unsafe PageTables(
      tables: bytes.bindMemory(to: UInt64.self),
      physicalBase: AddressSpace.Slot.template.physicalBase + space.tablesOffset)
    for mapping in space.mappings { guard tables.map(mapping) else { return nil } }
    return tables.physicalBase
  }

  private init(tables: UnsafeMutableBufferPointer<UInt64>, physicalBase: UInt64) {
    unsafe self.tables = unsafe tables
    self.physicalBase = physicalBase
  }

  private mutating func map(_ mapping: AddressSpace.Mapping) -> Bool {
    var flags = PageTables.present | PageTables.accessed | PageTables.dirty
    if mapping.isUser { flags |= PageTables.user }
    if mapping.isWritable { flags |= PageTables.writable }
    if !mapping.isExecutable { flags |= PageTables.noExecute }
    let step = mapping.isLarge ? MemoryMap.largePageSize : MemoryMap.pageSize
    if mapping.isLarge { flags |= PageTables.large }
    for offset in stride(from: UInt64(0), to: mapping.size, by: Int(step)) {
      let address = mapping.virtual + offset
      var table: UInt64 = 0
      for shift in mapping.isLarge ? [39, 30] : [39, 30, 21] {
        guard let next = descend(table, Int(address >> UInt64(shift)) & 511) else { return false }
        table = next
      }
      let index = Int(address >> (mapping.isLarge ? 21 : 12)) & 511
      unsafe tables[Int(table) * 512 + index] = (mapping.physical + offset) | flags
    }
    return true
  }

  /// The table that an entry of another points to, made when it is missing. Rights are decided by the last level alone.
  private mutating func descend(_ table: UInt64, _ index: Int) -> UInt64? {
    let slot = Int(table) * 512 + index
    if unsafe tables[slot] & PageTables.present != 0 {
      return unsafe ((tables[slot] & PageTables.addressMask) - physicalBase) / MemoryMap.pageSize
    }
    guard unsafe used * 512 < UInt64(tables.count) else { return nil }
    let page = used
    used += 1
    unsafe tables[slot] =
      (physicalBase + page * MemoryMap.pageSize) | PageTables.present | PageTables.writable | PageTables.user
      | PageTables.accessed
    return page
  }
}
