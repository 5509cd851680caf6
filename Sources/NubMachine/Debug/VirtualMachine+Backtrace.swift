extension VirtualMachine {
  /// The guest's backtrace. The vCPU is outside the guest.
  func backtrace(_ registers: GeneralRegisters) -> [StackFrame] {
    let space = template.space
    let code = space.mappings.filter { $0.isUser && $0.isExecutable }
    guard let stack = space.mapping(.stack) else { return [] }
    let walk = StackWalk(
      symbols: template.symbols,
      isCode: { address in code.contains { address >= $0.virtual && address - $0.virtual < $0.size } },
      read: { address in
        guard address >= stack.virtual, address - stack.virtual <= stack.size - 8,
          let word = unsafe self.guestArea.bytes(at: stack.offset + (address - stack.virtual), count: 8)
        else { return nil }
        return unsafe word.loadUnaligned(as: UInt64.self)
      })
    return walk.frames(registers)
  }
}
