internal import Foundation
internal import NubZMQ

/// Speaks to the ``ControlServer`` of one worker, or of each at a place.
public struct ControlClient: Sendable {
  private let place: ControlPlace
  private let patience: Int

  /// - Parameter milliseconds: how long a worker may take to answer.
  public init(_ place: ControlPlace, patience milliseconds: Int = 5_000) {
    self.place = place
    patience = milliseconds
  }

  /// The workers that live there, as names for ``send(_:to:)``.
  public func workers() throws(ControlError) -> [String] {
    do throws(ControlError) {
      return try alive()
    } catch {
      throw ControlError(.nobody, "no worker listens in \(place.directory)", cause: error)
    }
  }

  private func alive() throws(ControlError) -> [String] {
    let directory = try place.open(create: false)
    let names = place.name.map { [$0] } ?? (0..<ControlPlace.slots).map { "\($0)" }
    var found: [String] = []
    for name in names where directory.isAlive(name) { found.append(name) }
    return found
  }

  /// Tells one worker something and waits for its answer.
  public func send(_ command: ControlCommand, to name: String) throws(ControlError) -> ControlReply {
    // What the worker itself waits for comes on top.
    let patience = patience + (command == .dump ? Int(GuestDumps.patience * 1_000) : 0)
    let directory = try place.open(create: false)
    let bytes: [UInt8]?
    do throws(ZMQError) {
      bytes = try exchange(Array(command.rawValue.utf8), with: directory.endpoint(name), within: patience)
    } catch {
      throw ControlError(.answer, "the worker at \(directory.path)/\(name) cannot be asked", cause: error)
    }
    guard let bytes else {
      throw ControlError(
        .answer, "the worker at \(directory.path)/\(name) did not answer within \(patience) ms")
    }
    do {
      return try JSONDecoder().decode(ControlReply.self, from: Data(bytes))
    } catch {
      throw ControlError(
        .answer, "the worker at \(directory.path)/\(name) answered what this version does not know",
        cause: error)
    }
  }

  private func exchange(
    _ request: [UInt8], with endpoint: String, within patience: Int
  ) throws(ZMQError) -> [UInt8]? {
    var socket = try Socket(try Context(maxSockets: 8), .request)
    try socket.set(.linger, 0)
    try socket.set(.maxMessageSize, 1 << 20)
    try socket.connect(endpoint)
    guard try socket.send(frames: [request]) else { return nil }
    var poll = PollSet()
    poll.add(socket, for: .readable)
    var left = patience
    let start = ContinuousClock.now
    while left > 0 {
      if try poll.wait(milliseconds: left) > 0 { return try socket.receiveFrames(wait: false)?.first }
      left = patience - Int((ContinuousClock.now - start) / .milliseconds(1))
    }
    return nil
  }
}
