import CNubABI
import Foundation
import NubABI
import Synchronization
import Testing

@testable import NubMachine

/// Whoever connects to a debugger's port may send anything. It is on the loopback interface and for development, and still
/// nothing of it may take the host down.
@Suite(.needsKVM, .serialized) struct HostileDebuggerTests {
  private static let template: Result<SandboxTemplate, any Error> = Result {
    var configuration = RestoreTests.configuration()
    configuration.isDebuggable = true
    return try SandboxTemplate(kvm: try GuestImage.builtIn(), configuration: configuration)
  }

  /// A connection that speaks the protocol's framing.
  private final class Client {
    let socket: Int32
    private var parser = GDBPacketParser()
    private(set) var isOpen = true

    init(_ port: UInt16) throws {
      socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
      let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
      #expect(result == 0)
    }

    deinit { close(socket) }

    func send(raw bytes: [UInt8]) {
      var rest = bytes[...]
      while !rest.isEmpty, isOpen {
        let sent = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        guard sent > 0 else {
          isOpen = false
          return
        }
        rest = rest.dropFirst(sent)
      }
    }

    /// The next packet that comes; nil where the connection is closed.
    func receive() -> String? {
      var byte: UInt8 = 0
      while read(socket, &byte, 1) == 1 {
        // Answers are framed as questions are.
        if case .packet(let packet)? = parser.take(byte) { return String(decoding: packet, as: UTF8.self) }
      }
      isOpen = false
      return nil
    }

    @discardableResult
    func ask(_ command: String) -> String? {
      send(raw: GDBPacketParser.encode(Array(command.utf8)))
      return receive()
    }
  }

  @Test func noQuestionReachesBeyondTheGuest() throws {
    var sandbox = try Self.template.get().makeSandbox()
    let server = try DebugServer()
    try sandbox.attach(server)
    do {
      let client = try Client(server.port)
      #expect(client.ask("?")?.hasPrefix("T02") == true)
      for address in [0, 0x1000, 0x10_0000, 0x10_3000, 0x7fff_ffff_f000, 0xffff_8000_0000_0000, UInt64.max]
        as [UInt64]
      {
        let place = String(address, radix: 16)
        #expect(client.ask("m\(place),ffffffffffffffff") == "E0e")
        #expect(client.ask("m\(place),10") == "E0e")
        #expect(client.ask("M\(place),1:00") == "E01")
        #expect(client.ask("Z0,\(place),1") == "E01")
      }
      // As much as there is, and no more than a packet holds.
      let code = try #require(client.ask("m400000,ffffffff"))
      #expect(code.count > 4096 && code.count <= GDBPacketParser.maximum)
      let last = String(MemoryMap.stackTop - 4, radix: 16)
      #expect(client.ask("m\(last),100")?.count == 8)
      // Data is no place for a breakpoint.
      #expect(client.ask("Z0,80000000,1") == "E01")
      #expect(client.ask("p999") == "E01")
      #expect(client.ask("P999=00") == "E01")
      #expect(client.ask("P10=00") == "E01")
      #expect(client.ask("G00") == "E16")
      #expect(client.ask("X400000,5:ab") == "E16")
      #expect(client.ask("vCont;x") == "E16")
      #expect(client.ask("qXfer:features:read:../../etc/passwd:0,100") == "E00")
      #expect(client.ask("qXfer:features:read:target.xml:ffffffffffffffff,1") == "l")
      #expect(client.ask("nonsense") == "")
    }
    #expect(try sandbox.call(FunctionID.echo, [1]) == [1])
  }

  @Test func whatADebuggerWritesIsGoneAfterARestoreWhereverItWasWritten() throws {
    var sandbox = try Self.template.get().makeSandbox()
    let before = (RestoreTests.memory(sandbox), RestoreTests.hostMemory(sandbox))
    let server = try DebugServer()
    try sandbox.attach(server)
    do {
      let client = try Client(server.port)
      _ = client.ask("?")
      let capacity = sandbox.areas.host.pointee.max_result
      for address in [
        MemoryMap.hostControl + 8, MemoryMap.hostControl + 104, MemoryMap.requestBase + 65536,
        MemoryMap.responseBase, MemoryMap.guestControl, MemoryMap.heapBase + 65536, MemoryMap.stackTop - 64,
      ] {
        #expect(client.ask("M\(String(address, radix: 16)),8:1122334455667788") == "OK")
      }
      #expect(sandbox.areas.host.pointee.max_result != capacity)
    }
    try sandbox.restore()
    #expect(Support.isSame(before.0, RestoreTests.memory(sandbox)))
    #expect(Support.isSame(before.1, RestoreTests.hostMemory(sandbox)))
    #expect(try sandbox.call(FunctionID.echo, [1]) == [1])
  }

