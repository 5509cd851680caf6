/// Why the machine could not do what it was asked to.
public struct MachineError: Error, Sendable, CustomStringConvertible {
  /// What happened. Exhaustive on purpose: whoever handles these decides about each.
  public enum Code: Sendable, Equatable {
    /// The guest caused a processor exception.
    case fault(ProcessorException)
    /// The guest gave up by itself.
    case abort(code: UInt32)
    /// The call ran longer than its deadline.
    case deadlineExceeded
    /// Somebody interrupted the call through the ``InterruptHandle``.
    case cancelled
    /// The guest wrote something into shared memory, or left the VM in a way, that the ABI does not allow.
    case protocolViolation
    /// The function returned a status other than 0.
    case guestError(status: UInt32)
    /// A request or a result is over a configured limit.
    case tooLarge
    /// The sandbox refuses calls since an earlier failure.
    case poisoned
    /// A cap has no wire form, or is not a cap.
    case capInvalid
    /// The guest's hash of a cap is not the claimed one.
    case hashMismatch
    /// The image is not one that this host can run.
    case imageInvalid
    /// A configuration value is absurd.
    case configurationInvalid
    /// There is no usable KVM on this machine.
    case kvmUnavailable
    /// The system refused memory, file descriptors or a system call.
    case system(errno: Int32)
  }

  /// What happened, for whoever decides what becomes of the sandbox and of the call.
  public var code: Code
  /// What a person can do about it, or what exactly was wrong.
  public var message: String
  /// The system's error number behind it, where there is one.
  public var cause: Errno?

  /// - Parameter cause: the system's own error, where there is one.
  public init(_ code: Code, _ message: String, cause: Errno? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  /// A failed system call; `result` is its -errno.
  static func system(_ call: String, _ result: Int32) -> MachineError {
    let number = Errno(-result)
    return MachineError(.system(errno: number.number), "\(call) failed: \(number)", cause: number)
  }

  /// The message.
  public var description: String { message }

  /// True where the sandbox cannot be used any more after this error. A guest's own error, and what the host refused
  /// before anything reached the guest, leave it as it was.
  public var poisons: Bool {
    switch code {
    case .fault, .abort, .deadlineExceeded, .cancelled, .protocolViolation, .poisoned, .system, .hashMismatch:
      true
    case .guestError, .tooLarge, .capInvalid, .imageInvalid, .configurationInvalid, .kvmUnavailable: false
    }
  }
}

/// A system error number.
public struct Errno: Sendable, Equatable, CustomStringConvertible {
  /// As in errno(3).
  public var number: Int32

  public init(_ number: Int32) { self.number = number }
  public var description: String { "\(systemErrorText(number)) (errno \(number))" }
}
