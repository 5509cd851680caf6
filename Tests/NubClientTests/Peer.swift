import Foundation
import NubZMQ
import Synchronization

/// A ROUTER that speaks the frames and answers as a test tells it to.
final class Peer: Sendable {
  struct Answer: Sendable {
    var status: UInt32 = 0
    var body: [UInt8] = []
    var meta = "{}"
    /// Instead of a reply, these frames.
    var raw: [[UInt8]]?
  }

  /// From the message's frames and its number, counted from 1.
  typealias Script = @Sendable (_ frames: [[UInt8]], _ number: Int) -> [Answer]

  let endpoint: String
  private let messages = Mutex<[[[UInt8]]]>([])
  private let stop = Atomic(false)
  private let ended = DispatchSemaphore(value: 0)

  init(curveSecretKey: String? = nil, _ script: @escaping Script) throws {
    var socket = try Socket(Context(), .router)
    try socket.set(.linger, 0)
    if let curveSecretKey {
      try socket.set(.curveServer, 1)
      try socket.set(.curveSecretKey, curveSecretKey)
    }
    try socket.bind("tcp://127.0.0.1:*")
    endpoint = try socket.lastEndpoint()
    let box = Box(socket)
    Thread.detachNewThread { self.run(box, script) }
  }

  private final class Box: @unchecked Sendable {
    // Handed to the one thread that uses it.
    var socket: Socket
    init(_ socket: consuming Socket) { self.socket = socket }
  }

  /// What has arrived so far.
  var seen: [[[UInt8]]] { messages.withLock { $0 } }

  func close() {
    stop.store(true, ordering: .relaxed)
    ended.wait()
  }

  private func run(_ box: Box, _ script: Script) {
    var set = PollSet()
    set.add(box.socket, for: .readable)
    while !stop.load(ordering: .relaxed) {
      _ = try? set.wait(milliseconds: 10)
      while let frames = try? box.socket.receiveFrames(wait: false) {
        let message = Array(frames.dropFirst())
        let number = messages.withLock { messages in
          messages.append(message)
          return messages.count
        }
        for answer in script(message, number) {
          let status = (0..<4).map { UInt8(truncatingIfNeeded: answer.status >> (8 * UInt32($0))) }
          let reply = [
            Array("NUB1".utf8), Array("reply".utf8), message[2], status, answer.body, Array(answer.meta.utf8),
          ]
          _ = try? box.socket.send(frames: [frames[0]] + (answer.raw ?? reply))
        }
      }
    }
    ended.signal()
  }
}

/// Runs a body against a peer and stops the peer, whatever happens.
func withPeer(
  curveSecretKey: String? = nil, _ script: @escaping Peer.Script, _ body: (Peer) async throws -> Void
) async throws {
  let peer = try Peer(curveSecretKey: curveSecretKey, script)
  defer { peer.close() }
  try await body(peer)
}
