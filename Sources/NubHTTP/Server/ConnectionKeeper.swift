internal import NIOCore
internal import NIOHTTPTypes
internal import Synchronization

/// Who is connected. Its bounds are what keeps a peer from filling the server by doing nothing: beyond a number of connections, the
/// one that has waited longest without asking makes room for the next.
///
/// Hummingbird's own bound stops accepting instead, and then whoever holds connections open keeps everybody else out.
final class ConnectionTable: Sendable {
  private struct Connection {
    var channel: any Channel
    var waitsSince: NIODeadline?
  }

  private let limit: Int
  private let connections = Mutex<[ObjectIdentifier: Connection]>([:])

  init(limit: Int) { self.limit = limit }

  func add(_ channel: any Channel, at now: NIODeadline) {
    let leaving = connections.withLock { table -> (any Channel)? in
      table[ObjectIdentifier(channel)] = Connection(channel: channel, waitsSince: now)
      guard table.count > limit else { return nil }
      // Whoever asked is answered: if all did, the new one goes.
      let longest = table.filter { $0.value.waitsSince != nil }
        .min { ($0.value.waitsSince ?? now) < ($1.value.waitsSince ?? now) }
      return longest?.value.channel ?? channel
    }
    leaving?.close(promise: nil)
  }

  /// - Parameter since: nil while an answer is under way.
  func waits(_ channel: any Channel, since: NIODeadline?) {
    connections.withLock { $0[ObjectIdentifier(channel)]?.waitsSince = since }
  }

  func remove(_ channel: any Channel) {
    connections.withLock { $0[ObjectIdentifier(channel)] = nil }
  }
}

/// Keeps one connection within its bounds: a place in the table, and a time for each answer to be made and taken.
///
/// The time for a request's head is Hummingbird's idle timeout, which counts heads and not bytes: a byte now and then wins nothing.
final class ConnectionKeeper: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  private let table: ConnectionTable
  private let patience: TimeAmount
  /// Requests whose answers have not left.
  private var open = 0
  private var timer: Scheduled<Void>?

  init(table: ConnectionTable, patience: TimeAmount) {
    self.table = table
    self.patience = patience
  }

  func handlerAdded(context: ChannelHandlerContext) {
    table.add(context.channel, at: .now())
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.cancel()
    table.remove(context.channel)
  }

  func channelInactive(context: ChannelHandlerContext) {
    timer?.cancel()
    table.remove(context.channel)
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if case .head = unwrapInboundIn(data) {
      open += 1
      if open == 1 {
        table.waits(context.channel, since: nil)
        startTimer(context)
      }
    }
    context.fireChannelRead(data)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    guard case .end = unwrapOutboundIn(data) else { return context.write(data, promise: promise) }
    let left = promise ?? context.eventLoop.makePromise()
    left.futureResult.assumeIsolated().whenComplete { _ in self.answered(context) }
    context.write(data, promise: left)
  }

  private func answered(_ context: ChannelHandlerContext) {
    open -= 1
    timer?.cancel()
    timer = nil
    if open > 0 { startTimer(context) } else { table.waits(context.channel, since: .now()) }
  }

  private func startTimer(_ context: ChannelHandlerContext) {
    let channel = context.channel
    timer = context.eventLoop.scheduleTask(in: patience) { channel.close(promise: nil) }
  }
}

@available(*, unavailable)
extension ConnectionKeeper: Sendable {}
