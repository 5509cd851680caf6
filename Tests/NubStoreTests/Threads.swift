import Foundation

/// Runs `other` on a thread of its own while `body` runs here; returns when both have.
func withTaskThreads(_ other: @escaping @Sendable () -> Void, body: () -> Void) {
  let done = DispatchSemaphore(value: 0)
  Thread.detachNewThread {
    other()
    done.signal()
  }
  body()
  done.wait()
}
