/// What is measured of one entry of a guest. Where nobody listens it costs a branch for each call.
struct EntryObservation {
  private let metrics: MachineMetrics
  /// When the entry began, monotonic nanoseconds; 0 where nobody listens.
  private let began: UInt64
  private var spent: UInt64 = 0

  init(_ metrics: MachineMetrics) {
    self.metrics = metrics
    began = metrics.isEnabled ? monotonicNanoseconds() : 0
  }

  /// A result has been read.
  /// - Parameters:
  ///   - cycles: the time that the call took by the guest's own account, which is no more believed than the time that
  ///     the whole entry has taken so far.
  mutating func result(status: UInt32, cycles: UInt64, tscKilohertz: UInt64) {
    guard began != 0 else { return }
    let claimed = cycles.multipliedReportingOverflow(by: 1_000_000)
    let elapsed = monotonicNanoseconds() &- began
    let limit = elapsed > spent ? elapsed - spent : 0
    let nanoseconds = claimed.overflow ? limit : min(claimed.partialValue / max(tscKilohertz, 1), limit)
    spent += nanoseconds
    metrics.call(status: status, nanoseconds: nanoseconds)
  }

  /// The entry is over.
  func end(_ error: MachineError?) {
    guard began != 0, let error else { return }
    metrics.failure(error.code)
  }
}
