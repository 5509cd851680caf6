/// A call that a guest makes to the host.
public struct HostCall: Sendable {
  /// The guest's argument, copied out of its memory.
  public let argument: [UInt8]
  /// Which sandbox calls.
  public let sandbox: UInt64
  /// What the sandbox's owner has set with ``Sandbox/context``.
  public let context: (any Sendable)?
  let handle: InterruptHandle
  /// When the guest's call is late, monotonic nanoseconds; nil for never.
  let deadline: UInt64?

  /// True when the guest's call has been interrupted or is late. A function that takes long should look at this and
  /// throw: whatever it answers, the guest will not be entered again.
  public var isCancelled: Bool { handle.isCancelled || timeLeft == .zero }

  /// How long the guest's call may still run, for functions that wait for something; nil where it has no deadline.
  public var timeLeft: Duration? {
    guard let deadline else { return nil }
    let now = monotonicNanoseconds()
    return now >= deadline ? .zero : .nanoseconds(Int64(clamping: deadline - now))
  }
}

/// A host function's failure, as the guest sees it.
public struct HostError: Error, Sendable {
  /// Not 0.
  public var status: UInt32
  /// The answer that goes with it; a message, unless the function documents something else.
  public var answer: [UInt8]

  /// - Parameter status: the function's own; 0, which would be success, becomes ``failed``.
  public init(status: UInt32, answer: [UInt8]) {
    self.status = status
    self.answer = answer
  }

  /// An error that says something to the guest's author.
  public init(status: UInt32, _ message: String) { self.init(status: status, answer: Array(message.utf8)) }

  /// The host has no function with this id.
  public static let unknownFunction: UInt32 = 0xffff_ff01
  /// Over ``SandboxConfiguration/maximumResponse``.
  public static let answerTooLarge: UInt32 = 0xffff_ff04
  /// It threw something that is no ``HostError``.
  public static let failed: UInt32 = 0xffff_ff07
}

/// The functions that guests may call, by id and by name.
///
/// They run on the thread that runs the sandbox, between two entries of the VM. What they throw goes to the guest as a
/// status, and nothing unwinds through the VM's loop; a trap (a failed precondition, say) ends the process, as anywhere.
public struct HostFunctions: Sendable {
  /// Runs on the sandbox's thread. Its answer is copied into the guest's response area.
  public typealias Body = @Sendable (HostCall) throws -> [UInt8]

  struct Entry: Sendable {
    var name: String
    var body: Body
  }

  private(set) var entries: [UInt32: Entry] = [:]

  /// None yet.
  public init() {}

  /// Adds or replaces the function `id`. A name is one function's: the function that had it is gone.
  /// - Parameters:
  ///   - id: what guests call it by. Ids below 256 are nub's, see ``HostFunctionID``.
  ///   - name: what metrics and spans call it, one of few.
  public mutating func register(_ id: UInt32, name: String, _ body: @escaping Body) {
    if let other = self.id(of: name) { entries[other] = nil }
    entries[id] = Entry(name: name, body: body)
  }

  /// The name of the function `id`.
  public func name(of id: UInt32) -> String? { entries[id]?.name }

  /// The id of the function called `name`.
  public func id(of name: String) -> UInt32? { entries.first { $0.value.name == name }?.key }

  func call(_ id: UInt32, _ call: HostCall) -> (status: UInt32, answer: [UInt8]) {
    guard let entry = entries[id] else {
      return (HostError.unknownFunction, Array("the host has no function \(id)".utf8))
    }
    do {
      return (0, try entry.body(call))
    } catch let error as HostError {
      return (error.status == 0 ? HostError.failed : error.status, error.answer)
    } catch {
      // What an unknown error says may name paths or hosts; the guest learns only that it failed.
      return (HostError.failed, Array("the host function \(entry.name) failed".utf8))
    }
  }
}
