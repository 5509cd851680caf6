import Foundation
import NubABI
import Testing

@testable import NubMachine

@Suite(.needsKVM) struct LeakTests {
  /// In a process of its own, where nothing else opens files or starts threads.
  @Test func creatingCallingAndDroppingLeavesNothingBehind() async {
    let ended = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      struct Usage {
        var files = 0
        var threads = 0
        var mappings = 0
        var kilobytes = 0

        static func now() throws -> Usage {
          var usage = Usage()
          usage.files = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
          usage.threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count
          let maps = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8)
          usage.mappings = maps.split(separator: "\n").count
          let memory = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
          usage.kilobytes = (Int(memory.split(separator: " ")[1]) ?? 0) * 4
          return usage
        }
      }
      let isLong = ProcessInfo.processInfo.environment["NUB_LONG_TESTS"] == "1"
      let template = try Support.template.get()
      let payload = Support.bytes(count: 1 << 16)
      func cycle(_ index: Int) throws {
        var sandbox = try template.makeSandbox()
        _ = try sandbox.call(FunctionID.echo, payload)
        if index % 5 == 0 { _ = try? sandbox.call(FunctionID.fault, [0]) }
        if index % 7 == 0 { try sandbox.restore() }
      }
      for index in 0..<40 { try cycle(index) }
      let before = try Usage.now()
      let cycles = isLong ? 10_000 : 260
      for index in 0..<cycles { try cycle(index) }
      let after = try Usage.now()
      let isFlat =
        after.files <= before.files && after.threads <= before.threads
        && after.mappings <= before.mappings + 8
        && after.kilobytes <= before.kilobytes + 4096
      let text = "\(cycles) cycles: before \(before), after \(after)\n"
      FileHandle.standardError.write(Data(text.utf8))
      exit(isFlat ? 0 : 1)
    }
    // The other process's words go nowhere by themselves.
    if let ended { print(String(decoding: ended.standardErrorContent, as: UTF8.self), terminator: "") }
  }

  @Test func manySandboxesLiveAtOnce() throws {
    FileDescriptorLimit.raise()
    let template = try Support.template.get()
    let count = 1000
    var handles: [InterruptHandle] = []
    var ids: Set<UInt64> = []
    // Noncopyable sandboxes fit no array; a list of boxes does.
    final class Box {
      var sandbox: Sandbox
      init(_ sandbox: consuming Sandbox) { self.sandbox = sandbox }
    }
    var boxes: [Box] = []
    for _ in 0..<count {
      let box = Box(try template.makeSandbox())
      handles.append(box.sandbox.interruptHandle)
      ids.insert(box.sandbox.id)
      boxes.append(box)
    }
    #expect(ids.count == count)
    for (index, box) in boxes.enumerated() {
      let payload = Support.bytes(of: UInt64(index))
      #expect(try box.sandbox.call(FunctionID.echo, payload) == payload)
    }
    for box in boxes { #expect(try Support.u64(box.sandbox.call(FunctionID.counter)) == [1]) }
  }

  @Test func aLargeMessageDoesNotStayResident() throws {
    var sandbox = try Support.sandbox()
    let large = Support.bytes(count: 16 << 20)
    for _ in 0..<3 {
      let answer = try sandbox.call(FunctionID.echo, large)
      #expect(Support.isSame(answer, large))
    }
    guard case .machine(let machine) = sandbox.body else { return }
    func resident(_ start: UnsafeMutableRawPointer, _ size: Int) -> Int {
      var pages = [UInt8](repeating: 0, count: size / 4096)
      #expect(mincore(start, size, &pages) == 0)
      return pages.reduce(0) { $0 + Int($1 & 1) }
    }
    #expect(resident(machine.hostArea.base, machine.hostArea.size) <= 260)
    let area = try #require(sandbox.areas.result.baseAddress)
    #expect(resident(area, sandbox.areas.result.count) <= 260)
  }
}
