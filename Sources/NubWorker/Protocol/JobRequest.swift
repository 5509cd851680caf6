internal import NubCap

/// A decoded job: what is small by value, what is large by the index of its frame.
struct JobRequest: Sendable {
  /// What is asked, with the operand's meaning.
  enum Action: Sendable {
    case call(function: UInt32)
    /// nil: no claim.
    case putCap(claim: CapHash?)
    case findMissing
    case getCap(CapHash)
    case getResult(ShortBytes)
    case cancel(ShortBytes)
    case ping

    var verb: Verb {
      switch self {
      case .call: .call
      case .putCap: .putCap
      case .findMissing: .findMissing
      case .getCap: .getCap
      case .getResult: .getResult
      case .cancel: .cancel
      case .ping: .ping
      }
    }
  }

  var action: Action
  var id: ShortBytes
  var options: JobOptions
  /// Whether the tenant in `options` is the one that the sender's key is bound to, and was not named by the sender.
  var hasKeysTenant = false
  /// The index of `NUB1`; the frames before it go in front of the reply.
  var start: Int
  /// How many caps follow from frame `start + 6` on.
  var capCount: Int

  var verb: Verb { action.verb }
  var operandFrame: Int { start + 3 }
  var bodyFrame: Int { start + 4 }
  var capFrames: Range<Int> { start + 6..<start + 6 + capCount }
}

/// A message that is answered with an error at once.
struct Refusal: Sendable {
  /// The index of `NUB1`.
  var start: Int
  var id: ShortBytes
  var status: Status
  /// For the producer.
  var message: String
}
