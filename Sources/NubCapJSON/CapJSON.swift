public import Foundation
public import NubCap

/// JSON descriptions of caps, so that a person can make any cap without writing code, and read any cap.
///
/// ```json
/// {"kind": "data", "bytes": "utf8:hello\n"}
/// {"kind": "cnode", "size_log": 4, "slots": [{"slot": 0, "cap": "<64 hex digits>"}]}
/// {"kind": "type", "image_hash_chain": "<64 hex digits>"}
/// {"kind": "image", "code": "@program.bin", "endpoints": [{"name": "main", "entry_pc": "0x1000"}]}
/// {"kind": "instance", "image_hash": "<64 hex digits>", "regs": [0, 1, 2], "pc": 4096}
/// ```
///
/// The fields have the names of the cap schema.
///
/// - A field that is left out has its zero value: 0, no bytes, an empty list, the zero hash; `isa` is 1. `kind`, a slot's
///   `slot` and `cap`, an endpoint's `name`, a CNode's `size_log` and a Type's `image_hash_chain` have to be there. A
///   field that the schema does not have is an error.
/// - Bytes are text: `hex:00ff`, `base64:AP8=`, `utf8:text`, or `@path` for the content of a file. A `name` is plain text.
/// - Hashes are 64 hexadecimal digits.
/// - Integers are JSON numbers, or text in decimal or with `0x`.
/// - Registers are an array of up to 32 integers; those left out are zero.
public enum CapJSON {
  /// The cap that `json` describes. The rules of the format are not checked here but when it is encoded or hashed.
  ///
  /// - Parameter readFile: gives the content of the file that `@path` names.
  public static func cap(
    from json: Data, readFile: @escaping (String) throws -> [UInt8] = CapJSON.contentOfFile
  ) throws(CapJSONError) -> Cap {
    let value: JSONValue
    do {
      value = try JSONDecoder().decode(JSONValue.self, from: json)
    } catch {
      throw CapJSONError(.notJSON, path: "", "this is not JSON", cause: error)
    }
    return try CapReader(readFile: readFile).cap(JSONField(value: value, path: ""))
  }

  /// The description of `cap`, indented, fields in the order of the schema. Bytes that are readable text come as `utf8:`,
  /// others as `hex:`.
  ///
  /// - Throws: `noDescription` for paged data with missing pages and for CNodes with references.
  public static func json(for cap: Cap) throws(CapJSONError) -> String {
    JSONText.text(of: try CapWriter.value(of: cap)) + "\n"
  }

  /// The content of a file, by a path relative to the working directory.
  public static func contentOfFile(_ path: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
  }
}

/// Why a description is not one of a cap, or a cap has none.
public struct CapJSONError: Error, CustomStringConvertible {
  public enum Code: Sendable {
    case notJSON
    case missingField
    case unknownField
    case wrongType
    case badValue
    case unreadableFile
    case noDescription
  }

  public let code: Code
  /// Where in the description, as `endpoints[2].name`; empty for the whole.
  public let path: String
  /// What is wrong and what would be right.
  public let message: String
  public let cause: (any Error)?

  init(_ code: Code, path: String, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.path = path
    self.message = message
    self.cause = cause
  }

  public var description: String {
    let place = path.isEmpty ? "" : "\(path): "
    let reason = cause.map { " (\($0))" } ?? ""
    return place + message + reason
  }
}
