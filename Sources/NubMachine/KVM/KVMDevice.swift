import CKVM
import Glibc

/// `/dev/kvm`, opened and checked.
struct KVMDevice: ~Copyable, Sendable {
  let descriptor: FileDescriptor
  let runSize: Int
  /// What this KVM offers of CPUID, less what a guest must not see or could not use.
  let cpuid: [kvm_cpuid_entry2]

  init(path: String = "/dev/kvm") throws(MachineError) {
    let result = unsafe nub_kvm_open(path)
    guard result >= 0 else { throw KVMDevice.unavailable(path, -result) }
    let descriptor = try FileDescriptor(result, "open(\(path))")
    let version = nub_kvm_api_version(descriptor.number)
    guard version == KVM_API_VERSION else {
      throw MachineError(
        .kvmUnavailable, "KVM speaks API version \(version); nub needs 12, as every Linux since 2.6.22 has")
    }
    for (capability, name) in [
      (KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"), (KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM"),
      (KVM_CAP_XSAVE, "KVM_CAP_XSAVE"), (KVM_CAP_SYNC_REGS, "KVM_CAP_SYNC_REGS"),
    ] where nub_kvm_check_extension(descriptor.number, capability) <= 0 {
      throw MachineError(.kvmUnavailable, "this KVM lacks \(name); use a Linux kernel of 4.16 or newer")
    }
    let runSize = Int(nub_kvm_run_size(descriptor.number))
    guard runSize >= MemoryLayout<kvm_run>.size else {
      throw MachineError(.kvmUnavailable, "KVM_GET_VCPU_MMAP_SIZE answered \(runSize)")
    }
    cpuid = try GuestCPUID.entries(of: descriptor)
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
      default: "opening it failed"
      }
    return MachineError(.kvmUnavailable, "\(path) cannot be used: \(remedy)", cause: Errno(number))
  }
}
