import NubZMQ

/// Key files, as an operator or somebody else left them: what is accepted as a key prints the same again, and a tenant is a name that
/// the job protocol can carry.
public func fuzzKeys(_ input: UnsafeRawBufferPointer) {
  let text = String(decoding: input, as: UTF8.self)
  if let bytes = CurveKey.decode(text) {
    check(bytes.count == CurveKey.bytes && CurveKey.encode(bytes) == text, "a key prints as another one")
  }
  _ = CurveKey.publicKey(ofSecret: text)
  if KeyFile.isName(text) { check(!text.contains("/") && !text.hasPrefix(".") && !text.isEmpty, "a name leads elsewhere") }
  do throws(SecurityError) {
    let (key, principal) = try AuthorizedKeys.principal(text, name: "x.pub", path: "x.pub")
    check(CurveKey.decode(key) != nil, "a file admits what is no key")
    check(!principal.roles.isEmpty, "a key without a role")
    if let tenant = principal.tenant {
      check((1...64).contains(tenant.utf8.count), "a tenant that no job can name")
      check(tenant.utf8.allSatisfy { $0 >= 0x20 }, "a control character in a tenant's name")
    }
  } catch {
    check(!error.message.isEmpty, "a refusal without a reason")
  }
}

/// Questions of libzmq's to the ZAP handler, whose address, identity and credentials are the peer's: only a CURVE key of 32 bytes is
/// one, and whatever is answered belongs to the question.
public func fuzzZAP(_ input: UnsafeRawBufferPointer) {
  var frames: [[UInt8]] = []
  var rest = input[...]
  while let size = rest.popFirst() {
    frames.append([UInt8](rest.prefix(Int(size))))
    rest = rest.dropFirst(Int(size))
  }
  guard let request = ZAPRequest(frames) else { return }
  check(frames[0] == Array("1.0".utf8) && request.requestID == frames[1], "another question")
  if let key = request.curveKey {
    check(request.mechanism == "CURVE" && request.credentials.count == 1, "a key by another mechanism")
    check(CurveKey.decode(key) == request.credentials[0], "another key")
  }
  let reply = ZAPReply(status: .refused, text: "no").frames(for: request)
  check(reply.count == 6 && reply[1] == frames[1] && reply[2] == Array("400".utf8), "a reply to something else")
}

private func check(_ condition: Bool, _ message: @autoclosure () -> String) {
  if !condition { fatalError(message()) }
}
