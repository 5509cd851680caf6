internal import CZeroMQ
internal import Glibc

/// A POSIX thread. Lanes block in KVM_RUN and the committer in fsync: neither may sit on Swift's cooperative pool.
struct WorkerThread: ~Copyable {
  private let thread: pthread_t

  /// - Parameters:
  ///   - name: as `top -H` and `gdb` show it; the kernel keeps 15 bytes.
  ///   - stackBytes: what the thread may use; pages are only taken when touched.
  init(name: String, stackBytes: Int = 8 << 20, _ body: @escaping @Sendable () -> Void) throws(WorkerError) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, stackBytes)
    let start = Unmanaged.passRetained(ThreadBody(name: name, body: body))
    var thread = pthread_t()
    let result = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        let start = Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue()
        pthread_setname_np(pthread_self(), String(start.name.prefix(15)))
        start.body()
        return nil
      }, start.toOpaque())
    guard result == 0 else {
      start.release()
      throw WorkerError(.systemResources, "cannot start thread \(name): \(String(cString: strerror(result)))")
    }
    self.thread = thread
  }

  /// Nobody waits for the thread to end.
  consuming func detach() {
    pthread_detach(thread)
  }

  /// Waits for the thread to end.
  consuming func join() {
    pthread_join(thread, nil)
  }
}

private final class ThreadBody: Sendable {
  let name: String
  let body: @Sendable () -> Void

  init(name: String, body: @escaping @Sendable () -> Void) {
    self.name = name
    self.body = body
  }
}
