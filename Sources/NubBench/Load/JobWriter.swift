/// Writes `call` messages of the echo function (docs: protocol), one after another, with new ids.
struct JobWriter: ~Copyable {
  private let fixed: UnsafeMutableRawBufferPointer
  private let payload: UnsafeMutableRawBufferPointer
  private var ids: JobIDs
  private let options: [[UInt8]]
  private var nextTenant = 0

  private static let magic = 0..<4
  private static let verb = 4..<8
  private static let operand = 8..<12
  private static let id = 16..<32

  /// - Parameters:
  ///   - tenants: how many tenants take turns; 1 sends none, and so no options frame.
  init(payload bytes: Int, order: JobIDs.Order, tenants: Int) {
    fixed = .allocate(byteCount: 32, alignment: 8)
    fixed.copyBytes(from: Array("NUB1call".utf8) + [1, 0, 0, 0] + [UInt8](repeating: 0, count: 20))
    payload = .allocate(byteCount: max(bytes, 1), alignment: 8)
    for index in payload.indices { payload[index] = UInt8(truncatingIfNeeded: index) }
    payloadBytes = bytes
    ids = JobIDs(order)
    options = tenants > 1 ? (0..<tenants).map { Array("{\"tenant\":\"tenant-\($0)\"}".utf8) } : []
  }

  private let payloadBytes: Int

  deinit {
    fixed.deallocate()
    payload.deallocate()
  }

  mutating func send(to socket: inout LoadSocket) throws(BenchError) {
    ids.next(into: UnsafeMutableRawBufferPointer(rebasing: fixed[JobWriter.id]))
    try socket.send(UnsafeRawBufferPointer(rebasing: fixed[JobWriter.magic]), more: true)
    try socket.send(UnsafeRawBufferPointer(rebasing: fixed[JobWriter.verb]), more: true)
    try socket.send(UnsafeRawBufferPointer(rebasing: fixed[JobWriter.id]), more: true)
    try socket.send(UnsafeRawBufferPointer(rebasing: fixed[JobWriter.operand]), more: true)
    let body = UnsafeRawBufferPointer(rebasing: payload[0..<payloadBytes])
    guard !options.isEmpty else { return try socket.send(body, more: false) }
    try socket.send(body, more: true)
    let tenant = options[nextTenant]
    nextTenant = nextTenant + 1 == options.count ? 0 : nextTenant + 1
    try socket.send(tenant, more: false)
  }
}

/// Reads replies and checks that they are what the work should give.
struct ReplyReader {
  /// Bytes of body that a good reply has.
  let bodyBytes: Int
  private(set) var received = 0

  init(bodyBytes: Int) { self.bodyBytes = bodyBytes }

  /// Receives one reply.
  /// - Returns: false when none came.
  /// - Throws: where the reply is not a good one: a figure of failures would be worth nothing.
  @inline(__always)
  mutating func receive(from socket: inout LoadSocket, waiting: Bool = true) throws(BenchError) -> Bool {
    guard try socket.receive(waiting: waiting) else { return false }
    var index = 0
    var status: UInt32 = .max
    var size = -1
    while true {
      switch index {
      case 3: if socket.bytes.count == 4 { status = socket.bytes.loadUnaligned(as: UInt32.self) }
      case 4: size = socket.bytes.count
      default: break
      }
      guard socket.more else { break }
      // The frames of a message arrive together (zmq_msg_recv(3)).
      guard try socket.receive() else { break }
      index += 1
    }
    guard status == 0, size == bodyBytes else {
      throw BenchError(
        .wrongResult,
        "a reply of \(index + 1) frames has status \(status) and \(size) bytes of body; expected 0 and \(bodyBytes)"
      )
    }
    received += 1
    return true
  }
}
