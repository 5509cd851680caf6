extension CapView {
  /// The cap's name: SSZ's `hash_tree_root` of the union, computed from the wire form as it lies there.
  ///
  /// The time is in proportion to the size of the wire form, whatever the limits of the lists in it.
  public func hashTreeRoot() -> CapHash {
    var hasher = WireHasher(wire: wire)
    let root =
      switch kind {
      case .instance: hasher.instance(InstanceView(wire: wire, range: body))
      case .image: hasher.image(ImageView(wire: wire, range: body))
      case .data: hasher.bytes(WireRange(start: body.start + Layout.Data.fixed, end: body.end), limit: .data)
      case .cnode: hasher.cnode(CNodeView(wire: wire, range: body))
      // Containers of one field have that field's root: Type here, Data above.
      case .type: CapHash(wire, at: body.start)
      }
    return Merkle.mixInSelector(root, kind)
  }
}

/// The roots of the parts of a validated cap.
struct WireHasher: ~Escapable {
  let wire: RawSpan
  private var scratch = MerkleScratch()

  @_lifetime(copy wire)
  init(wire: RawSpan) {
    self.wire = wire
  }

  mutating func bytes(_ range: WireRange, limit: ByteLimit) -> CapHash {
    Merkle.byteListRoot(wire.extracting(range.start..<range.end), limit: limit, &scratch)
  }

  mutating func cnode(_ cnode: borrowing CNodeView) -> CapHash {
    Merkle.node(Merkle.chunk(UInt64(cnode.sizeLog)), slots(cnode.slots))
  }

  mutating func image(_ image: borrowing ImageView) -> CapHash {
    let endpoints = endpoints(image)
    let mappings = mappings(image)
    let yield = image.field(.yieldMarkerSlot)
    return container(
      [
        Merkle.chunk(UInt64(image.isa)),
        Merkle.chunk(image.codeBase),
        bytes(image.field(.code), limit: .code),
        endpoints,
        mappings,
        slots(image.pinned),
        slots(image.initial),
        integers(yield),
      ], count: 8, depth: 3)
  }

  mutating func instance(_ instance: borrowing InstanceView) -> CapHash {
    let overlays = overlays(instance)
    return container(
      [
        instance.imageHashChain,
        instance.imageHash,
        instance.rootCNode,
        overlays,
        Merkle.chunk(UInt64(instance.memSize)),
        registers(at: instance.range.start + Layout.Instance.regs),
        Merkle.chunk(instance.pc),
        Merkle.chunk(instance.gasRemaining),
      ], count: 8, depth: 3)
  }

  private mutating func endpoints(_ image: borrowing ImageView) -> CapHash {
    var list = MerkleAccumulator(base: 0)
    let count = image.endpointCount
    for index in 0..<count {
      let endpoint = image.endpoint(index)
      list.append(
        container(
          [
            bytes(endpoint.nameRange, limit: .name),
            Merkle.chunk(endpoint.entryPC),
            Merkle.chunk(endpoint.stackTop),
            Merkle.chunk(UInt64(endpoint.argCNodeSlot)),
            Merkle.chunk(UInt64(endpoint.argCNodeSize)),
            registers(at: endpoint.range.start + Layout.Endpoint.initialRegs),
            .zero, .zero,
          ], count: 6, depth: 3))
    }
    // 64 endpoints at most.
    return Merkle.mixInLength(list.root(depth: 6), UInt64(count))
  }

  private mutating func mappings(_ image: borrowing ImageView) -> CapHash {
    var list = MerkleAccumulator(base: 0)
    let count = image.mappingCount
    for index in 0..<count {
      let mapping = image.mapping(index)
      list.append(
        container(
          [
            Merkle.chunk(mapping.start), Merkle.chunk(mapping.size), integers(mapping.pathRange),
            .zero, .zero, .zero, .zero, .zero,
          ], count: 3, depth: 2))
    }
    // 64 mappings at most.
    return Merkle.mixInLength(list.root(depth: 6), UInt64(count))
  }

  private mutating func overlays(_ instance: borrowing InstanceView) -> CapHash {
    var list = MerkleAccumulator(base: 0)
    let count = instance.overlayCount
    for index in 0..<count {
      let overlay = instance.overlay(index)
      let range = WireRange(start: overlay.range.start + Layout.Overlay.fixed, end: overlay.range.end)
      list.append(Merkle.node(Merkle.chunk(UInt64(overlay.start)), bytes(range, limit: .code)))
    }
    // 1024 overlays at most.
    return Merkle.mixInLength(list.root(depth: 10), UInt64(count))
  }

  /// The root of a container from those of its first `count` fields.
  private mutating func container(
    _ fields: InlineArray<8, CapHash>, count: Int, depth: Int
  ) -> CapHash {
    for index in 0..<count { scratch.set(index, fields[index]) }
    return scratch.fold(count: count, from: 0, to: depth)
  }

  /// A Vector[uint64, 32]: 8 chunks that lie in the wire form as they are.
  private mutating func registers(at position: Int) -> CapHash {
    unsafe wire.extracting(position..<position + Layout.registerBytes).withUnsafeBytes { buffer in
      unsafe scratch.root(
        ofBytes: buffer.baseAddress.unsafelyUnwrapped, count: Layout.registerBytes, depth: 3)
    }
  }

  /// A List[uint32, 8] or shorter: at most one chunk.
  private func integers(_ range: WireRange) -> CapHash {
    var chunk = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
    unsafe wire.extracting(range.start..<range.end).withUnsafeBytes { source in
      unsafe withUnsafeMutableBytes(of: &chunk) { target in
        unsafe target.copyMemory(from: source)
      }
    }
    return Merkle.mixInLength(CapHash(words: chunk), UInt64(range.count / 4))
  }

  /// A List[Slot, 2**16].
  private mutating func slots(_ list: borrowing SlotListView) -> CapHash {
    let count = list.count
    // A slot's root is the parent of its number's chunk and its cap. 64 slots at a time: their pairs lie in `pairs`,
    // where the zeros after each number stay as they are, and make one subtree of depth 6.
    var subtrees = MerkleAccumulator(base: 6)
    var pairs = InlineArray<512, UInt64>(repeating: 0)
    var first = 0
    while first < count {
      let some = min(MerkleScratch.capacity, count - first)
      for index in 0..<some {
        let cap = list.cap(first + index)
        pairs[8 * index] = UInt64(list.slot(first + index)).littleEndian
        pairs[8 * index + 4] = cap.words.0
        pairs[8 * index + 5] = cap.words.1
        pairs[8 * index + 6] = cap.words.2
        pairs[8 * index + 7] = cap.words.3
      }
      unsafe withUnsafeBytes(of: &pairs) { buffer in
        unsafe scratch.setParents(of: buffer.baseAddress.unsafelyUnwrapped, count: some)
      }
      subtrees.append(scratch.fold(count: some, from: 0, to: 6))
      first += some
    }
    return Merkle.mixInLength(subtrees.root(depth: 16), UInt64(count))
  }
}
