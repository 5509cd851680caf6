import Foundation
import NubABI
import Testing

@testable import NubMachine

/// No KVM, no memory, no descriptors: each is said, with what to do about it, and ends when its cause does. What is limited is
/// limited in a process of its own.
@Suite struct CreationFailureTests {
  @Test(arguments: [
    (ENOENT, "the device is missing"), (EACCES, "permission is missing"), (EPERM, "permission is missing"),
    (ENODEV, "no hardware"), (ENXIO, "no hardware"), (ENOTTY, "not KVM's"), (EBUSY, "opening it failed"),
  ])
  func whatIsWrongWithTheDeviceIsNamed(number: Int32, words: String) {
    let error = KVMDevice.unavailable("/dev/kvm", number)
    #expect(error.code == .kvmUnavailable && error.cause == Errno(number))
    #expect(error.message.contains(words))
    #expect(error.message.hasPrefix("/dev/kvm cannot be used: "))
  }

  @Test func aDeviceThatIsNotThereOrIsAnotherIsNotUsed() throws {
    for (path, cause) in [("/nonexistent/kvm", ENOENT), ("/dev/null", ENOTTY)] {
      do throws(MachineError) {
        _ = try KVMDevice(path: path)
        Issue.record("\(path) was taken")
      } catch {
        #expect(error.code == .kvmUnavailable && error.cause == Errno(cause))
      }
      #expect(KVMStatus.check(path: path).problem?.cause == Errno(cause))
    }
  }

  @Test(.enabled(if: geteuid() == 0, "needs root, to become somebody who may not"))
  func aUserWithoutPermissionIsToldWhichGroupHelps() async {
    await #expect(processExitsWith: .success) {
      let folder = FileManager.default.temporaryDirectory.appending(path: "nub-kvm-\(getpid())")
      try Data().write(to: folder)
      chmod(folder.path, 0)
      seteuid(65534)
      let error = #expect(throws: MachineError.self) { _ = try KVMDevice(path: folder.path).runSize }
      seteuid(0)
      unlink(folder.path)
      exit(error?.cause == Errno(EACCES) && error?.message.contains("group kvm") == true ? 0 : 1)
    }
  }

  @Test(.needsKVM) func withoutDescriptorsThePoolSaysSoWaitsAndGoesOnWhenThereAreSome() async {
    await #expect(processExitsWith: .success) {
      let template = try Support.template.get()
      let pool = try SandboxPool(template: template, warm: 2, maximum: 4)
      while pool.statistics.warm < 2 { sched_yield() }
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      limit.rlim_cur = 128
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      var fillers: [Int32] = []
      while true {
        let filler = open("/dev/null", O_RDONLY)
        if filler < 0 { break }
        fillers.append(filler)
      }

      var one = try pool.take(tenant: 1)
      let two = try pool.take(tenant: 2)
      // Those that there are go on.
      guard try one.call(FunctionID.echo, [1]) == [1] else { exit(2) }
      guard Support.code({ _ = try pool.take(tenant: 3) }) == .system(errno: EMFILE) else { exit(3) }
      let began = monotonicNanoseconds()
      for _ in 0..<20 {
        pool.waitForChange(atMost: .milliseconds(20))
        _ = Support.code { _ = try pool.take(tenant: 3) }
      }
      let failures = pool.statistics.failures
      // 100 ms, 200 ms, 400 ms and so on lie between attempts, whoever asks.
      let most = 2 + Int((monotonicNanoseconds() - began) / 100_000_000)
      guard failures >= 1, failures <= most, pool.statistics.lastFailure?.cause == Errno(EMFILE) else {
        exit(4)
      }

      for filler in fillers { close(filler) }
      while true {
        guard let three = try? pool.take(tenant: 3) else {
          pool.waitForChange(atMost: .seconds(1))
          continue
        }
        pool.give(three, tenant: 3)
        break
      }
      guard pool.statistics.lastFailure == nil else { exit(5) }
      pool.give(one, tenant: 1)
      pool.give(two, tenant: 2)
      pool.close()
      exit(0)
    }
  }

  @Test(.needsKVM) func withoutMemoryNoSandboxIsMadeAndNothingIsLeftBehind() async {
    await #expect(processExitsWith: .success) {
      let template = try Support.template.get()
      _ = try template.makeSandbox()
      func files() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
      }
      let before = try files()
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
      let unlimited = limit
      let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")[0]
      // Enough for this process to go on, too little for a sandbox.
      limit.rlim_cur = (rlim_t(pages) ?? 0) * 4096 + 40 << 20
      setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
      for _ in 0..<50 {
        guard Support.code({ _ = try template.makeSandbox() }) == .system(errno: ENOMEM) else { exit(2) }
      }
      var again = unlimited
      setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &again)
      var sandbox = try template.makeSandbox()
      guard try sandbox.call(FunctionID.echo, [1]) == [1] else { exit(3) }
      _ = consume sandbox
      exit(try files() == before ? 0 : 4)
    }
  }
}
