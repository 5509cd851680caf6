import Foundation
import Testing

@testable import NubSecurity

@Suite struct MemoryGuardTests {
  @Test func `nothing is done below the limit, and never without one`() {
    var guarded = MemoryGuard(limit: 100, stages: 2)
    #expect(guarded.look(resident: 100, at: 0) == .nothing)
    var free = MemoryGuard(limit: 0, stages: 2)
    #expect(free.look(resident: .max, at: 0) == .nothing)
  }

  @Test func `free memory is given back before any door is closed`() {
    var memory = MemoryGuard(limit: 100, stages: 2)
    #expect(memory.look(resident: 101, at: 0) == .trim)
    #expect(memory.look(resident: 90, at: 100) == .nothing)
    // It begins anew.
    #expect(memory.look(resident: 101, at: 200) == .trim)
  }

  @Test func `doors are reopened stage by stage, each with time to show, and then it rests`() {
    var memory = MemoryGuard(limit: 100, stages: 2)
    #expect(memory.look(resident: 200, at: 0) == .trim)
    #expect(memory.look(resident: 200, at: 100) == .reopen(stage: 0))
    #expect(memory.look(resident: 200, at: 300) == .trim)
    #expect(memory.look(resident: 200, at: 400) == .reopen(stage: 1))
    #expect(memory.look(resident: 200, at: 600) == .trim)
    #expect(memory.look(resident: 200, at: 700) == .giveUp)
    #expect(memory.look(resident: 200, at: 5_000) == .nothing)
    #expect(memory.look(resident: 200, at: 10_700) == .nothing)
    #expect(memory.look(resident: 200, at: 10_800) == .trim)
  }

  @Test func `it does not rest while memory goes on growing`() {
    var memory = MemoryGuard(limit: 100, stages: 0)
    #expect(memory.look(resident: 200, at: 0) == .trim)
    #expect(memory.look(resident: 200, at: 100) == .giveUp)
    #expect(memory.look(resident: 212, at: 200) == .nothing)
    #expect(memory.look(resident: 213, at: 300) == .nothing)
    #expect(memory.look(resident: 214, at: 400) == .trim)
  }

  @Test func `the second stage is left alone when the first was enough`() {
    var memory = MemoryGuard(limit: 100, stages: 2)
    _ = memory.look(resident: 200, at: 0)
    #expect(memory.look(resident: 200, at: 100) == .reopen(stage: 0))
    #expect(memory.look(resident: 50, at: 200) == .nothing)
    #expect(memory.look(resident: 200, at: 1_500) == .trim)
    #expect(memory.look(resident: 200, at: 1_600) == .reopen(stage: 0))
  }

  @Test func `what the process holds and can have is known`() {
    #expect(ProcessMemory.resident > 1 << 20)
    #expect(ProcessMemory.available > ProcessMemory.resident)
  }

  @Test func `a control group has no more than any that it is in`() throws {
    let root = FileManager.default.temporaryDirectory.appending(path: "nub-cgroup-\(UUID())")
    defer { try? FileManager.default.removeItem(at: root) }
    func bound(_ group: String, _ bytes: String) throws {
      let folder = root.appending(path: group)
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try Data("\(bytes)\n".utf8).write(to: folder.appending(path: "memory.max"))
    }
    try bound("a.slice/b.service", "max")
    #expect(ProcessMemory.bound(ofGroup: "/a.slice/b.service", in: root.path) == nil)
    try bound("a.slice", "1000")
    #expect(ProcessMemory.bound(ofGroup: "/a.slice/b.service", in: root.path) == 1000)
    try bound("a.slice/b.service", "2000")
    #expect(ProcessMemory.bound(ofGroup: "/a.slice/b.service", in: root.path) == 1000)
    try bound("a.slice/b.service", "500")
    #expect(ProcessMemory.bound(ofGroup: "/a.slice/b.service", in: root.path) == 500)
    #expect(ProcessMemory.bound(ofGroup: "/", in: root.path) == nil)
    try bound("", "300")
    #expect(ProcessMemory.bound(ofGroup: "/a.slice/b.service", in: root.path) == 300)
  }
}
