/// What each metric means, for `# HELP`, and the bounds of its histogram. One table, so that nothing is measured that nobody can read
/// about.
enum MetricCatalog {
  struct Entry: Sendable {
    var help: String
    var bounds: [UInt64] = []
  }

  static func entry(_ name: String) -> Entry? { entries[name] }

  /// Upper bounds in nanoseconds: from what one job in a batch takes to the longest run that is allowed by default.
  static let durations: [UInt64] = [
    10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    25_000_000,
    50_000_000, 100_000_000, 250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000,
    10_000_000_000, 30_000_000_000, 60_000_000_000,
  ]
  /// The same from a microsecond on, for what happens inside a guest.
  static let shortDurations: [UInt64] =
    [1_000, 2_500, 5_000] + durations.dropLast(3)
  /// How many things were done at once.
  static let counts: [UInt64] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096]

  private static let entries: [String: Entry] = [
    // The worker's.
    "nub_jobs_total": Entry(help: "Jobs and other messages answered, by verb and status of the reply."),
    "nub_jobs_duplicate_total": Entry(help: "Jobs answered with the result that was recorded for their id."),
    "nub_puts_total": Entry(help: "put_cap jobs that stored a cap."),
    "nub_puts_skipped_total": Entry(help: "put_cap jobs answered from the store: its bytes were there."),
    "nub_messages_received_total": Entry(help: "Messages received at all doors."),
    "nub_messages_malformed_total": Entry(help: "Messages without a readable job id, dropped."),
    "nub_received_bytes_total": Entry(help: "Bytes of received messages."),
    "nub_sent_bytes_total": Entry(help: "Bytes of the bodies of replies that were sent."),
    "nub_replies_undeliverable_total": Entry(
      help: "Replies that their peer did not take; their results are stored."),
    "nub_replies_waiting": Entry(help: "Replies that their peers do not take now, by kind of door."),
    "nub_doors_reopened_total": Entry(
      help: "Doors that were closed and opened again because resident memory was over its limit."),
    "nub_handshakes_total": Entry(
      help: "CURVE handshakes, by result; limited: turned away because there were too many."),
    "nub_queue_jobs": Entry(help: "Jobs that wait for a lane, by priority."),
    "nub_queue_oldest_seconds": Entry(help: "How long the oldest waiting job has waited, by priority."),
    "nub_jobs_in_flight": Entry(help: "Jobs between their door and their reply."),
    "nub_jobs_in_flight_limit": Entry(help: "Jobs that may be in the worker at once."),
    "nub_lanes": Entry(help: "Lanes by what they do now."),
    "nub_job_queue_duration_seconds": Entry(help: "From a job's arrival to its start.", bounds: durations),
    "nub_job_run_duration_seconds": Entry(help: "Run time of jobs in their sandbox.", bounds: shortDurations),
    "nub_job_duration_seconds": Entry(help: "From a job's arrival to its reply.", bounds: durations),
    "nub_commit_duration_seconds": Entry(
      help: "Transactions of the store, each of many jobs.", bounds: durations),
    "nub_commit_jobs": Entry(help: "Results in one transaction.", bounds: counts),
    "nub_commit_failures_total": Entry(help: "Transactions that failed; they are tried again."),
    "nub_fleet_reconnects_total": Entry(help: "Conversations with brokers that ended against our will."),
    "nub_fleet_slots_busy": Entry(help: "Slots of fleet doors that have a request."),
    "nub_fleet_requests_total": Entry(help: "Requests from brokers."),
    "nub_fleet_dropped_total": Entry(
      help: "Messages from brokers that are no valid commands, and replies that came too late."),
    // The sandboxes'.
    "nub_guest_call_duration_seconds": Entry(help: "Calls of guest functions.", bounds: shortDurations),
    "nub_guest_errors_total": Entry(help: "Errors that guest functions returned, by code."),
    "nub_guest_cancellations_total": Entry(help: "Calls ended from outside, by reason."),
    "nub_guest_faults_total": Entry(help: "Sandboxes lost to what their guest did, by kind."),
    "nub_sandboxes": Entry(help: "Sandboxes that exist, by state."),
    "nub_sandboxes_created_total": Entry(help: "Sandboxes made."),
    "nub_sandboxes_restored_total": Entry(help: "Sandboxes put back to the state right after their start."),
    "nub_sandbox_failures_total": Entry(help: "Sandboxes that could not be made."),
    "nub_host_function_duration_seconds": Entry(
      help: "Host functions called by guests.", bounds: shortDurations),
    "nub_host_function_errors_total": Entry(help: "Host functions that returned an error."),
    // The store's, the process's and the service's.
    "nub_store_bytes": Entry(help: "Size of the store's files."),
    "nub_store_limit_bytes": Entry(
      help: "Size from which the store refuses new work; absent without a limit."),
    "nub_store_disk_free_bytes": Entry(help: "Free bytes of the file system that the store is on."),
    "nub_stuck_threads": Entry(help: "Threads that have work and make no progress."),
    "nub_ready": Entry(help: "1 if new work is welcome, as /readyz says."),
    "nub_live": Entry(help: "1 unless something stands still that must go on, as /livez says."),
    "nub_phase": Entry(help: "1 for the phase of its life that the process is in."),
    "nub_problem": Entry(help: "1 for each part that has a problem now."),
    "nub_build_info": Entry(help: "1; the labels say what runs."),
    "nub_metrics_series_refused_total": Entry(help: "Series that were not made because there are too many."),
    "process_resident_memory_bytes": Entry(help: "Resident memory."),
    "process_virtual_memory_bytes": Entry(
      help: "Virtual memory; guest memory is reserved here before it is used."),
    "process_open_fds": Entry(help: "Open file descriptors."),
    "process_max_fds": Entry(help: "File descriptors that may be open."),
    "process_cpu_seconds_total": Entry(help: "Processor time, user and system."),
    "process_start_time_seconds": Entry(help: "Unix time of the process's start."),
    "process_threads": Entry(help: "Threads."),
    // The broker's.
    "nub_broker_messages_total": Entry(help: "Messages that reached the broker."),
    "nub_broker_replies_total": Entry(help: "Replies passed on to clients."),
    "nub_broker_refused_total": Entry(
      help: "Requests that the broker answered itself, for want of room, rights or a worker."),
    "nub_broker_dropped_total": Entry(help: "Messages dropped, by reason."),
    "nub_broker_redelivered_total": Entry(help: "Requests given to another worker because theirs was gone."),
    "nub_broker_registrations_total": Entry(help: "Workers that registered."),
    "nub_broker_workers_gone_total": Entry(help: "Workers that left, by how."),
    "nub_broker_management_total": Entry(help: "Requests to mmi services."),
    "nub_broker_waiting": Entry(help: "Requests that wait, in all."),
    "nub_broker_waiting_bytes": Entry(help: "Bytes of waiting requests."),
    "nub_broker_waiting_bytes_limit": Entry(help: "Bytes that waiting requests may hold."),
    "nub_broker_workers": Entry(help: "Registered worker slots, in all."),
    "nub_broker_service_workers": Entry(help: "Registered worker slots of a service, by what they do."),
    "nub_broker_service_waiting": Entry(help: "Requests that wait for a service."),
    "nub_broker_service_oldest_seconds": Entry(help: "How long the oldest request has waited for a service."),
    "nub_broker_service_requests_total": Entry(help: "Requests for a service, while it is known."),
    "nub_broker_service_refused_total": Entry(help: "Requests for a service that were refused."),
    "nub_broker_service_expired_total": Entry(help: "Requests for a service that expired while they waited."),
  ]
}
