import NubABI
import NubELF

/// The loader: whatever file is accepted as an image, its segments lie in the file and in the room for them, the address space made of
/// it overlaps nowhere, and its page tables fit.
public func fuzzELF(_ input: UnsafeRawBufferPointer) {
  let bytes = [UInt8](input)
  if let elf = try? ELFFile(bytes) {
    for section in elf.sections { require(elf.contents(of: section).count <= bytes.count, "a section outside") }
    let symbols = SymbolTable(elf)
    for symbol in ((try? elf.symbols()) ?? []).prefix(64) {
      require(!SymbolName.readable(symbol.name).isEmpty || symbol.name.isEmpty, "a name without a name")
      _ = symbols.find(symbol.address)
    }
  }
  let image: GuestImage
  do throws(MachineError) {
    image = try GuestImage(bytes)
  } catch {
    require(error.code == .imageInvalid && !error.message.isEmpty, "a refusal without a reason")
    return
  }
  for segment in image.segments {
    require(segment.file.upperBound <= bytes.count, "a segment outside the file")
    require(UInt64(segment.file.count) <= segment.memorySize, "more bytes than memory")
    require(!(segment.isWritable && segment.isExecutable), "writable code")
  }
  check(AddressSpace(image: image, configuration: SandboxConfiguration()))
}

private func check(_ space: AddressSpace) {
  let virtual = space.mappings.sorted { $0.virtual < $1.virtual }
  for (one, next) in zip(virtual, virtual.dropFirst()) {
    require(one.virtual + one.size <= next.virtual, "mappings overlap")
  }
  for slot in AddressSpace.Slot.allCases {
    let size = slot == .template ? space.templateSize : slot == .host ? space.hostSize : space.guestSize
    let places = space.mappings.filter { $0.slot == slot }.sorted { $0.offset < $1.offset }
    for (one, next) in zip(places, places.dropFirst()) {
      require(one.offset + one.size <= next.offset, "one page of memory in two places")
    }
    require(places.allSatisfy { $0.offset + $0.size <= size }, "a mapping outside its slot")
  }
  for mapping in space.mappings { require(!(mapping.isWritable && mapping.isExecutable), "writable code") }
  guard let memory = try? MappedMemory(anonymous: Int(space.templateSize)) else { return }
  require(PageTables.write(space, into: memory) != nil, "the page tables do not fit")
}
