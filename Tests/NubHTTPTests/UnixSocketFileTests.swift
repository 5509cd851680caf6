import Foundation
import Glibc
import Testing

@testable import NubHTTP

@Suite struct UnixSocketFileTests {
  @Test func `a listener whose queue is full is not waited for, and not taken over`() throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "nub-\(UUID())").path
    defer { unlink(path) }
    var name = sockaddr_un()
    name.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8) }
    func with(_ call: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
      withUnsafeBytes(of: &name) {
        call($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
      }
    }
    func open() -> Int32 { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0) }
    let listener = open()
    var peers: [Int32] = []
    defer { for descriptor in peers + [listener] { close(descriptor) } }
    try #require(with { bind(listener, $0, $1) } == 0 && listen(listener, 0) == 0)
    // Nobody accepts.
    repeat { peers.append(open()) } while with { connect(peers[peers.count - 1], $0, $1) } == 0
    try #require(errno == EAGAIN)
    #expect(throws: HTTPError.self) { try UnixSocketFile(path: path).removeStale() }
    #expect(access(path, F_OK) == 0)
  }
}
