import Foundation
import NubELF

/// The function table of an image as C source, made from the symbols `nub_fn_<id>_<name>` of its object files.
struct FunctionTableSource {
  /// Ids below this one are nub's own.
  static let firstAuthorID: UInt32 = 256
  /// Bytes that a function's name may have.
  static let nameMaximum = 64

  private var functions: [UInt32: String] = [:]

  /// - Parameters:
  ///   - kit: objects of nub itself, which may use the reserved ids.
  ///   - author: the author's objects; at least one function must be in them.
  init(kit: [URL], author: [URL]) throws(GuestBuildError) {
    for object in kit { for function in try FunctionTableSource.functions(in: object) { try add(function) } }
    var count = 0
    for object in author {
      for function in try FunctionTableSource.functions(in: object) {
        guard function.id >= FunctionTableSource.firstAuthorID else {
          throw GuestBuildError(
            .functions,
            "the function \(function.name) has the id \(function.id); 0 to 255 are nub's own, take one from 256 on"
          )
        }
        try add(function)
        count += 1
      }
    }
    guard count > 0 else {
      throw GuestBuildError(
        .functions,
        "the sources define no guest function: a C function NUB_FUNCTION(300, name), or a Swift one marked "
          + "@c(nub_fn_300_name)")
    }
  }

  private mutating func add(_ function: (id: UInt32, name: String)) throws(GuestBuildError) {
    if functions[function.id] == function.name {
      throw GuestBuildError(
        .functions, "nub_fn_\(function.id)_\(function.name) is defined in two files; one of them must go")
    }
    if let other = functions[function.id] {
      throw GuestBuildError(
        .functions, "the functions \(other) and \(function.name) have the same id \(function.id)")
    }
    if let other = functions.first(where: { $0.value == function.name }) {
      throw GuestBuildError(
        .functions, "the name \(function.name) has the ids \(other.key) and \(function.id)")
    }
    functions[function.id] = function.name
  }

  /// The table, sorted by id, and its names in sections of their own.
  var text: String {
    let sorted = functions.sorted { $0.key < $1.key }
    var source = "#include \"nub_abi.h\"\n"
    for (id, name) in sorted {
      source += "extern uint32_t nub_fn_\(id)_\(name)(void *call);\n"
      source +=
        "__attribute__((section(\"nub_function_names\"))) static const char name_\(id)[] = \"\(name)\";\n"
    }
    source +=
      "__attribute__((section(\"nub_functions\"), used)) static const nub_function_entry table[] = {\n"
    for (id, name) in sorted { source += "  {\(id), name_\(id), nub_fn_\(id)_\(name)},\n" }
    source += "};\n"
    source += "const nub_function_entry *nub_function_table(void) { return table; }\n"
    source += "long nub_function_table_count(void) { return sizeof table / sizeof table[0]; }\n"
    return source
  }

  private static func functions(in object: URL) throws(GuestBuildError) -> [(id: UInt32, name: String)] {
    var functions: [(id: UInt32, name: String)] = []
    for symbol in try symbols(of: object) {
      // Local symbols with such names are pieces that the compiler split off.
      guard symbol.isDefined, symbol.isGlobal, symbol.name.hasPrefix("nub_fn_") else { continue }
      guard symbol.type == ELFFile.Symbol.function else {
        throw GuestBuildError(
          .functions,
          "\(symbol.name) is data; names that begin with nub_fn_ belong to guest functions, so it needs another one"
        )
      }
      let parts = symbol.name.dropFirst("nub_fn_".count).split(separator: "_", maxSplits: 1)
      // The id is written back into the table as it came, so it must be plain decimal. The name becomes C source.
      guard parts.count == 2, let id = UInt32(parts[0]), String(id) == parts[0],
        parts[1].utf8.count <= nameMaximum,
        parts[1].utf8.allSatisfy(isIdentifierByte)
      else {
        throw GuestBuildError(
          .functions,
          "\(symbol.name): a guest function is called nub_fn_<id>_<name>, its id a plain number of 32 bits, its name at "
            + "most \(nameMaximum) bytes of a-z, A-Z, 0-9 and _")
      }
      functions.append((id, String(parts[1])))
    }
    return functions
  }

  private static func isIdentifierByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
      true
    default: false
    }
  }

  private static func symbols(of object: URL) throws(GuestBuildError) -> [ELFFile.Symbol] {
    do {
      return try ELFFile([UInt8](Data(contentsOf: object))).symbols()
    } catch {
      throw GuestBuildError(.files, "\(object.path) cannot be read", cause: "\(error)")
    }
  }
}
