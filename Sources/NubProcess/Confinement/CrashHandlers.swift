internal import Glibc

/// What happens at a fault of this process itself.
public enum CrashHandlers {
  /// Lets faults end the process at once. Swift's runtime would stop every thread and start a program that traces them, which a
  /// confined process may not; it tries for so long that a watchdog's SIGABRT has no effect.
  public static func remove() {
    for number in [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGQUIT, SIGSEGV, SIGTRAP] { signal(number, SIG_DFL) }
  }
}
