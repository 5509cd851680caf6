/// A function that was running, or waiting for one that it called.
public struct StackFrame: Sendable, Equatable, CustomStringConvertible {
  /// The instruction at fault in the first frame, return addresses in the others.
  public var address: UInt64
  /// The function's name, made readable; nil where the image has no symbols or the address is in no function.
  public var function: String?
  /// How far into the function.
  public var offset: UInt64

  /// `function+offset`, or the address.
  public var description: String {
    function.map { "\($0)+\(offset)" } ?? hexadecimal(address)
  }
}

/// Walks a guest's stack by its frame pointers (System V ABI, AMD64 supplement, 3.2.2).
///
/// Everything that it follows was written by the guest: it reads through a function that checks each address, frames
/// must lie one above the other, and there is a limit to them.
struct StackWalk {
  static let limit = 64

  /// Where a function begins, for judging whether a frame has been set up.
  var symbols: SymbolTable
  var isCode: (UInt64) -> Bool
  /// A word of the guest's stack; nil for any address outside it.
  var read: (UInt64) -> UInt64?

  /// Addresses of the frames, the innermost first.
  func addresses(_ registers: GeneralRegisters) -> [UInt64] {
    var addresses = [registers.rip]
    // Frames are set up by `push %rbp; mov %rsp, %rbp`. Before that the return address is on top of the stack, or one
    // below the saved pointer; where the guest jumped to no code at all, its caller's is on top.
    var early: UInt64?
    if !isCode(registers.rip) {
      early = registers.rsp
    } else if let place = symbols.find(registers.rip) {
      if place.offset == 0 { early = registers.rsp }
      if place.offset == 1 { early = registers.rsp &+ 8 }
    }
    if let early, let address = read(early), isCode(address) { addresses.append(address) }

    var frame = registers.rbp
    while addresses.count < StackWalk.limit, frame % 8 == 0, let next = read(frame),
      let address = read(frame &+ 8),
      isCode(address)
    {
      addresses.append(address)
      guard next > frame else { break }
      frame = next
    }
    return addresses
  }

  func frames(_ registers: GeneralRegisters) -> [StackFrame] {
    addresses(registers).enumerated().map { index, address in
      // A return address may lie behind the last instruction of a function that ends with a call.
      guard let place = symbols.find(index == 0 ? address : address &- 1) else {
        return StackFrame(address: address, function: nil, offset: 0)
      }
      return StackFrame(
        address: address, function: SymbolName.readable(place.name),
        offset: place.offset + (index == 0 ? 0 : 1))
    }
  }
}
