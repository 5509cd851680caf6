import NubCap
import Testing

@Suite("Paged data")
struct PagedBytesTests {
  static let sizes = [0, 1, 31, 32, 33, 4095, 4096, 4097, 8191, 8192, 8193, 40_960, 1 << 20]

  @Test("paged data has the hash and the wire form of inline data", arguments: sizes)
  func loaded(size: Int) throws {
    let bytes = payload(seed: size, count: size)
    let inline = Cap.data(.inline(bytes))
    let paged = Cap.data(.paged(try PagedBytes(loading: bytes.span.bytes)))
    #expect(try paged.hashTreeRoot() == inline.hashTreeRoot())
    #expect(try paged.encoded() == inline.encoded())
  }

  @Test("missing pages leave the hash as it is, and take the wire form away", arguments: sizes)
  func missing(size: Int) throws {
    let bytes = payload(seed: size, count: size)
    let hash = try Cap.data(.inline(bytes)).hashTreeRoot()
    var pages = try PagedBytes(loading: bytes.span.bytes)
    for index in pages.pages.indices.reversed() where index % 3 != 1 {
      try pages.unload(page: index)
      let cap = Cap.data(.paged(pages))
      #expect(try cap.hashTreeRoot() == hash)
      let error = #expect(throws: CapError.self) { try cap.encoded() }
      #expect(error == CapError(.missingPage, "Data.bytes", value: UInt64(index)))
    }
    #expect(pages.missingPages == pages.pages.indices.filter { $0 % 3 != 1 })
  }

  @Test("known by roots alone, loaded page by page, it becomes the bytes", arguments: sizes)
  func loading(size: Int) throws {
    let bytes = payload(seed: size, count: size)
    let cut = stride(from: 0, to: size, by: 4096).map { [UInt8](bytes[$0..<min($0 + 4096, size)]) }
    let roots = cut.compactMap { PagedBytes.root(ofPage: $0.span.bytes) }
    var pages = try PagedBytes(byteCount: UInt64(size), missing: roots)
    #expect(try Cap.data(.paged(pages)).hashTreeRoot() == Cap.data(.inline(bytes)).hashTreeRoot())
    for (index, page) in cut.enumerated() { try pages.load(page: index, page.span.bytes) }
    #expect(pages.missingPages == [])
    #expect(try Cap.data(.paged(pages)).encoded() == Cap.data(.inline(bytes)).encoded())
  }

  @Test("a page with other bytes, another size or another number is refused")
  func badPages() throws {
    let bytes = payload(seed: 1, count: 5000)
    var pages = try PagedBytes(loading: bytes.span.bytes)
    try pages.unload(page: 0)
    let before = pages
    func code(_ index: Int, _ page: [UInt8]) -> CapError.Code? {
      do {
        try pages.load(page: index, page.span.bytes)
        return nil
      } catch {
        return error.code
      }
    }
    var other = [UInt8](bytes.prefix(4096))
    other[4095] ^= 1
    #expect(code(0, other) == .hashMismatch)
    #expect(code(0, [UInt8](bytes.prefix(4095))) == .badPage)
    #expect(code(1, [UInt8](bytes.prefix(4096))) == .badPage)
    #expect(code(2, []) == .badPage)
    #expect(code(-1, []) == .badPage)
    #expect(pages == before)
    #expect(throws: CapError.self) { try pages.unload(page: 2) }
    #expect(throws: CapError.self) { try PagedBytes(byteCount: 4097, missing: [.zero]) }
    #expect(throws: CapError.self) { try PagedBytes(byteCount: 0, missing: [.zero]) }
    #expect(throws: CapError.self) { try PagedBytes(byteCount: .max, missing: []) }
  }

  @Test("data of the largest size has a hash, and is too large for the wire")
  func largest() throws {
    let roots = [CapHash](repeating: capName(1), count: 1 << 20)
    let cap = Cap.data(.paged(try PagedBytes(byteCount: 1 << 32, missing: roots)))
    _ = try cap.hashTreeRoot()
    let error = #expect(throws: CapError.self) { try cap.encoded() }
    #expect(error?.code == .overLimit)
    #expect(throws: CapError.self) { try PagedBytes(byteCount: 1 << 32 + 1, missing: roots + [capName(1)]) }
  }
}
