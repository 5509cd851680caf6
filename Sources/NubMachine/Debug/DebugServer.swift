import Foundation
import Synchronization

/// Lets gdb attach to a sandbox: `gdb image.elf -ex 'target remote 127.0.0.1:PORT'`.
///
/// Whoever can connect can read and change everything in the guest, so it listens on the loopback interface unless it is
/// told otherwise. One sandbox and one debugger at a time; a second debugger waits until the first has left.
public final class DebugServer: Sendable {
  /// The TCP port that it listens on.
  public let port: UInt16
  private let listener: Listener
  private let target = Mutex<DebugTarget?>(nil)

  /// - Parameters:
  ///   - port: 0 for any free one, see ``port``.
  ///   - address: an IPv4 address of this machine.
  public init(port: UInt16 = 0, address: String = "127.0.0.1") throws(MachineError) {
    let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    let listener = Listener(
      descriptor: try FileDescriptor(number < 0 ? -errno : number, "socket"))
    let descriptor = listener.descriptor.number
    var one: Int32 = 1
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = port.bigEndian
    guard unsafe inet_pton(AF_INET, address, &name.sin_addr) == 1 else {
      throw MachineError(.configurationInvalid, "\(address) is not an IPv4 address")
    }
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = unsafe withUnsafeMutablePointer(to: &name) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        unsafe bind(descriptor, address, size) == 0 && listen(descriptor, 1) == 0
          && getsockname(descriptor, address, &size) == 0
      }
    }
    guard bound else { throw .system("listening on \(address):\(port) for debuggers", -errno) }
    self.port = UInt16(bigEndian: name.sin_port)
    self.listener = listener
    let thread = Thread { [weak self] in
      while true {
        let connection = accept4(listener.descriptor.number)
        guard connection >= 0 else {
          if connection == -EINTR || connection == -ECONNABORTED { continue }
          return
        }
        guard let self else {
          close(connection)
          return
        }
        self.run(connection)
      }
    }
    thread.name = "nub-debugger"
    thread.start()
  }

  deinit {
    // Wakes the thread, which keeps nothing of this object but the listener.
    shutdown(listener.descriptor.number, Int32(SHUT_RDWR))
  }

  /// True where no sandbox has been attached, or the one that was has been dropped.
  public var isVacant: Bool { target.withLock { $0?.isGone ?? true } }

  /// The sandbox that debuggers get from now on.
  func serve(_ new: DebugTarget) { target.withLock { $0 = new } }

  private func run(_ connection: Int32) {
    defer { close(connection) }
    var one: Int32 = 1
    unsafe setsockopt(connection, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    guard let target = target.withLock({ $0 }), let session = DebugSession(connection, target) else { return }
    session.run()
  }
}

/// The listening socket, which stays open until both the server and its thread are done with it: the thread must not come
/// to accept on a number that has become somebody else's.
private final class Listener: Sendable {
  let descriptor: FileDescriptor
  init(descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
}

/// `accept` that says -errno.
private func accept4(_ descriptor: Int32) -> Int32 {
  let connection = accept(descriptor, nil, nil)
  guard connection >= 0 else { return -errno }
  _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
  return connection
}
