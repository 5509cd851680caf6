import CNubBench
import Foundation
public import NubMachine
import Synchronization

/// What sandboxes cost, on this machine, now. Absolute times drift with the machine and its load; the ratios to the C
/// baselines, which take turns with what they are held against, do not.
public enum MachineFigures {
  /// Measures everything; takes some seconds.
  public static func measure() throws(MachineError) -> [Figure] {
    let template = try SandboxTemplate(kvm: try GuestImage.builtIn())
    var figures: [Figure] = []
    figures.append(try echo(template, batch: 1, calls: 4_000, name: "call, 64-byte echo", goal: 1.15))
    figures.append(
      try echo(template, batch: 256, calls: 256 * 400, name: "job of a batch of 256 echoes", goal: nil))
    figures[1].goal = 1.0
    figures.append(contentsOf: try creation(template))
    figures.append(try poolTake(template))
    figures.append(try restore(template))
    figures.append(contentsOf: try interruptLatency(template))
    figures.append(try residentMemory(template))
    return figures
  }

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) * 1e6 + Double(time.tv_nsec) / 1e3
  }

  private static func median(_ values: [Double]) -> Double { percentile(values, 50) }

  private static func percentile(_ values: [Double], _ percent: Int) -> Double {
    let sorted = values.sorted()
    return sorted.isEmpty ? 0 : sorted[min(sorted.count * percent / 100, sorted.count - 1)]
  }

  /// Nub and the C loop take turns on the same sandbox, and the medians of the turns are compared.
  private static func echo(
    _ template: SandboxTemplate, batch: Int, calls: Int, name: String, goal: Double?
  ) throws(MachineError) -> Figure {
    var sandbox = try template.makeSandbox()
    guard let raw = sandbox.rawMachine else {
      throw MachineError(.kvmUnavailable, "there is no KVM machine to measure")
    }
    var machine = nub_bench_machine(
      vcpu: raw.vcpu, run: raw.run, host_control: raw.hostControl, request: raw.request,
      guest_control: raw.guestControl, result: raw.result)
    let payload = [UInt8](repeating: 7, count: 64)
    let turns = 20
    let turn = calls / turns
    var own: [Double] = []
    var baseline: [Double] = []
    for _ in 0..<turns {
      let start = now()
      payload.withUnsafeBytes { bytes in
        let requests = (0..<batch).map { _ in GuestCall(function: 1, payload: bytes) }
        requests.withUnsafeBufferPointer { requests in
          for _ in 0..<(turn / batch) { sandbox.runBatch(requests) { _, _, _ in } }
        }
      }
      own.append((now() - start) / Double(turn))
      let nanoseconds = payload.withUnsafeBytes { bytes in
        nub_bench_echo(&machine, bytes.baseAddress, UInt32(bytes.count), UInt32(batch), UInt32(turn))
      }
      guard nanoseconds >= 0 else {
        throw MachineError(.system(errno: Int32(-nanoseconds)), "the C loop failed")
      }
      baseline.append(Double(nanoseconds) / 1e3 / Double(turn))
    }
    if let poison = sandbox.poison { throw poison }
    return Figure(name, median(own), "µs", baseline: median(baseline), goal: goal)
  }

  private static func creation(_ template: SandboxTemplate) throws(MachineError) -> [Figure] {
    let sandbox = try template.makeSandbox()
    guard let raw = sandbox.rawMachine else {
      throw MachineError(.kvmUnavailable, "there is no KVM machine to measure")
    }
    var make: [Double] = []
    var cycle: [Double] = []
    var baseline: [Double] = []
    for _ in 0..<60 {
      let start = now()
      var made: Double = 0
      do {
        _ = try template.makeSandbox()
        made = now() - start
      }
      make.append(made)
      cycle.append(now() - start)
      let nanoseconds = nub_bench_create(raw.slots.0, raw.slots.1, raw.slots.2, 1)
      guard nanoseconds >= 0 else {
        throw MachineError(.system(errno: Int32(-nanoseconds)), "the C baseline of creation failed")
      }
      baseline.append(Double(nanoseconds) / 1e3)
    }
    return [
      Figure(
        "making, starting and dropping a sandbox", median(cycle), "µs", baseline: median(baseline), goal: 1.5)
    ]
  }

  private static func poolTake(_ template: SandboxTemplate) throws(MachineError) -> Figure {
    let pool = try SandboxPool(template: template, warm: 8, maximum: 32)
    var samples: [Double] = []
    for tenant in 0..<64 {
      while pool.statistics.warm < 8 { usleep(200) }
      let start = now()
      let sandbox = try pool.take(tenant: Int64(tenant))
      samples.append(now() - start)
      pool.give(sandbox, tenant: Int64(tenant))
    }
    pool.close()
    return Figure("taking a sandbox from the pool", median(samples), "µs", goal: 10)
  }

  private static func restore(_ template: SandboxTemplate) throws(MachineError) -> Figure {
    var sandbox = try template.makeSandbox()
    var size = UInt64(16 * 4096).littleEndian
    let payload = withUnsafeBytes(of: &size) { [UInt8]($0) }
    var samples: [Double] = []
    for _ in 0..<300 {
      _ = try sandbox.call(20, payload)
      let start = now()
      try sandbox.restore()
      samples.append(now() - start)
    }
    return Figure("restoring with 16 pages touched", median(samples), "µs", goal: 150)
  }

  /// From asking for it on one thread to the call having returned on another.
  private static func interruptLatency(_ template: SandboxTemplate) throws(MachineError) -> [Figure] {
    var sandbox = try template.makeSandbox()
    let handle = sandbox.interruptHandle
    let asked = Mutex<Double>(0)
    let rounds = 300
    let thread = Thread {
      for _ in 0..<rounds {
        while !handle.isRunning { sched_yield() }
        // Into the guest's loop, not into its entry.
        usleep(300)
        asked.withLock { $0 = now() }
        handle.interrupt()
        while handle.isRunning { sched_yield() }
      }
    }
    thread.start()
    var samples: [Double] = []
    for _ in 0..<rounds {
      _ = try? sandbox.call(17, [UInt8](repeating: 0, count: 8))
      let returned = now()
      samples.append(returned - asked.withLock { $0 })
      try sandbox.restore()
    }
    return [
      Figure("interrupting an endless call, median", median(samples), "µs"),
      Figure("interrupting an endless call, p99", percentile(samples, 99), "µs"),
    ]
  }

  private static func residentMemory(_ template: SandboxTemplate) throws(MachineError) -> Figure {
    let pool = try SandboxPool(template: template, warm: 0, maximum: 80)
    var held: [Int64] = []
    func resident() -> Double {
      guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
      let fields = text.split(separator: " ")
      return fields.count > 1 ? (Double(fields[1]) ?? 0) * 4 : 0
    }
    // The first few pay for what all share.
    for tenant in 0..<8 {
      pool.give(try pool.take(tenant: Int64(tenant), fresh: true), tenant: Int64(tenant))
    }
    let before = resident()
    for tenant in 100..<164 {
      pool.give(try pool.take(tenant: Int64(tenant), fresh: true), tenant: Int64(tenant))
      held.append(Int64(tenant))
    }
    let each = (resident() - before) / Double(held.count)
    pool.close()
    return Figure("resident memory of an idle sandbox", each, "KiB", goal: 1024)
  }
}
