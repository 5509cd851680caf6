#if !hasFeature(Embedded)
  // The built-in functions for the in-process engine. An image's table comes from its symbols instead; a test of
  // NubMachine holds the two against each other.
  import CNubGuest

  public enum NubGuestFunctions {
    public struct Function: Sendable {
      public let id: UInt32
      public let name: StaticString
      public let body: FunctionTable.Function
    }

    private static func entry(
      _ id: UInt32, _ name: StaticString, _ body: @escaping FunctionTable.Function
    ) -> Function { Function(id: id, name: name, body: body) }

    /// Sorted by id.
    public static let all: [Function] = [
      entry(1, "echo") { echo(frame($0)) },
      entry(2, "heap_stats") { heapStats(frame($0)) },
      entry(4, "put_cap") { putCap(frame($0)) },
      entry(5, "get_boot_info") { getBootInfo(frame($0)) },
      entry(6, "evict") { evict(frame($0)) },
      entry(16, "counter") { counter(frame($0)) },
      entry(17, "spin") { spin(frame($0)) },
      entry(18, "fault") { fault(frame($0)) },
      entry(19, "fail") { fail(frame($0)) },
      entry(20, "alloc") { alloc(frame($0)) },
      entry(256, "sha256") { sha256(frame($0)) },
      entry(257, "cap_sha256") { capSHA256(frame($0)) },
      entry(258, "cap_word_count") { capWordCount(frame($0)) },
    ]

    private static func frame(_ call: UnsafeMutableRawPointer?) -> NubCall? {
      call?.assumingMemoryBound(to: nub_call.self)
    }
  }
#endif
