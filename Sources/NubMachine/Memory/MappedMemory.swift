import CKVM
import Glibc

/// Memory from mmap, unmapped when its owner goes.
///
/// Only this type and the views it gives touch the address; all offsets are checked by ``bytes(at:count:)``.
@safe struct MappedMemory: ~Copyable, @unchecked Sendable {
  // Safe to hold: it owns the mapping; a view of it must not outlive it, which is why making one is marked unsafe.
  // Sendable: the mapping belongs to one noncopyable owner, and its address is constant.

  let base: UnsafeMutableRawPointer
  let size: Int

  /// Zeroed private memory that costs nothing until it is touched.
  init(anonymous size: Int) throws(MachineError) {
    try self.init(
      size: size, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
      fd: -1)
    // Small pages: a guest that touches one byte of an area should cost 4 KiB, not 2 MiB.
    unsafe madvise(base, size, MADV_NOHUGEPAGE)
    // A worker's core file has no use for guests' memory; crash dumps have their own.
    unsafe madvise(base, size, MADV_DONTDUMP)
  }

  /// The pages of a file, shared with every other mapping of it.
  init(sharing fd: Int32, size: Int, writable: Bool) throws(MachineError) {
    try self.init(
      size: size, protection: writable ? PROT_READ | PROT_WRITE : PROT_READ, flags: MAP_SHARED, fd: fd)
  }

  /// The pages of a file, writable for this owner alone; what it writes reaches neither the file nor other mappings.
  init(copying fd: Int32, at offset: UInt64 = 0, size: Int) throws(MachineError) {
    try self.init(
      size: size, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE, fd: fd, offset: off_t(offset))
  }

  private init(
    size: Int, protection: Int32, flags: Int32, fd: Int32, offset: off_t = 0
  ) throws(MachineError) {
    guard let memory = unsafe mmap(nil, size, protection, flags, fd, offset), unsafe memory != mapFailed
    else {
      throw .system("mmap of \(size) bytes", -errno)
    }
    unsafe base = unsafe memory
    self.size = size
  }

  deinit { unsafe munmap(base, size) }

  /// A view of part of the memory; nil where it would reach outside.
  func bytes(at offset: UInt64, count: UInt64) -> UnsafeMutableRawBufferPointer? {
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard !overflow, end <= UInt64(size) else { return nil }
    return unsafe UnsafeMutableRawBufferPointer(start: base + Int(offset), count: Int(count))
  }

  /// Gives pages back to the system; they read as zero afterwards. `offset` and `count` are multiples of the page size.
  func discard(at offset: Int, count: Int) {
    guard count > 0, offset >= 0, count <= size - offset else { return }
    unsafe madvise(base + offset, count, MADV_DONTNEED)
  }
}

/// What mmap answers when it fails; the macro is a cast that Swift does not import.
var mapFailed: UnsafeMutableRawPointer? { unsafe UnsafeMutableRawPointer(bitPattern: -1) }

/// Gives the whole pages of a view back to the system; they read as zero afterwards.
func discardPages(_ view: UnsafeMutableRawBufferPointer) {
  let page = 4096
  guard let base = view.baseAddress else { return }
  let start = (UInt(bitPattern: base) + UInt(page - 1)) & ~UInt(page - 1)
  let end = (UInt(bitPattern: base) + UInt(view.count)) & ~UInt(page - 1)
  guard end > start, let first = unsafe UnsafeMutableRawPointer(bitPattern: start) else { return }
  unsafe madvise(first, Int(end - start), MADV_DONTNEED)
}

/// A file descriptor, closed when its owner goes.
struct FileDescriptor: ~Copyable, Sendable {
  let number: Int32

  /// Takes over the result of a system call: a descriptor, or -errno.
  init(_ result: Int32, _ call: @autoclosure () -> String) throws(MachineError) {
    guard result >= 0 else { throw .system(call(), result) }
    number = result
  }

  deinit { close(number) }
}

func systemErrorText(_ number: Int32) -> String {
  var buffer = [CChar](repeating: 0, count: 128)
  // The POSIX form, which fills the buffer.
  guard unsafe strerror_r(number, &buffer, buffer.count) == 0 else { return "unknown error" }
  return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