  @Test(arguments: [
    "8000000000000000", "ffffffffffffffff", "0000000000000000", "0000100000000000", "0010100000000000",
    "0000000000008000",
  ])
  func aGuestThatIsSentAnywhereFaultsThere(littleEndian rip: String) throws {
    var sandbox = try Self.template.get().makeSandbox()
    let server = try DebugServer()
    try sandbox.attach(server)
    let client = try Client(server.port)
    _ = client.ask("?")
    #expect(client.ask("P10=\(rip)") == "OK")
    client.send(raw: GDBPacketParser.encode(Array("c".utf8)))
    let end = Threads(1) { [socket = client.socket] _ in
      // The guest stops at its fault and waits: whoever has seen that hangs up.
      var seen: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 64)
      while !seen.contains(UInt8(ascii: "T")) {
        let count = read(socket, &buffer, buffer.count)
        guard count > 0 else { break }
        seen += buffer.prefix(count)
      }
      shutdown(socket, Int32(SHUT_RDWR))
    }
    let code = Support.code { _ = try sandbox.call(FunctionID.echo, [1], deadline: .seconds(20)) }
    shutdown(client.socket, Int32(SHUT_RDWR))
    end.join()
    switch code {
    case .fault, .protocolViolation, .system, .deadlineExceeded: break
    default: Issue.record("\(rip): \(String(describing: code))")
    }
    try sandbox.restore()
    #expect(try sandbox.call(FunctionID.echo, [2]) == [2])
  }

  @Test func anyBytesAreStood() throws {
    var sandbox = try Self.template.get().makeSandbox()
    let server = try DebugServer()
    try sandbox.attach(server)
    var random = Splitmix(state: 99)
    let commands = [
      "?", "g", "G", "p", "P", "m400000,40", "M80000000,2:ffff", "X", "Z0,400000,1", "z0,400000,1", "vCont?",
      "qSupported", "QStartNoAckMode", "H", "T", "qC", "P0=ff", "s", "P11=ffffffff",
    ].map { Array($0.utf8) }
    for round in 0..<30 {
      let client = try Client(server.port)
      for _ in 0..<40 {
        let command: [UInt8]? = commands.randomElement(using: &random)
        var packet = GDBPacketParser.encode(command ?? [])
        // Half of them damaged: a byte changed, the end cut off, something in front.
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
          packet[Int.random(in: 0..<packet.count, using: &random)] = .random(in: 0...255, using: &random)
        case 1: packet.removeLast(Int.random(in: 0..<packet.count, using: &random))
        case 2: packet = (0..<64).map { _ in .random(in: 0...255, using: &random) } + packet
        default: break
        }
        // A single step would wait for a call that does not come.
        if packet.contains(UInt8(ascii: "s")), packet.count < 6 { continue }
        client.send(raw: packet)
      }
      if round % 3 == 0 { client.send(raw: [UInt8](repeating: UInt8(ascii: "$"), count: 1 << 16)) }
      if round % 5 == 0 { client.send(raw: Array("$m".utf8) + [UInt8](repeating: 0x30, count: 1 << 17)) }
      shutdown(client.socket, Int32(SHUT_RDWR))
    }
    try sandbox.restore()
    #expect(try sandbox.call(FunctionID.echo, [1]) == [1])
    #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [1])
  }

  @Test func aServerThatGoesWhileItsSocketIsUsedLeavesNothingOpen() throws {
    for _ in 0..<50 {
      let server = try DebugServer()
      // Nobody is attached: the connection is closed again.
      let client = try Client(server.port)
      #expect(client.receive() == nil)
    }
  }

  @Test func aPortIsVacantBeforeAndAfterItsSandbox() throws {
    let server = try DebugServer()
    #expect(server.isVacant)
    do {
      var sandbox = try Self.template.get().makeSandbox()
      try sandbox.attach(server)
      #expect(!server.isVacant)
    }
    #expect(server.isVacant)
  }
}
