import Foundation
import Glibc
import Logging
import Testing

@testable import NubProcess

@Suite("A service manager")
struct ServiceManagerTests {
  @Test("hears READY as soon as it listens, however often it did not")
  func late() throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "nub-notify-\(UUID())").path
    defer { unlink(path) }
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let environment = try #require(try SupervisorEnvironment(["NOTIFY_SOCKET": path], process: getpid()))
    let manager = try ServiceManager(environment, logger: logger)
    let up = ServiceReport(phase: .up, isLive: true, status: "serving")
    manager.look(up)
    manager.look(up)
    let listener = try bound(to: path)
    defer { close(listener) }
    manager.look(up)
    #expect(try received(listener) == "READY=1\nSTATUS=serving")
    manager.look(up)
    #expect(try received(listener) == nil, "once is enough")
  }

  private func bound(to path: String) throws -> Int32 {
    let listener = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
    try #require(listener >= 0)
    var name = sockaddr_un()
    name.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8) }
    let result = withUnsafeBytes(of: &name) {
      bind(listener, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
    }
    try #require(result == 0)
    return listener
  }

  /// What is there already: datagrams of unix sockets are delivered when they are sent.
  private func received(_ listener: Int32) throws -> String? {
    var bytes = [UInt8](repeating: 0, count: 4_096)
    let count = read(listener, &bytes, bytes.count)
    return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
  }
}
