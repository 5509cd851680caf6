import CNubBench
import Foundation
import Glibc
import NubABI
import NubCap
import NubMachine
import Synchronization

/// NubMachine alone: what entering, making, taking, restoring and interrupting a sandbox costs, against C on raw KVM.
enum MachineFigures {
  static let all: [Scenario] = [
    call, callBatch, sandboxCreate, sandboxMemory, poolTake, restore, interrupt,
  ]

  private static let payloadBytes = 64

  private static func template() throws(BenchError) -> SandboxTemplate {
    try machine { () throws(MachineError) in try SandboxTemplate(kvm: GuestImage.builtIn()) }
  }

  /// One echo call of 64 bytes: a VM entry each.
  private static let call = Scenario("call", "µs", against: "C on raw KVM") { context throws(BenchError) in
    let template = try template()
    let box = try SandboxBox(template)
    let count = context.scaled(5_000)
    let payload = [UInt8](repeating: 7, count: payloadBytes)
    let figure = { () throws(BenchError) -> [Double?] in
      let seconds = try timed { () throws(BenchError) in
        for _ in 0..<count {
          let answer = try machine { () throws(MachineError) in try box.sandbox.call(FunctionID.echo, payload)
          }
          guard answer.count == payload.count else {
            throw BenchError(.wrongResult, "echo of \(answer.count) bytes")
          }
        }
      }
      return [seconds / Double(count) * 1e6]
    }
    return Contest(figure: figure) { () throws(BenchError) in [try rawEcho(box, batch: 1, calls: count)] }
  }

  /// The same calls of the same guest from C: what the areas and KVM_RUN cost without NubMachine. Microseconds per call.
  private static func rawEcho(_ box: SandboxBox, batch: Int, calls: Int) throws(BenchError) -> Double {
    guard let raw = box.sandbox.rawMachine else {
      throw BenchError(.unavailable, "there is no KVM machine to measure")
    }
    var machine = nub_bench_machine(
      vcpu: raw.vcpu, run: raw.run, host_control: raw.hostControl, request: raw.request,
      guest_control: raw.guestControl, result: raw.result)
    let payload = [UInt8](repeating: 7, count: payloadBytes)
    let nanoseconds = payload.withUnsafeBytes { bytes in
      nub_bench_echo(&machine, bytes.baseAddress, UInt32(bytes.count), UInt32(batch), UInt32(calls))
    }
    guard nanoseconds > 0 else {
      throw BenchError(.unavailable, "the C loop failed: \(String(cString: strerror(Int32(-nanoseconds))))")
    }
    return Double(nanoseconds) / 1e3 / Double(calls)
  }

  /// 256 echo calls of 64 bytes in one entry; per call.
  private static let callBatch = Scenario("call_batch_256", "µs", against: "C on raw KVM") {
    context throws(BenchError) in
    let template = try template()
    let box = try SandboxBox(template)
    let batches = context.scaled(1_000)
    let size = 256
    let figure = { () throws(BenchError) -> [Double?] in
      let payload = UnsafeMutableRawBufferPointer.allocate(byteCount: payloadBytes, alignment: 8)
      payload.initializeMemory(as: UInt8.self, repeating: 7)
      defer { payload.deallocate() }
      let calls = [GuestCall](
        repeating: GuestCall(function: FunctionID.echo, payload: UnsafeRawBufferPointer(payload)), count: size
      )
      var good = 0
      let seconds = timed {
        for _ in 0..<batches {
          calls.withUnsafeBufferPointer { calls in
            box.sandbox.runBatch(calls) { _, outcome, _ in
              if case .returned(let bytes) = outcome, bytes.count == payloadBytes { good += 1 }
            }
          }
        }
      }
      guard good == batches * size else {
        throw BenchError(.wrongResult, "\(good) of \(batches * size) calls were good")
      }
      return [seconds / Double(batches * size) * 1e6]
    }
    return Contest(figure: figure) { () throws(BenchError) in
      [try rawEcho(box, batch: size, calls: batches * size)]
    }
  }

  /// A sandbox that is ready for its first call, and its end.
  private static let sandboxCreate = Scenario("sandbox_create", "ms", against: "the bare ioctls") {
    context throws(BenchError) in
    let template = try template()
    let count = context.scaled(40)
    let box = try SandboxBox(template)
    let figure = { () throws(BenchError) -> [Double?] in
      let seconds = try timed { () throws(BenchError) in
        for _ in 0..<count {
          _ = try machine { () throws(MachineError) in try template.makeSandbox() }
        }
      }
      return [seconds / Double(count) * 1e3]
    }
    return Contest(figure: figure) { () throws(BenchError) in
      guard let raw = box.sandbox.rawMachine else {
        throw BenchError(.unavailable, "there is no KVM machine to measure")
      }
      let nanoseconds = nub_bench_create(raw.slots.0, raw.slots.1, raw.slots.2, UInt32(count))
      guard nanoseconds > 0 else {
        throw BenchError(
          .unavailable, "the bare ioctls failed: \(String(cString: strerror(Int32(-nanoseconds))))")
      }
      return [Double(nanoseconds) / 1e6 / Double(count)]
    }
  }

  /// What an idle sandbox that is ready for its first call keeps resident; what all sandboxes of a template share is not in it.
  private static let sandboxMemory = Scenario("sandbox_memory", "KiB resident") {
    context throws(BenchError) in
    let template = try template()
    let count = max(context.scaled(64), 8)
    return Contest { () throws(BenchError) in
      // The first one starts the guest, and makes what is made once.
      var boxes = [try SandboxBox(template)]
      let before = residentMiB(of: getpid()).now
      for _ in 0..<count { boxes.append(try SandboxBox(template)) }
      let used = residentMiB(of: getpid()).now - before
      guard boxes.count == count + 1 else { throw BenchError(.wrongResult, "sandboxes got lost") }
      return [used * 1024 / Double(count)]
    }
  }

