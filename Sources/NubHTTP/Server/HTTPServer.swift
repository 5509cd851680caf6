internal import Glibc
internal import HTTPTypes
internal import HummingbirdCore
public import Logging
internal import NIOCore
internal import NIOPosix
public import ServiceLifecycle
internal import Synchronization

/// What a server says. Called on Swift's own threads, which nothing may keep waiting: what takes time is returned as
/// ``HTTPAnswer/later(_:)``.
public protocol HTTPContent: Sendable {
  func answer(_ request: PageRequest) -> HTTPAnswer
  /// Called about once a second.
  func tick()
}

public enum HTTPAnswer: Sendable {
  case now(PageResponse)
  /// Made on a thread of its own, one after the other, so that a probe or a scrape never waits behind a question to the store.
  case later(@Sendable () -> PageResponse)
}

/// An HTTP/1.1 server for an operator's eyes, Prometheus and probes: GET and HEAD, bounded in everything.
///
/// The protocol is Hummingbird's, on one event loop thread. See docs/decisions/0810.
public final class HTTPServer: Service {
  public struct Options: Sendable {
    /// Connections at once. When another comes, the one that has waited longest for a request makes room.
    public var connections = 128
    /// Answers that may wait to be made.
    public var waitingAnswers = 16
    /// Further names that a Host field may have, see ``HostPolicy``.
    public var hostNames: [String] = []
    /// For a request's head to come, from the connection's beginning or the last answer; seconds.
    public var headSeconds: Int64 = 10
    /// For an answer to be made and taken, seconds.
    public var answerSeconds: Int64 = 30
    public init() {}
  }

  private let asked: HTTPAddress
  private let options: Options
  private let responder: HTTPResponder
  private let content: any HTTPContent
  private let logger: Logger
  private let listening = Listening()

  /// Nothing is opened yet.
  public init(
    _ address: HTTPAddress, options: Options = Options(), content: any HTTPContent, logger: Logger
  ) {
    asked = address
    self.options = options
    self.content = content
    self.logger = logger
    responder = HTTPResponder(
      content: content, hosts: HostPolicy(address: address, names: options.hostNames),
      waitingAnswers: options.waitingAnswers)
  }

  /// Where it listens, the port resolved: waits for ``run()`` to have come so far.
  ///
  /// - Throws: ``HTTPError`` if it cannot listen.
  public func address() async throws -> HTTPAddress { try await listening.address() }

  /// Listens and serves until the task is cancelled or its service group shuts down; then requests that were asked are answered.
  ///
  /// - Throws: ``HTTPError`` if it cannot listen.
  public func run() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    do {
      try await serve(on: group)
      listening.end(with: HTTPError("the HTTP server has stopped"))
      try? await group.shutdownGracefully()
    } catch {
      let failure =
        error as? HTTPError ?? HTTPError("cannot listen for HTTP on \(asked): \(Self.reason(error))")
      listening.end(with: failure)
      try? await group.shutdownGracefully()
      throw failure
    }
  }

  private func serve(on group: MultiThreadedEventLoopGroup) async throws {
    let bind: BindAddress
    let file: UnixSocketFile?
    switch asked.kind {
    case .ip4(let host, let port), .ip6(let host, let port):
      bind = .hostname(host, port: Int(port))
      file = nil
    case .unix(let path):
      bind = .unixDomainSocket(path: path)
      file = UnixSocketFile(path: path)
      try file?.removeStale()
    }
    let server = childChannel.server(
      configuration: ServerConfiguration(address: bind), onServerRunning: { [self] in bound($0) },
      eventLoopGroup: group, logger: quietLogger)
    // A socket's file is nobody else's from the moment it is there. The mask is the process's: for as long as the bind takes.
    if file != nil { listening.mask() }
    defer {
      listening.unmask()
      if listening.isBound { file?.remove() }
    }
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await server.run() }
      tasks.addTask { [content] in
        while true {
          content.tick()
          try await Task.sleep(for: .seconds(1))
        }
      }
      tasks.addTask {
        try await gracefulShutdown()
        // Whoever does not take an answer by then is cut off.
        try await Task.sleep(for: .seconds(2))
      }
      defer { tasks.cancelAll() }
      do { try await tasks.next() } catch is CancellationError {}
    }
  }

  private var childChannel: HTTP1Channel {
    let table = ConnectionTable(limit: options.connections)
    let patience = TimeAmount.seconds(options.answerSeconds)
    let responder = responder
    return HTTP1Channel(
      responder: { request, writer, channel in try await responder.respond(to: request, writer, on: channel)
      },
      configuration: HTTP1Channel.Configuration(
        additionalChannelHandlers: [ConnectionKeeper(table: table, patience: patience)],
        idleTimeout: .seconds(options.headSeconds),
        httpDecoderConfiguration: HTTP1Channel.Configuration.DecoderConfiguration(
          maxHeaderFieldSize: 8 << 10, maxHeaderListSize: 8 << 10, maxHeaderFieldCount: 64)))
  }

  /// Hummingbird's own words are for its authors.
  private var quietLogger: Logger {
    var logger = logger
    logger.logLevel = max(.warning, logger.logLevel)
    return logger
  }

  private func bound(_ channel: any Channel) {
    listening.unmask()
    var resolved = asked
    if let port = channel.localAddress?.port.flatMap({ UInt16(exactly: $0) }) {
      switch asked.kind {
      case .ip4(let host, _): resolved.kind = .ip4(host, port)
      case .ip6(let host, _): resolved.kind = .ip6(host, port)
      case .unix: break
      }
    }
    logger.notice("serving HTTP", metadata: ["address": "\(resolved)"])
    listening.begin(at: resolved)
  }

  private static func reason(_ error: any Error) -> String {
    (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
  }
}

/// Whether a server listens yet, for those who wait for it.
private final class Listening: Sendable {
  private struct State {
    var result: Result<HTTPAddress, HTTPError>?
    var isBound = false
    var waiting: [CheckedContinuation<HTTPAddress, any Error>] = []
    var mask: mode_t?
  }

  private let state = Mutex(State())

  var isBound: Bool { state.withLock { $0.isBound } }

  func begin(at address: HTTPAddress) {
    state.withLock { $0.isBound = true }
    settle(.success(address))
  }

  func end(with error: HTTPError) { settle(.failure(error)) }

  func address() async throws -> HTTPAddress {
    try await withCheckedThrowingContinuation { continuation in
      let known = state.withLock { state -> Result<HTTPAddress, HTTPError>? in
        if state.result == nil { state.waiting.append(continuation) }
        return state.result
      }
      if let known { continuation.resume(with: known) }
    }
  }

  func mask() { state.withLock { $0.mask = umask(0o177) } }

  func unmask() {
    if let mask = state.withLock({ $0.mask.take() }) { umask(mask) }
  }

  private func settle(_ result: Result<HTTPAddress, HTTPError>) {
    let waiting = state.withLock { state in
      state.result = result
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume(with: result) }
  }
}
