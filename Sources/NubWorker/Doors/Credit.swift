/// How much more work the worker takes in: jobs and the bytes they hold. What is over it stays in the senders' queues (pipeline) or is
/// refused as unavailable (direct), so memory stays bounded however fast producers are.
struct Credit: Sendable {
  /// What one job holds.
  struct Share: Sendable {
    var bytes: Int
    /// Whether it came through a pipeline door.
    var isPulled = false
  }

  let maximumJobs: Int
  let maximumBytes: Int
  private(set) var jobs = 0
  private(set) var bytes = 0
  /// What of it came through pipeline doors.
  private(set) var pulledJobs = 0
  private(set) var pulledBytes = 0

  init(maximumJobs: Int, maximumBytes: Int) {
    self.maximumJobs = maximumJobs
    self.maximumBytes = maximumBytes
  }

  var isExhausted: Bool { jobs >= maximumJobs || bytes >= maximumBytes }
  /// Whether pipelines have three quarters of it. A collector that has gone holds what its pipeline brought for as long as it is away; the
  /// rest is for those who ask directly.
  var isPulledShareExhausted: Bool {
    pulledJobs >= maximumJobs - maximumJobs / 4 || pulledBytes >= maximumBytes - maximumBytes / 4
  }

  mutating func take(_ share: Share) {
    jobs += 1
    bytes += share.bytes
    if share.isPulled {
      pulledJobs += 1
      pulledBytes += share.bytes
    }
  }

  mutating func giveBack(_ share: Share) {
    jobs -= 1
    bytes -= share.bytes
    if share.isPulled {
      pulledJobs -= 1
      pulledBytes -= share.bytes
    }
  }
}
