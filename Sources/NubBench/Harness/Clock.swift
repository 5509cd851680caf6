import Glibc

/// Seconds of a clock that only goes forward.
func monotonicSeconds() -> Double { seconds(of: CLOCK_MONOTONIC) }

/// CPU seconds that this process has used, all threads, user and system.
func cpuSeconds() -> Double { seconds(of: CLOCK_PROCESS_CPUTIME_ID) }

/// CPU seconds that a process has used so far, to the nanosecond; nil if it is gone.
func cpuSeconds(of process: pid_t) -> Double? {
  var clock = clockid_t()
  guard clock_getcpuclockid(process, &clock) == 0 else { return nil }
  return seconds(of: clock)
}

private func seconds(of clock: clockid_t) -> Double {
  var time = timespec()
  clock_gettime(clock, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Runs `body` and returns how long it took, in seconds.
func timed<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) -> Double {
  let started = monotonicSeconds()
  try body()
  return monotonicSeconds() - started
}
