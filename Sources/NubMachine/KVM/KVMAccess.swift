import CKVM
import Glibc
import Synchronization

/// `/dev/kvm`, opened ahead of time by a process that gives up the right to open it.
public enum KVMAccess {
  private static let kept = Mutex<Int32?>(nil)

  /// Opens the device and keeps it open for this process's templates. Again: nothing happens.
  ///
  /// - Throws: code `kvmUnavailable`.
  public static func keep(path: String = "/dev/kvm") throws(MachineError) {
    guard kept.withLock({ $0 }) == nil else { return }
    let result = unsafe nub_kvm_open(path)
    guard result >= 0 else { throw KVMDevice.unavailable(path, -result) }
    kept.withLock { $0 = result }
  }

  /// A descriptor of its own for a template, or nil where nothing was kept. KVM asks for rights when the device is opened only.
  static func duplicate() -> Int32? {
    kept.withLock { $0 }.map { nub_kvm_duplicate($0) }
  }
}
