/// The parts of a started sandbox, for a benchmark that runs the same guest with nothing of nub around it.
///
/// Valid while the sandbox lives; whoever uses it must not use the sandbox at the same time.
@unsafe package struct RawMachine {
  package let vcpu: Int32
  package let run: UnsafeMutableRawPointer
  package let hostControl: UnsafeMutableRawPointer
  package let request: UnsafeMutableRawPointer
  package let guestControl: UnsafeMutableRawPointer
  package let result: UnsafeMutableRawPointer
  /// Bytes of the template's, the host's and the guest's slot.
  package let slots: (UInt64, UInt64, UInt64)
}

extension Sandbox {
  package var rawMachine: RawMachine? {
    guard case .machine(let machine) = body, let request = unsafe areas.request.baseAddress,
      let result = unsafe areas.result.baseAddress
    else { return nil }
    let space = machine.template.space
    return unsafe RawMachine(
      vcpu: machine.descriptor, run: machine.runPage, hostControl: UnsafeMutableRawPointer(areas.host),
      request: request, guestControl: UnsafeMutableRawPointer(areas.control), result: result,
      slots: (space.templateSize, space.hostSize, space.guestSize))
  }
}
