import Testing

@testable import NubWorker

@Suite struct RelayDialerTests {
  @Test func `an endpoint's parts`() throws {
    let plain = try #require(RelayDialer.Place("tcp://localhost:7700"))
    #expect(plain.host == "localhost" && plain.port == "7700" && plain.source == nil)
    let from = try #require(RelayDialer.Place("tcp://127.0.0.2:*;127.0.0.1:7700"))
    #expect(from.host == "127.0.0.1" && from.source?.host == "127.0.0.2" && from.source?.port == "0")
    let any = try #require(RelayDialer.Place("tcp://*:9;127.0.0.1:7700"))
    #expect(any.source?.host == nil && any.source?.port == "9")
    for address in ["ipc:///run/nub", "tcp://host", "tcp://a:1;b:2;c:3", "tcp://a;b:2"] {
      #expect(RelayDialer.Place(address) == nil)
    }
  }
}
