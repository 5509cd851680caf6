import CKVM

/// What CPUID tells a guest: what KVM supports, less vector extensions beyond the baseline (x86-64-v2 and SHA), less
/// what identifies the host. Where CPUID runs natively in ring 3, as under a software hypervisor, this has no effect.
enum GuestCPUID {
  static func entries(of kvm: borrowing FileDescriptor) throws(MachineError) -> [kvm_cpuid_entry2] {
    var entries = [kvm_cpuid_entry2](repeating: kvm_cpuid_entry2(), count: 256)
    let count = unsafe nub_kvm_supported_cpuid(kvm.number, &entries, 256)
    guard count >= 0 else { throw .system("KVM_GET_SUPPORTED_CPUID", count) }
    return entries.prefix(Int(count)).compactMap(mask)
  }

  /// Bits are those of Intel SDM vol. 2A, CPUID, tables 3-8 to 3-11.
  private static func mask(_ entry: kvm_cpuid_entry2) -> kvm_cpuid_entry2? {
    var entry = entry
    switch entry.function {
    case 1:
      // MONITOR, VMX, SMX, FMA, PCID, x2APIC, TSC deadline, XSAVE, OSXSAVE, AVX, F16C, "running under a hypervisor".
      for bit in [3, 5, 6, 12, 17, 21, 24, 26, 27, 28, 29, 31] { entry.ecx &= ~(1 << UInt32(bit)) }
    case 7:
      // Leaf 7 keeps UMIP and SHA alone: no FSGSBASE, AVX2, AVX-512, TSX, protection keys, CET.
      entry.ebx &= 1 << 29
      entry.ecx &= entry.index == 0 ? 1 << 2 : 0
      entry.edx = 0
      entry.eax = 0
    case 3, 0xd, 0x12, 0x14, 0x19, 0x1d, 0x1e: return nil  // serial number, XSAVE, SGX, PT, key locker, AMX
    case 0x4000_0000...0x4fff_ffff: return nil  // the hypervisor's own leaves
    case 0x8000_0001: entry.ecx &= ~(1 << 2 | 1 << 11 | 1 << 16)  // SVM, XOP, FMA4
    case 0x8000_0002...0x8000_0004: return nil  // brand string
    case 0x8000_000a, 0x8000_001f: return nil  // SVM, memory encryption
    default: break
    }
    return entry
  }

  /// True where leaf 7 offers UMIP, which keeps SGDT, SIDT, SLDT, SMSW and STR from ring 3.
  static func offersUMIP(_ entries: [kvm_cpuid_entry2]) -> Bool {
    entries.contains { $0.function == 7 && $0.index == 0 && $0.ecx & (1 << 2) != 0 }
  }
}
