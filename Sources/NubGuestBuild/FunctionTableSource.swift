import Foundation
import NubELF

/// The function table of an image as C source, made from the symbols `nub_fn_<id>_<name>` of its object files.
enum FunctionTableSource {
  static func generate(from objects: [URL]) throws(GuestBuildError) -> String {
    var functions: [UInt32: String] = [:]
    for object in objects {
      for symbol in try symbols(of: object) {
        // Local symbols with such names are pieces that the compiler split off.
        guard symbol.isDefined, symbol.isGlobal, symbol.name.hasPrefix("nub_fn_") else { continue }
        let parts = symbol.name.dropFirst("nub_fn_".count).split(separator: "_", maxSplits: 1)
        guard parts.count == 2, let id = UInt32(parts[0]), !parts[1].isEmpty, parts[1].utf8.count <= 64 else {
          throw GuestBuildError(
            .functions,
            "\(symbol.name): a guest function is called nub_fn_<id>_<name>, its name at most 64 bytes long")
        }
        let name = String(parts[1])
        if let other = functions[id], other != name {
          throw GuestBuildError(.functions, "the functions \(other) and \(name) have the same id \(id)")
        }
        functions[id] = name
      }
    }
    let names = functions.sorted { $0.key < $1.key }
    if let twice = Dictionary(grouping: names, by: \.value).first(where: { $0.value.count > 1 }) {
      throw GuestBuildError(
        .functions,
        "the name \(twice.key) has the ids \(twice.value.map { String($0.key) }.joined(separator: " and "))")
    }
    var source = "#include \"nub_abi.h\"\n"
    for (id, name) in names {
      source += "extern uint32_t nub_fn_\(id)_\(name)(void *call);\n"
      source +=
        "__attribute__((section(\"nub_function_names\"))) static const char name_\(id)[] = \"\(name)\";\n"
    }
    source +=
      "__attribute__((section(\"nub_functions\"), used)) static const nub_function_entry table[] = {\n"
    for (id, name) in names { source += "  {\(id), name_\(id), nub_fn_\(id)_\(name)},\n" }
    source += "};\n"
    source += "const nub_function_entry *nub_function_table(void) { return table; }\n"
    source += "long nub_function_table_count(void) { return sizeof table / sizeof table[0]; }\n"
    return source
  }

  private static func symbols(of object: URL) throws(GuestBuildError) -> [ELFFile.Symbol] {
    do {
      return try ELFFile([UInt8](Data(contentsOf: object))).symbols()
    } catch {
      throw GuestBuildError(.files, "\(object.path) cannot be read", cause: "\(error)")
    }
  }
}
