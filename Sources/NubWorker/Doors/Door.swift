internal import DequeModule
internal import NubSecurity
internal import NubZMQ

/// A front door: its sockets, and the replies that they could not take yet. Door thread only.
final class Door {
  enum Kind {
    /// ROUTER: replies go back on the same socket, to the peer named by the envelope's first frame.
    case direct
    /// PULL and PUSH: jobs are journaled, replies go to whoever collects.
    case pipeline
  }

  let index: Int
  let kind: Kind
  /// The keys whose owners may send here; nil for everybody.
  var authorizedKeys: AuthorizedKeys?
  private var input: OwnedSocket
  /// The same as `input` on a direct door.
  private var output: OwnedSocket
  /// Counts ``reopen(_:)``.
  private(set) var opening: UInt32 = 0
  /// How its input is made; nil for a door inside the process, which strangers do not reach.
  var recipe: Recipe?

  /// What it takes to make a door's input once more.
  struct Recipe {
    /// A socket with its options and keys, attached to nothing yet.
    var make: () throws(ZMQError) -> Socket
    /// Where it belongs, wildcards resolved.
    var endpoint: Endpoint
  }
  /// Waiting for the socket, oldest first.
  var unsent: Deque<Reply> = []
  /// Bytes of bodies in `unsent`.
  var unsentBytes = 0
  /// Positions in the poller.
  let inputItem: Int
  let outputItem: Int?

  /// A direct door.
  init(index: Int, router: consuming Socket, poller: inout PollSet) {
    self.index = index
    kind = .direct
    inputItem = poller.add(router, for: .readable)
    outputItem = nil
    input = OwnedSocket(router)
    output = input
  }

  /// A pipeline door.
  init(index: Int, pull: consuming Socket, push: consuming Socket, poller: inout PollSet) {
    self.index = index
    kind = .pipeline
    inputItem = poller.add(pull, for: .readable)
    outputItem = poller.add(push, for: [])
    input = OwnedSocket(pull)
    output = OwnedSocket(push)
  }

  /// Closes the input, with everything that libzmq holds for its peers, and opens it anew at the same place. They connect again by
  /// themselves.
  func reopen(_ poller: inout PollSet) throws(ZMQError) {
    guard let recipe else { return }
    // Replies that wait in it hold memory, too; their askers ask again.
    try input.socket.set(.linger, 0)
    let fresh = OwnedSocket(try recipe.make())
    // Before the old one is closed, whose address must not be polled any more.
    poller.replace(inputItem, with: fresh.socket)
    if kind == .direct { output = fresh }
    input = fresh
    opening += 1
    try input.socket.attachAgain(recipe.endpoint)
  }

  /// Frames that the input socket itself puts in front: a ROUTER adds the routing id.
  var prefixFrames: Int { kind == .direct ? 1 : 0 }

  /// - Returns: false if nothing is waiting.
  func receive(into message: inout InboundMessage) throws(ZMQError) -> Bool {
    try message.receive(from: &input.socket)
  }

  /// - Returns: false if the socket cannot take it now.
  func send(_ reply: Reply, with sender: inout ReplySender) throws(ZMQError) -> Bool {
    try sender.send(on: &output.socket, reply)
  }
}

/// A socket that has two names.
private final class OwnedSocket {
  var socket: Socket
  init(_ socket: consuming Socket) { self.socket = socket }
}

/// A reply, ready to be encoded.
struct Reply: Sendable {
  var envelope: Envelope
  var id: ShortBytes
  var status: Status
  var body: [UInt8]
  var meta: ReplyMeta
  /// Credit that is given back when the reply has left.
  var credit: Credit.Share?
  /// When it became ready.
  var since: Monotonic
}
