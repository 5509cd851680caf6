import CKVM
import Glibc

/// `/dev/kvm`, opened and checked. One for all machines of a template; any thread may use it.
struct KVMDevice: ~Copyable, Sendable {
  let descriptor: FileDescriptor
  let runSize: Int
  /// What this KVM offers of CPUID, less what a guest must not see or could not use.
  let cpuid: [kvm_cpuid_entry2]

  /// True where the guest's access to MSRs can be denied as a whole (api.rst, KVM_CAP_X86_MSR_FILTER).
  let canDenyMSRs: Bool

  init(path: String = "/dev/kvm") throws(MachineError) {
    let result = unsafe KVMAccess.duplicate() ?? nub_kvm_open(path)
    guard result >= 0 else { throw KVMDevice.unavailable(path, -result) }
    let descriptor = try FileDescriptor(result, "open(\(path))")
    let version = nub_kvm_api_version(descriptor.number)
    guard version >= 0 else { throw KVMDevice.unavailable(path, -version) }
    guard version == KVM_API_VERSION else {
      throw MachineError(
        .kvmUnavailable, "KVM speaks API version \(version); nub needs 12, as every Linux since 2.6.22 has")
    }
    for capability in KVMDevice.capabilities(of: descriptor)
    where capability.isRequired && !capability.isPresent {
      throw MachineError(
        .kvmUnavailable, "this KVM lacks \(capability.name); use a Linux kernel of 4.16 or newer")
    }
    let runSize = Int(nub_kvm_run_size(descriptor.number))
    guard runSize >= MemoryLayout<kvm_run>.size else {
      throw MachineError(.kvmUnavailable, "KVM_GET_VCPU_MMAP_SIZE answered \(runSize)")
    }
    let cpuid = try GuestCPUID.entries(of: descriptor)
    canDenyMSRs = nub_kvm_check_extension(descriptor.number, KVM_CAP_X86_MSR_FILTER) > 0
    self.cpuid = cpuid
    self.runSize = runSize
    self.descriptor = descriptor
  }

  static func unavailable(_ path: String, _ number: Int32) -> MachineError {
    let remedy =
      switch number {
      case ENOENT:
        "the device is missing: load the module kvm_intel, kvm_amd or kvm_pvm, enable virtualisation in the firmware, or "
          + "pass the device into the container"
      case EACCES, EPERM: "permission is missing: add the user to the group kvm, or run as root"
      case ENODEV, ENXIO:
        "the kvm module is loaded but has no hardware to use: enable virtualisation in the firmware"
      case ENOTTY: "it is there, but it is not KVM's device"
      default: "opening it failed"
      }
    return MachineError(.kvmUnavailable, "\(path) cannot be used: \(remedy)", cause: Errno(number))
  }
}
