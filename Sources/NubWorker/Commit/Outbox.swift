internal import NubStore
internal import Synchronization

/// What goes back to the door thread: recorded jobs to be answered, and the journals of workers that are gone.
final class Outbox: Sendable {
  private struct Content {
    var finished: [Job] = []
    var inherited: [InheritedJournal] = []
  }

  private let content = Mutex(Content())
  private let wakeup: Wakeup

  init(wakeup: Wakeup) {
    self.wakeup = wakeup
  }

  func put(_ finished: [Job]) {
    guard !finished.isEmpty else { return }
    content.withLock { $0.finished.append(contentsOf: finished) }
    wakeup.notify()
  }

  func put(inherited: [InheritedJournal]) {
    guard !inherited.isEmpty else { return }
    content.withLock { $0.inherited.append(contentsOf: inherited) }
    wakeup.notify()
  }

  /// Takes all jobs; door thread.
  func take() -> [Job] {
    content.withLock { content in
      let taken = content.finished
      content.finished = []
      return taken
    }
  }

  /// Takes all journals; door thread.
  func takeInherited() -> [InheritedJournal] {
    content.withLock { content in
      let taken = content.inherited
      content.inherited = []
      return taken
    }
  }
}