  /// A sandbox from a pool of warm ones, while the pool has some.
  private static let poolTake = Scenario("pool_take", "µs") { context throws(BenchError) in
    let template = try template()
    let warm = 32
    let rounds = context.scaled(20)
    return Contest { () throws(BenchError) in
      let pool = try machine { () throws(MachineError) in
        try SandboxPool(template: template, warm: warm, maximum: 2 * warm)
      }
      defer { pool.close() }
      var total = 0.0
      for round in 0..<rounds {
        // As many as are asked for are warm before the clock runs.
        while pool.statistics.warm < warm / 2, pool.statistics.failures == 0 { usleep(1_000) }
        for take in 0..<(warm / 2) {
          let tenant = Int64(round * warm + take + 1)
          let started = monotonicSeconds()
          let sandbox = try machine { () throws(MachineError) in try pool.take(tenant: tenant) }
          total += monotonicSeconds() - started
          pool.give(sandbox, tenant: tenant)
        }
      }
      return [total / Double(rounds * warm / 2) * 1e6]
    }
  }

  /// Back to the first state after a call that has written 16 pages of heap.
  private static let restore = Scenario("restore_16_pages", "µs") { context throws(BenchError) in
    let template = try template()
    let box = try SandboxBox(template)
    let count = context.scaled(500)
    let payload = withUnsafeBytes(of: UInt64(16 * 4096).littleEndian) { Array($0) }
    return Contest { () throws(BenchError) in
      var total = 0.0
      for _ in 0..<count {
        _ = try machine { () throws(MachineError) in try box.sandbox.call(FunctionID.alloc, payload) }
        total += try timed { () throws(BenchError) in
          try machine { () throws(MachineError) in try box.sandbox.restore() }
        }
      }
      return [total / Double(count) * 1e6]
    }
  }

  /// From another thread's request until an endless call has come back.
  private static let interrupt = Scenario(
    "interrupt",
    [
      Measure("interrupt_p50", "µs", against: "C on raw KVM"),
      Measure("interrupt_p99", "µs", against: "C on raw KVM"),
    ]
  ) { context throws(BenchError) in
    let template = try template()
    let box = try SandboxBox(template)
    let count = context.scaled(300)
    return context.contest("kvm_call", ["interrupt", "\(count)"], reading: ["p50", "p99"]) {
      () throws(BenchError) in
      let samples = try Interruption.samples(count, box)
      return [percentile(samples, 0.5), percentile(samples, 0.99)]
    }
  }
}

/// Keeps a sandbox where closures of one thread can use it.
final class SandboxBox {
  var sandbox: Sandbox

  init(_ template: SandboxTemplate) throws(BenchError) {
    sandbox = try machine { () throws(MachineError) in try template.makeSandbox() }
  }
}

/// Gives NubMachine's errors the type of this module.
func machine<R: ~Copyable>(_ body: () throws(MachineError) -> R) throws(BenchError) -> R {
  do throws(MachineError) {
    return try body()
  } catch {
    throw BenchError(.unavailable, error.message, cause: error)
  }
}

/// Endless calls on this thread that another thread ends.
private enum Interruption {
  /// Seconds as bits, of the moment of the request that was accepted.
  private final class Moment: Sendable {
    let bits = Atomic<UInt64>(0)
    let isOver = Atomic<Bool>(false)
    /// Calls that have come back.
    let returned = Atomic<Int>(0)
  }

  /// Microseconds from each request to the call's return, ascending.
  static func samples(_ count: Int, _ box: SandboxBox) throws(BenchError) -> [Double] {
    let moment = Moment()
    let handle = box.sandbox.interruptHandle
    var thread = pthread_t()
    let work = Unmanaged.passRetained(
      Work { [moment] in
        while !moment.isOver.load(ordering: .acquiring) {
          // Long enough for the guest to be in its loop: 1 to 2 ms.
          usleep(.random(in: 1_000...2_000))
          guard handle.isRunning else { continue }
          let before = moment.returned.load(ordering: .acquiring)
          let now = monotonicSeconds()
          moment.bits.store(now.bitPattern, ordering: .releasing)
          handle.interrupt()
          while moment.returned.load(ordering: .acquiring) == before,
            !moment.isOver.load(ordering: .acquiring)
          {
            sched_yield()
          }
        }
      })
    let result = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, work.toOpaque())
    guard result == 0 else {
      work.release()
      throw BenchError(.unavailable, "no thread: \(String(cString: strerror(result)))")
    }
    defer {
      moment.isOver.store(true, ordering: .releasing)
      pthread_join(thread, nil)
    }
    let forever = [UInt8](repeating: 0, count: 8)
    var samples: [Double] = []
    for _ in 0..<count {
      let ended = Result { () throws(MachineError) in try box.sandbox.call(FunctionID.spin, forever) }
      let returned = monotonicSeconds()
      guard case .failure(let error) = ended else {
        throw BenchError(.wrongResult, "an endless call has ended")
      }
      guard error.code == .cancelled else {
        throw BenchError(.wrongResult, "an interrupted call failed otherwise", cause: error)
      }
      samples.append((returned - Double(bitPattern: moment.bits.load(ordering: .acquiring))) * 1e6)
      try machine { () throws(MachineError) in try box.sandbox.restore() }
      moment.returned.add(1, ordering: .releasing)
    }
    return samples.sorted()
  }

  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}
