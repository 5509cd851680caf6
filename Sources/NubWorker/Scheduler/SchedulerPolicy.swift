/// How the scheduler weighs what it has. Times are microseconds.
struct SchedulerPolicy: Sendable {
  /// Jobs in one batch; 256 is where a VM entry's cost has vanished in the jobs'.
  var batchJobs = 256
  /// Jobs in a batch of a tenant none of whose batches has run yet: the first are to show how long the others may take.
  var firstBatchJobs = 16
  /// Payload bytes in one batch. The first job of a batch may exceed it alone.
  var batchBytes = 4 << 20
  /// A batch is cut to what will probably run this long, so that jobs wait in the queue, where they can be given to another lane,
  /// and not in a ring.
  var batchMicroseconds: UInt64 = 20_000
  /// A batch that will probably take less is not divided between idle lanes: two entries would cost more than it gains.
  var splitMicroseconds: UInt64 = 200
  /// A job's priority rises by one for each of these that it waits.
  var agingMicroseconds: UInt64 = 1_000_000
  /// How far (in run time) a tenant may run ahead of its turn on a lane whose sandbox is already its own: a restore costs about
  /// 150 µs.
  var affinityMicroseconds: UInt64 = 2_000
  /// Charged per job on top of its run time.
  var jobOverheadMicroseconds: UInt64 = 5
  /// Up to how many jobs a lane passes over because another lane's sandbox holds their caps: each costs a move in its queue.
  var passedJobs = 64
  /// A job that has waited this long is not passed over any more.
  var passedMicroseconds: UInt64 = 20_000
}
