// Functions with a use, and examples of how one is written.
#if canImport(NubGuestKit)
  public import NubGuestKit
#else
  import CNubGuest
#endif
import NubCap

@c(nub_fn_256_sha256)
public func sha256(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call) { call throws(GuestError) in try call.write(SHA256.hash(call.payload)) }
}

@c(nub_fn_257_cap_sha256)
public func capSHA256(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call) { call throws(GuestError) in
    try call.write(SHA256.hash(try call.data(try call.hash())))
  }
}

/// Lines, words and bytes as `wc` counts them in the C locale: a line ends with a newline, and a word is a run of
/// printable bytes between white space. A byte that is neither (a control character, or one above 126) belongs to the
/// word around it but does not begin one.
@c(nub_fn_258_cap_word_count)
public func capWordCount(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call) { call throws(GuestError) in
    let bytes = try call.data(try call.hash())
    var lines: UInt64 = 0
    var words: UInt64 = 0
    var inWord = false
    for byte in bytes {
      switch byte {
      case 9...13, 32:
        if byte == 10 { lines += 1 }
        inWord = false
      case 33...126:
        if !inWord {
          words += 1
          inWord = true
        }
      default: break
      }
    }
    try call.write(lines)
    try call.write(words)
    try call.write(UInt64(bytes.count))
  }
}
