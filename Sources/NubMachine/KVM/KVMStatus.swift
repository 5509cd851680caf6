import CKVM
import Glibc

/// What a machine offers for sandboxes, for `nub doctor` and for tests: usable, or why not and what to do about it.
public struct KVMStatus: Sendable {
  /// One capability of this KVM that nub asks about.
  public struct Capability: Sendable, Equatable {
    /// As in the kernel's headers.
    public var name: String
    /// What KVM_CHECK_EXTENSION answered.
    public var isPresent: Bool
    /// False for one that nub does without where it is missing.
    public var isRequired: Bool
  }

  /// Why sandboxes cannot run, with the remedy; nil where they can.
  public var problem: MachineError?
  /// Empty where the device could not be opened.
  public var capabilities: [Capability] = []
  /// What KVM runs on: `VMX`, `SVM`, or the name of a software hypervisor's module.
  public var hypervisor: String
  /// From leaving ring 3 to being back in it, nanoseconds; the median of some hundred. Nil where nothing ran.
  public var roundTripNanoseconds: UInt64?
  /// Making and starting one sandbox of the built-in image, nanoseconds.
  public var creationNanoseconds: UInt64?

  /// True where a guest has run.
  public var isUsable: Bool { problem == nil }

  /// One line for a console.
  public var summary: String {
    if let problem { return problem.message }
    let trip = roundTripNanoseconds.map { ", \($0 / 1000) µs per exit" } ?? ""
    let creation = creationNanoseconds.map { ", \($0 / 1000) µs per sandbox" } ?? ""
    return "KVM on \(hypervisor) is usable\(trip)\(creation)"
  }

  /// Looks, and runs a guest. Takes some ten milliseconds.
  public static func check(path: String = "/dev/kvm") -> KVMStatus {
    var status = KVMStatus(hypervisor: hypervisorName())
    do throws(MachineError) {
      status.capabilities = try KVMDevice.capabilities(path: path)
      _ = try KVMDevice(path: path)
      let template = try SandboxTemplate(kvm: try GuestImage.builtIn())
      let start = monotonicNanoseconds()
      var sandbox = try template.makeSandbox()
      status.creationNanoseconds = monotonicNanoseconds() - start
      var samples: [UInt64] = []
      for _ in 0..<200 {
        let before = monotonicNanoseconds()
        _ = try sandbox.call(1, [])
        samples.append(monotonicNanoseconds() - before)
      }
      samples.sort()
      status.roundTripNanoseconds = samples[samples.count / 2]
    } catch {
      status.problem = error
    }
    return status
  }

  /// The modules that stand behind `/dev/kvm`, as the kernel lists them.
  private static func hypervisorName() -> String {
    for (module, name) in [("kvm_intel", "VMX"), ("kvm_amd", "SVM"), ("kvm_pvm", "kvm_pvm (software)")]
    where unsafe access("/sys/module/\(module)", F_OK) == 0 {
      return name
    }
    return "an unknown hypervisor"
  }
}

extension KVMDevice {
  /// Capabilities that nub asks about, required ones first (api.rst, 4.4).
  private static var known: [(number: Int32, name: String, isRequired: Bool)] {
    [
      (KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", true),
      (KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM", true),
      (KVM_CAP_XSAVE, "KVM_CAP_XSAVE", true),
      (KVM_CAP_SYNC_REGS, "KVM_CAP_SYNC_REGS", true),
      (KVM_CAP_X86_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER", false),
      (KVM_CAP_XCRS, "KVM_CAP_XCRS", false),
      (KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD", false),
      (KVM_CAP_SET_GUEST_DEBUG, "KVM_CAP_SET_GUEST_DEBUG", false),
      (KVM_CAP_DIRTY_LOG_RING, "KVM_CAP_DIRTY_LOG_RING", false),
    ]
  }

  static func capabilities(of descriptor: borrowing FileDescriptor) -> [KVMStatus.Capability] {
    known.map { entry in
      KVMStatus.Capability(
        name: entry.name, isPresent: nub_kvm_check_extension(descriptor.number, entry.number) > 0,
        isRequired: entry.isRequired)
    }
  }

  static func capabilities(path: String) throws(MachineError) -> [KVMStatus.Capability] {
    let result = unsafe nub_kvm_open(path)
    guard result >= 0 else { throw unavailable(path, -result) }
    return capabilities(of: try FileDescriptor(result, "open(\(path))"))
  }
}
