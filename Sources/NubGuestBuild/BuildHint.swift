/// What an author of a guest usually means by sources that a compiler or the linker refuses.
///
/// Looks for the tools' own words. Where they change, a hint is missing and nothing else.
enum BuildHint {
  static func hint(for output: String) -> String? {
    if let module = word(after: "no such module '", in: output, until: "'") {
      return
        "a guest has no operating system below it, so there is no \(module): it has NubGuestKit, NubCap, and what "
        + "Embedded Swift has of the standard library"
    }
    if let symbol = word(after: "undefined symbol: ", in: output, until: "\n") {
      return
        "a guest has no C library below it, so there is no \(symbol) unless its sources define it; nub_guest.h lists "
        + "what there is"
    }
    if output.contains("fatal error: '"), output.contains("' file not found") {
      return
        "headers of the operating system are not for guests: there are nub_guest.h, the compiler's own (stddef.h, "
        + "stdint.h, stdbool.h, limits.h, float.h, stdarg.h), and those in the guest's folder"
    }
    if output.contains("any Error' to 'GuestError'") || output.contains("untyped throws is not available") {
      return "errors in a guest have a type: write throws(GuestError)"
    }
    if output.contains("in embedded Swift") {
      return
        "Embedded Swift makes code for each type by itself: use a generic parameter or an enum in the place of `any`"
    }
    return nil
  }

  private static func word(after mark: String, in text: String, until end: Character) -> Substring? {
    guard let range = text.firstRange(of: mark) else { return nil }
    let word = text[range.upperBound...].prefix { $0 != end }
    return word.isEmpty ? nil : word
  }
}
