import Synchronization

/// A dump that another thread wants of a running guest.
struct DumpRequest: Sendable {
  var number: UInt64
  var path: String
  var sizeLimit: UInt64
  var completion: @Sendable (Result<CrashDump, MachineError>) -> Void

  static let counter = Atomic<UInt64>(0)
}

extension InterruptHandle {
  /// Asks for a crash dump of the guest while it runs: it is stopped, its state written, and it goes on. The time that
  /// takes is not counted towards the call's deadline.
  /// - Parameter completion: called on the sandbox's thread, once, and with an error where the call ends before it can be
  ///   stopped. Not called where this returns ``Outcome/notRunning``.
  @discardableResult
  public func requestCrashDump(
    to path: String, sizeLimit: UInt64 = 256 << 20,
    completion: @escaping @Sendable (Result<CrashDump, MachineError>) -> Void
  ) -> Outcome {
    let number = DumpRequest.counter.wrappingAdd(1, ordering: .relaxed).newValue
    // First the wish, then the tick: an owner that sees the tick finds the wish.
    dumpRequests.withLock {
      $0.append(DumpRequest(number: number, path: path, sizeLimit: sizeLimit, completion: completion))
    }
    if request(.tick, ofCall: nil) { return .requested }
    // No call was running at that moment. Where the wish is gone, the owner has answered it all the same.
    let wasThere = dumpRequests.withLock { requests in
      let before = requests.count
      requests.removeAll { $0.number == number }
      return requests.count < before
    }
    return wasThere ? .notRunning : .requested
  }

  func takeDumpRequests() -> [DumpRequest] {
    dumpRequests.withLock { requests in
      guard !requests.isEmpty else { return [] }
      defer { requests = [] }
      return requests
    }
  }

  /// The call is over.
  func refuseDumpRequests() {
    for request in takeDumpRequests() {
      request.completion(
        .failure(MachineError(.cancelled, "the call ended before its guest could be dumped")))
    }
  }
}
