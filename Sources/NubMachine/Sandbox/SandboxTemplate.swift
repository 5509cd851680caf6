public import Logging
import Synchronization

/// Where guest code runs.
public enum Engine: String, Sendable, CaseIterable {
  /// In a KVM virtual machine, at ring 3.
  case kvm
  /// In this process, without isolation. For development only.
  case inProcess = "inprocess"
}

/// Everything that sandboxes of one kind share. Making a sandbox from it is cheap; see ``makeSandbox()``.
public final class SandboxTemplate: Sendable {
  enum Kind: Sendable {
    case kvm(MachineTemplate)
    case inProcess
  }

  let kind: Kind
  /// Sizes and limits of its sandboxes.
  public let configuration: SandboxConfiguration
  /// What guests may call in each of them, see ``Sandbox/hostFunctions``.
  public let hostFunctions: HostFunctions
  /// Where guests' log records and the machine's own go.
  public let logger: Logger
  /// What the image offers, sorted by id.
  public let functions: [GuestImage.Function]
  let metrics = MachineMetrics.current
  let spans = GuestSpan()
  let dumpLimit = Mutex(DumpLimit())

  /// Where guest code runs.
  public var engine: Engine {
    switch kind {
    case .kvm: .kvm
    case .inProcess: .inProcess
    }
  }

  /// Sandboxes in KVM virtual machines.
  /// - Parameter interruptSignal: the signal that interrupts vCPUs, one for a process; nil for the first real-time signal
  ///   that the application does not handle.
  /// - Throws: ``MachineError/Code/configurationInvalid`` for a value that is absurd or a signal that is taken,
  ///   ``MachineError/Code/kvmUnavailable`` with the cause and the remedy where there is no usable KVM.
  public init(
    kvm image: GuestImage, configuration: SandboxConfiguration = SandboxConfiguration(),
    hostFunctions: HostFunctions = HostFunctions(), logger: Logger = Logger(label: "nub.machine"),
    interruptSignal: Int32? = nil
  ) throws(MachineError) {
    kind = .kvm(
      try MachineTemplate(image: image, configuration: configuration, interruptSignal: interruptSignal))
    self.configuration = configuration
    self.hostFunctions = hostFunctions
    self.logger = logger
    functions = image.functions
  }

  /// Sandboxes that are none: the built-in guest's code in this process.
  public init(
    inProcess configuration: SandboxConfiguration, hostFunctions: HostFunctions = HostFunctions(),
    logger: Logger = Logger(label: "nub.machine")
  ) throws(MachineError) {
    try configuration.validate()
    kind = .inProcess
    self.configuration = configuration
    self.hostFunctions = hostFunctions
    self.logger = logger
    functions = InProcessFunctions.list
  }

  /// A new sandbox, started and ready for calls.
  public func makeSandbox() throws(MachineError) -> Sandbox {
    var sandbox = try Sandbox(unstarted: self)
    try sandbox.start()
    metrics.sandboxCreated()
    return sandbox
  }
}
