import Foundation
import NubCap
import NubCapJSON

/// Descriptions of caps as people write them: what is accepted and can be encoded has a description that means the same cap.
func fuzzCapText(_ input: UnsafeRawBufferPointer) {
  // No file is read for a description that somebody else wrote.
  struct NoFile: Error {}
  do throws(CapJSONError) {
    let cap = try CapJSON.cap(from: Data(input)) { _ in throw NoFile() }
    guard let wire = try? cap.encoded() else { return }
    let again = try CapJSON.cap(from: Data(CapJSON.json(for: cap).utf8)) { _ in throw NoFile() }
    if (try? again.encoded()) != wire { fatalError("the description of a cap means another one") }
  } catch {
    if error.description.isEmpty { fatalError("a refusal without a reason") }
  }
}
