/// What a debugger asks for (GDB manual, appendix E.2), parsed out of a packet. Pure.
enum GDBCommand: Equatable {
  case stopReason
  case readRegisters
  case writeRegisters([UInt8])
  case readRegister(Int)
  case writeRegister(Int, [UInt8])
  case readMemory(address: UInt64, count: UInt64)
  case writeMemory(address: UInt64, [UInt8])
  case insertBreakpoint(UInt64)
  case removeBreakpoint(UInt64)
  case resume(step: Bool)
  case detach
  case kill
  /// `vKill`, which wants an answer.
  case killAnswered
  case supported
  case features(annex: String, offset: UInt64, count: UInt64)
  case continueActions
  case noAcknowledgements
  case threads
  case moreThreads
  case currentThread
  case isThreadAlive
  case selectThread
  case attached
  /// Well-formed or not, nothing that this stub does; the empty answer says so.
  case unknown
  /// A command that it does, with operands that do not fit.
  case malformed

  init(_ packet: [UInt8]) {
    let text = packet[...]
    func starts(_ prefix: String) -> ArraySlice<UInt8>? {
      text.starts(with: prefix.utf8) ? text.dropFirst(prefix.utf8.count) : nil
    }
    switch text.first {
    case UInt8(ascii: "?"): self = .stopReason
    case UInt8(ascii: "g"): self = .readRegisters
    case UInt8(ascii: "G"):
      self = Hexadecimal.decode(text.dropFirst()).map { .writeRegisters($0) } ?? .malformed
    case UInt8(ascii: "p"):
      self =
        Hexadecimal.number(text.dropFirst()).flatMap { Int(exactly: $0) }.map { .readRegister($0) }
        ?? .malformed
    case UInt8(ascii: "P"): self = GDBCommand.register(text.dropFirst())
    case UInt8(ascii: "m"):
      self = GDBCommand.range(text.dropFirst()).map { .readMemory(address: $0, count: $1) } ?? .malformed
    case UInt8(ascii: "M"): self = GDBCommand.memory(text.dropFirst(), isBinary: false)
    case UInt8(ascii: "X"): self = GDBCommand.memory(text.dropFirst(), isBinary: true)
    case UInt8(ascii: "Z"): self = GDBCommand.breakpoint(text.dropFirst(), insert: true)
    case UInt8(ascii: "z"): self = GDBCommand.breakpoint(text.dropFirst(), insert: false)
    case UInt8(ascii: "c"): self = text.count == 1 ? .resume(step: false) : .unknown
    case UInt8(ascii: "s"): self = text.count == 1 ? .resume(step: true) : .unknown
    case UInt8(ascii: "D"): self = .detach
    case UInt8(ascii: "k"): self = .kill
    case UInt8(ascii: "H"): self = .selectThread
    case UInt8(ascii: "T"): self = .isThreadAlive
    default:
      if starts("vCont?") != nil {
        self = .continueActions
      } else if let actions = starts("vCont;") {
        // One thread: its action is the first. With a signal (C, S) the signal is dropped, the guest has none.
        switch actions.first {
        case UInt8(ascii: "c"), UInt8(ascii: "C"): self = .resume(step: false)
        case UInt8(ascii: "s"), UInt8(ascii: "S"): self = .resume(step: true)
        default: self = .malformed
        }
      } else if starts("vKill") != nil {
        self = .killAnswered
      } else if starts("qSupported") != nil {
        self = .supported
      } else if let operands = starts("qXfer:features:read:") {
        self = GDBCommand.features(operands)
      } else if starts("QStartNoAckMode") != nil {
        self = .noAcknowledgements
      } else if starts("qfThreadInfo") != nil {
        self = .threads
      } else if starts("qsThreadInfo") != nil {
        self = .moreThreads
      } else if text.elementsEqual("qC".utf8) {
        self = .currentThread
      } else if starts("qAttached") != nil {
        self = .attached
      } else {
        self = .unknown
      }
    }
  }

  private static func range(_ text: ArraySlice<UInt8>) -> (UInt64, UInt64)? {
    let parts = text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
    guard parts.count == 2, let address = Hexadecimal.number(parts[0]),
      let count = Hexadecimal.number(parts[1])
    else {
      return nil
    }
    return (address, count)
  }

  private static func register(_ text: ArraySlice<UInt8>) -> GDBCommand {
    let parts = text.split(separator: UInt8(ascii: "="), omittingEmptySubsequences: false)
    guard parts.count == 2, let number = Hexadecimal.number(parts[0]).flatMap({ Int(exactly: $0) }),
      let value = Hexadecimal.decode(parts[1])
    else { return .malformed }
    return .writeRegister(number, value)
  }

  private static func memory(_ text: ArraySlice<UInt8>, isBinary: Bool) -> GDBCommand {
    guard let colon = text.firstIndex(of: UInt8(ascii: ":")), let range = range(text[..<colon]) else {
      return .malformed
    }
    let data = text[(colon + 1)...]
    guard let bytes = isBinary ? Array(data) : Hexadecimal.decode(data), UInt64(bytes.count) == range.1 else {
      return .malformed
    }
    return .writeMemory(address: range.0, bytes)
  }

  /// Type 0, software breakpoints, alone: `0,address,kind`.
  private static func breakpoint(_ text: ArraySlice<UInt8>, insert: Bool) -> GDBCommand {
    let parts = text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
    guard parts.first?.elementsEqual("0".utf8) == true else { return .unknown }
    guard parts.count >= 3, let address = Hexadecimal.number(parts[1]) else { return .malformed }
    return insert ? .insertBreakpoint(address) : .removeBreakpoint(address)
  }

  private static func features(_ text: ArraySlice<UInt8>) -> GDBCommand {
    guard let colon = text.firstIndex(of: UInt8(ascii: ":")), let range = range(text[(colon + 1)...]) else {
      return .malformed
    }
    return .features(annex: String(decoding: text[..<colon], as: UTF8.self), offset: range.0, count: range.1)
  }
}
