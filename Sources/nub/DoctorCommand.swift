import ArgumentParser
import CZeroMQ
import Foundation
import NubABI
import NubCap
import NubMachine

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Check whether this machine can run a worker, and how well.",
    discussion: "Exit status 1 where something that a worker needs is missing.")

  /// One thing that was looked at.
  struct Finding: Encodable {
    var name: String
    var ok: Bool
    var detail: String
    /// What to do where it is not ok.
    var remedy: String?
  }

  @Flag(help: "One JSON object instead of lines.")
  var json = false

  func run() throws {
    let findings = [system(), kvm(), sandbox(), sha(), zeroMQ(), descriptors()]
    let ok = findings.allSatisfy(\.ok)
    if json {
      struct Report: Encodable {
        var ok: Bool
        var version: String
        var findings: [Finding]
      }
      try Output.line(try jsonLine(Report(ok: ok, version: Nub.version, findings: findings)))
    } else {
      for finding in findings {
        let name = finding.name.padding(toLength: 12, withPad: " ", startingAt: 0)
        try Output.line("\(finding.ok ? "ok  " : "FAIL") \(name) \(finding.detail)")
        if let remedy = finding.remedy {
          try Output.line("     \(String(repeating: " ", count: 12)) → \(remedy)")
        }
      }
    }
    if !ok { throw ExitCode(1) }
  }

  private func system() -> Finding {
    let info = ProcessInfo.processInfo
    return Finding(
      name: "system", ok: true,
      detail:
        "nub \(Nub.version), \(info.operatingSystemVersionString), \(info.activeProcessorCount) processors, "
        + "\(info.physicalMemory >> 20) MiB")
  }

  private func kvm() -> Finding {
    do throws(MachineError) {
      let image = try GuestImage.builtIn()
      _ = try SandboxTemplate(kvm: image)
      return Finding(name: "kvm", ok: true, detail: "/dev/kvm is usable")
    } catch {
      return Finding(
        name: "kvm", ok: false, detail: error.message,
        remedy: "or run `nub worker --engine inprocess`, which isolates nothing")
    }
  }

  private func sandbox() -> Finding {
    do throws(MachineError) {
      let template = try SandboxTemplate(kvm: try GuestImage.builtIn())
      let clock = ContinuousClock()
      var began = clock.now
      var sandbox = try template.makeSandbox()
      let created = clock.now - began
      let calls = 200
      began = clock.now
      for _ in 0..<calls { _ = try sandbox.call(FunctionID.echo, [1]) }
      let call = (clock.now - began) / calls
      return Finding(
        name: "sandbox", ok: true,
        detail: "made in \(milliseconds(created)) ms, a call takes \(microseconds(call)) µs, "
          + "\(template.functions.count) functions")
    } catch {
      return Finding(name: "sandbox", ok: false, detail: error.message)
    }
  }

  private func sha() -> Finding {
    Finding(
      name: "sha-256", ok: true,
      detail: SHA256.hasExtensions
        ? "the processor's SHA extensions are used" : "in software; the processor has no SHA extensions")
  }

  private func zeroMQ() -> Finding {
    var major: Int32 = 0
    var minor: Int32 = 0
    var patch: Int32 = 0
    zmq_version(&major, &minor, &patch)
    let curve = zmq_has("curve") != 0
    return Finding(
      name: "libzmq", ok: curve,
      detail: "\(major).\(minor).\(patch), CURVE \(curve ? "included" : "missing")",
      remedy: curve ? nil : "install a libzmq with libsodium, as Debian's libzmq5 is")
  }

  private func descriptors() -> Finding {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    let ok = limit.rlim_max >= 4096
    return Finding(
      name: "open files", ok: ok, detail: "limit \(limit.rlim_cur), may be raised to \(limit.rlim_max)",
      remedy: ok ? nil : "raise LimitNOFILE (systemd) or `ulimit -Hn` to 4096 or more; a sandbox takes three")
  }

  private func milliseconds(_ duration: Duration) -> String {
    String(
      format: "%.1f",
      Double(duration.components.attoseconds) / 1e15 + Double(duration.components.seconds) * 1e3)
  }

  private func microseconds(_ duration: Duration) -> String {
    String(
      format: "%.1f",
      Double(duration.components.attoseconds) / 1e12 + Double(duration.components.seconds) * 1e6)
  }
}
