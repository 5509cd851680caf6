internal import Dispatch
internal import Glibc
internal import HTTPTypes
internal import HummingbirdCore
internal import NIOCore
internal import Synchronization

/// From a request to what is written: refusals, and the content's answers.
final class HTTPResponder: Sendable {
  /// Bytes of a request's target.
  static let maximumTarget = 2 << 10
  /// Bytes of a refused body that are read, lest they turn into a reset that takes the answer with it (RFC 9112, section 9.6).
  static let drainedBytes = 256 << 10

  private let content: any HTTPContent
  private let hosts: HostPolicy
  private let waitingAnswers: Int
  /// Where answers are made that take time.
  private let queue = DispatchQueue(label: "nub.http.pages")
  private let waiting = Atomic<Int>(0)

  init(content: any HTTPContent, hosts: HostPolicy, waitingAnswers: Int) {
    self.content = content
    self.hosts = hosts
    self.waitingAnswers = waitingAnswers
  }

  private enum Ending: Error { case closed }

  func respond(
    to request: Request, _ writer: consuming ResponseWriter, on channel: any Channel
  ) async throws {
    let refusal = refusal(of: request.head)
    let response = if let refusal { refusal } else { await answer(request.head) }
    // HTTP/1.0 may come without Host, and then it expects an end.
    let closes =
      refusal != nil || request.head.authority == nil
      || request.headers[values: .connection].contains { $0.lowercased().contains("close") }
    let head = response.head(closes: closes, time: time(nil))
    // The length is told either way (RFC 9110, section 9.3.2).
    let body =
      request.method == .head ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(bytes: response.body))
    try await writer.write(response: head, body: body)
    guard closes else { return }
    // Completes when the answer has left; then the peer's unread bytes.
    try await channel.close(mode: .output)
    var count = 0
    for try await part in request.body {
      count += part.readableBytes
      if count > Self.drainedBytes { break }
    }
    throw Ending.closed
  }

  /// What is no plain question, and what to say then.
  private func refusal(of head: HTTPRequest) -> PageResponse? {
    if head.headerFields[.transferEncoding] != nil || (head.headerFields[.contentLength] ?? "0") != "0" {
      return .text(.contentTooLarge, "requests with a body are not taken")
    }
    guard head.method == .get || head.method == .head else {
      return .text(.methodNotAllowed, "only GET and HEAD")
    }
    guard let path = head.path, path.hasPrefix("/") else {
      return .text(.badRequest, "the target is a path")
    }
    guard path.utf8.count <= Self.maximumTarget else {
      return .text(.uriTooLong, "a target has at most 2 KiB")
    }
    guard hosts.admits(head.authority) else {
      return .text(
        .misdirectedRequest, "this server has another name: use its address, or start it with --http-host")
    }
    return nil
  }

  private func answer(_ head: HTTPRequest) async -> PageResponse {
    switch content.answer(PageRequest(target: head.path ?? "/")) {
    case .now(let response): return response
    case .later(let make):
      guard waiting.wrappingAdd(1, ordering: .relaxed).newValue <= waitingAnswers else {
        waiting.subtract(1, ordering: .relaxed)
        var response = PageResponse.text(.serviceUnavailable, "too many questions at once")
        response.fields[.retryAfter] = "1"
        return response
      }
      return await withCheckedContinuation { continuation in
        queue.async { [self] in
          let response = make()
          waiting.subtract(1, ordering: .relaxed)
          continuation.resume(returning: response)
        }
      }
    }
  }
}
