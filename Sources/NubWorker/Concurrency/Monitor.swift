internal import Glibc

/// State behind a lock, with threads that wait for it to change: `Mutex` from Synchronization has no condition variable, and
/// lanes and committer must sleep until there is work.
///
/// All waits and wake-ups go through one condition variable, so use one kind of waiter per monitor.
final class Monitor<State>: @unchecked Sendable {
  // Sendable because `state` is touched under `mutex` only, and the two pointers never change between init and deinit. The
  // POSIX objects need an address of their own, for they must not be moved.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var state: State

  init(_ state: sending State) {
    mutex = .allocate(capacity: 1)
    condition = .allocate(capacity: 1)
    self.state = state
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    // Timeouts must not jump with the wall clock.
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  func withLock<R>(_ body: (inout State) -> R) -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body(&state)
  }

  /// Calls `attempt` under the lock until it returns something, sleeping in between until someone signals.
  ///
  /// - Parameter deadline: monotonic time after which nil is returned instead; nil waits without limit.
  func wait<R>(until deadline: Monotonic? = nil, _ attempt: (inout State) -> R?) -> R? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      if let result = attempt(&state) { return result }
      if let deadline {
        var time = deadline.posix
        if pthread_cond_timedwait(condition, mutex, &time) == ETIMEDOUT { return attempt(&state) }
      } else {
        pthread_cond_wait(condition, mutex)
      }
    }
  }

  /// Wakes one waiting thread; costs no system call where none waits.
  func signal() { pthread_cond_signal(condition) }

  /// Wakes all waiting threads.
  func broadcast() { pthread_cond_broadcast(condition) }
}
