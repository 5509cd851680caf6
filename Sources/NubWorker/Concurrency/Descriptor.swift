internal import Glibc

/// A file descriptor, closed by its `deinit`.
struct Descriptor: ~Copyable, Sendable {
  let number: Int32

  /// - Parameter number: one that nobody else closes.
  init(owning number: Int32) { self.number = number }

  deinit { close(number) }

  /// Somebody else closes it from now on.
  consuming func release() -> Int32 {
    let number = number
    discard self
    return number
  }
}
