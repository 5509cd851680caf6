internal import HTTPTypes
internal import NubCap
internal import NubStore

/// What the store remembers, as pages: lists, a job, a cap, and the search for one.
///
/// Made on the pages' own thread with a connection of their own, read-only; every question ends after a time limit, and lists go on
/// where a page ended. Workers notice nothing.
struct StorePages {
  var layout: Layout
  var queries: SQLiteQueries
  /// Unix milliseconds.
  var now: Int64

  private static let rows = 50

  /// nil for paths of other pages.
  func answer(_ request: PageRequest) throws(StoreError) -> PageResponse? {
    switch request.path {
    case "/jobs": try jobs(request)
    case "/job": try job(request)
    case "/caps": try caps(request)
    case "/cap": try cap(request)
    case "/search": try search(request.parameter("q") ?? "")
    default: nil
    }
  }

  // MARK: Lists

  private func jobs(_ request: PageRequest) throws(StoreError) -> PageResponse {
    var filter = ResultFilter()
    filter.onlyFailures = request.parameter("failed") == "1"
    let tenant = request.parameter("tenant") ?? ""
    let function = request.parameter("function") ?? ""
    if !tenant.isEmpty { filter.tenant = tenant }
    if !function.isEmpty { filter.function = function }
    let page = try queries.results(
      filter, order: .newest, limit: Self.rows, after: request.parameter("after").flatMap(PageCursor.init),
      budget: .milliseconds(200))
    let older = page.next.map { next -> HTML in
      let rest =
        "after=\(next)&tenant=\(Percent.encode(tenant.utf8))&function=\(Percent.encode(function.utf8))"
        + (filter.onlyFailures ? "&failed=1" : "")
      return "<a href=\"/jobs?\(rest)\">older</a>"
    }
    let table: HTML =
      page.rows.isEmpty
      ? "<p class=\"empty\">\(page.next == nil ? "No such jobs." : "None among those looked at; older ones may match.")</p>"
      : Pages.results(page.rows, now: now)
    return layout.page(
      "nub: results",
      """
      <h1>\(filter.onlyFailures ? "Failed jobs" : "Finished jobs")</h1>
      <form class="filter" action="/jobs" method="get"><input name="tenant" value="\(tenant)" placeholder="tenant" aria-label="tenant" maxlength="64">\
      <input name="function" value="\(function)" placeholder="function" aria-label="function" maxlength="64">\
      <label><input type="checkbox" name="failed" value="1"\(filter.onlyFailures ? " checked" as HTML : "")> failures only</label>\
      <button>Show</button></form>\(ignored(request, known: ["tenant", "function", "failed", "after"]))
      <div class="card wide">\(table)</div><p class="more">\(older ?? "")<a href="/">overview</a></p>
      """)
  }

  private func caps(_ request: PageRequest) throws(StoreError) -> PageResponse {
    let page = try queries.caps(
      CapFilter(), limit: Self.rows, after: request.parameter("after").flatMap(PageCursor.init),
      budget: .milliseconds(200))
    let lines = page.rows.map { row -> HTML in
      """
      <tr><td>\(Pages.link(toCap: row.hash))</td><td>\(row.kind)</td><td class="n" data-l="size">\(Show.bytes(row.size))</td>\
      <td class="n" data-l="puts">\(Show.count(row.puts))</td><td class="n" data-l="skips">\(Show.count(row.skips))</td>\
      <td class="t">\(Show.ago(row.lastUsedMilliseconds, now: now))</td></tr>
      """
    }
    let table: HTML =
      lines.isEmpty
      ? "<p class=\"empty\">No caps.</p>"
      : """
      <table class="stack"><tr><th>Hash</th><th>Kind</th><th class="n">Size</th><th class="n">Puts</th><th class="n">Skips</th>\
      <th>Last used</th></tr>\(lines)</table>
      """
    let older = page.next.map { next -> HTML in "<a href=\"/caps?after=\("\(next)")\">older</a>" }
    return layout.page(
      "nub: caps",
      "<h1>Caps</h1>\(ignored(request, known: ["after"]))<div class=\"card wide\">\(table)</div><p class=\"more\">\(older ?? "")<a href=\"/\">overview</a></p>"
    )
  }

  /// What of a request was not looked at: a list that is not filtered must not pass for one that is.
  private func ignored(_ request: PageRequest, known: [String]) -> HTML {
    var names = request.parameterNames.filter { !known.contains($0) || request.parameter($0) == nil }
    if let failed = request.parameter("failed"), failed != "1" { names.append("failed=\(failed)") }
    if let after = request.parameter("after"), PageCursor(after) == nil { names.append("after=\(after)") }
    guard !names.isEmpty else { return "" }
    let shown = names.prefix(8).map { Show.text($0, limit: 40) }.joined(separator: ", ")
    let list = known.joined(separator: ", ")
    return "<p class=\"card note\">Not known here, and left out: \(shown). This page takes \(list).</p>"
  }

  // MARK: One

  private func job(_ request: PageRequest) throws(StoreError) -> PageResponse {
    guard let raw = request.query.split(separator: "&").first(where: { $0.hasPrefix("id=") }),
      let id = Percent.decodeBytes(raw.dropFirst(3)), (1...64).contains(id.count)
    else { return missing("a job id has 1 to 64 bytes", "") }
    let found = try queries.glimpse(jobID: id, limit: 20, resultBytes: 4_096)
    return found.isEmpty ? missing("no job with this id has finished here", Show.jobID(id)) : page(of: found)
  }

  private func page(of jobs: [ResultDetail]) -> PageResponse {
    guard let id = jobs.first?.row.jobID else { return missing("", "") }
    let shown = Show.text(Show.jobID(id), limit: 140)
    return layout.page(
      "nub: job \(shown)", query: Show.jobID(id),
      "<h1>Job <span class=\"id\">\(shown)</span></h1>\(jobs.count > 1 ? "<p class=\"soft\">Several tenants have used this id.</p>" as HTML : "")\(jobs.map(detail))"
    )
  }

  private func detail(_ job: ResultDetail) -> HTML {
    let row = job.row
    let why = row.message.map { message -> HTML in
      "<h2>Why</h2><div class=\"card\"><pre>\(Show.text(message, limit: 4_000))</pre></div>"
    }
    let result = job.result.map { bytes -> HTML in
      """
      <h2>Result <small>\(Show.bytes(row.resultBytes ?? bytes.count))\
      \((row.resultBytes ?? 0) > bytes.count ? ", the first \(Show.bytes(bytes.count))" : "")</small></h2>
      <div class="card"><pre>\(Dump.text(bytes))</pre></div>
      """
    }
    let guest = row.guestStatus.map { "<dt>Guest status</dt><dd>\($0)</dd>" as HTML }
    let image = row.image.map { "<dt>Image</dt><dd>\(Show.text($0, limit: 300))</dd>" as HTML }
    return """
      <div class="card"><dl><dt>Status</dt><dd>\(Pages.status(row))</dd>
      <dt>Tenant</dt><dd>\(Pages.tenant(row.tenant))</dd>
      <dt>Function</dt><dd>\(row.verb) \(Show.text(row.function, limit: 140))</dd>\(guest ?? "")
      <dt>Accepted</dt><dd>\(Show.time(row.acceptedMilliseconds)) UTC</dd>
      <dt>Finished</dt><dd>\(Show.time(row.finishedMilliseconds)) UTC, \(Show.ago(row.finishedMilliseconds, now: now))</dd>
      <dt>Waited, ran</dt><dd>\(Show.microseconds(row.queuedMicroseconds)), \(Show.microseconds(row.runMicroseconds))</dd>
      <dt>Attempts</dt><dd>\(row.attempts)</dd>
      <dt>Where</dt><dd>\(Show.text(row.worker, limit: 80)), \(row.engine), sandbox \(row.sandbox)</dd>\(image ?? "")
      <dt>Id in hex</dt><dd class="id">0x\(Hex.text(row.jobID))</dd>
      <dt>Digest</dt><dd class="id">\(Hex.text(job.digest))</dd>
      <dt>Request</dt><dd>\(job.canRetry ? "kept: nub results retry runs it again" : "not kept")</dd></dl></div>
      \(why ?? "")\(result ?? "")
      """
  }

  private func cap(_ request: PageRequest) throws(StoreError) -> PageResponse {
    let text = request.parameter("hash") ?? ""
    guard let hash = CapHash(hex: text) else { return missing("a cap's hash has 64 hex digits", text) }
    guard let detail = try queries.cap(hash) else { return missing("the store has no such cap", text) }
    return page(of: detail)
  }

  private func page(of cap: CapDetail) -> PageResponse {
    let row = cap.row
    let references = cap.references.prefix(256).map { reference -> HTML in
      "<tr><td>\(Pages.link(toCap: reference.hash))</td><td>\(reference.isPresent ? "" : "<span class=\"pill bad\">missing</span>" as HTML)</td></tr>"
    }
    let tenants = cap.tenants.prefix(100).map { name -> HTML in "\(Pages.tenant(name)) " }
    return layout.page(
      "nub: cap \(row.hash.prefix(12))…", query: row.hash,
      """
      <h1>Cap <span class="id">\(row.hash)</span></h1>
      <div class="card"><dl><dt>Kind</dt><dd>\(row.kind)</dd><dt>Size</dt><dd>\(Show.bytes(row.size))</dd>
      <dt>Stored</dt><dd>\(Show.count(row.puts)) times put, \(Show.count(row.skips)) times known already</dd>
      <dt>First put</dt><dd>\(Show.time(row.firstPutMilliseconds)) UTC</dd>
      <dt>Last used</dt><dd>\(Show.time(row.lastUsedMilliseconds)) UTC, \(Show.ago(row.lastUsedMilliseconds, now: now))</dd>
      <dt>Referred to by</dt><dd>\(Show.count(cap.referredBy)) caps</dd>
      <dt>Tenants</dt><dd>\(Array(tenants))\(cap.tenants.count > 100 ? "and \(cap.tenants.count - 100) more" : "")</dd></dl></div>
      <h2>Refers to</h2><div class="card wide">\(references.isEmpty ? "<p class=\"empty\">No other caps.</p>" as HTML : "<table>\(Array(references))</table>")</div>
      """)
  }

  // MARK: Search

  /// Looks for what was typed as everything that it may be: a cap's hash, a job id as text, in hex, or as a UUID.
  private func search(_ typed: String) throws(StoreError) -> PageResponse {
    let text = typed.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    guard !text.isEmpty else { return missing("type a job id or a cap's hash", "") }
    if let hash = CapHash(hex: text), let detail = try queries.cap(hash) { return page(of: detail) }
    var found: [ResultDetail] = []
    for id in SearchTerm.jobIDs(text) {
      found += try queries.glimpse(jobID: id, limit: 20, resultBytes: 4_096)
    }
    if let first = found.first, found.allSatisfy({ $0.row.jobID == first.row.jobID }) {
      return page(of: found)
    }
    guard found.isEmpty else {
      return layout.page(
        "nub: found", query: text,
        "<h1>Several jobs fit</h1><div class=\"card wide\">\(Pages.results(found.map(\.row), now: now))</div>"
      )
    }
    return missing("no finished job and no cap is called that", text)
  }

  private func missing(_ why: String, _ what: String) -> PageResponse {
    layout.page(
      "nub: not found", status: .notFound, query: what,
      """
      <h1>Not found</h1><p class="card note">\(what.isEmpty ? "" as HTML : "<b class=\"id\">\(Show.text(what, limit: 200))</b><br>")\(why)</p>
      <p class="soft">Job ids are searched as text, in hex (with or without 0x) and as UUIDs; a cap's hash has 64 hex digits. Jobs that wait \
      or run are not in the store yet, and what is older than the retention time is gone.</p>
      <p class="more"><a href="/">overview</a><a href="/jobs">newest results</a></p>
      """)
  }
}

/// What somebody who searches may have meant.
enum SearchTerm {
  static func jobIDs(_ text: String) -> [[UInt8]] {
    var ids: [[UInt8]] = []
    func add(_ bytes: [UInt8]?) {
      if let bytes, (1...64).contains(bytes.count), !ids.contains(bytes) { ids.append(bytes) }
    }
    add(Array(text.utf8))
    add(hex(text.hasPrefix("0x") ? text.dropFirst(2) : text[...]))
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    if parts.map(\.count) == [8, 4, 4, 4, 12] { add(hex(parts.joined()[...])) }
    return ids
  }

  private static func hex(_ text: Substring) -> [UInt8]? {
    let digits = text.utf8.compactMap { UInt8(String(UnicodeScalar($0)), radix: 16) }
    guard digits.count == text.utf8.count, digits.count.isMultiple(of: 2), !digits.isEmpty else { return nil }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
}

/// Bytes for people: as text where it is text, else sixteen in a line.
enum Dump {
  static func text(_ bytes: [UInt8]) -> String {
    if bytes.isEmpty { return "(empty)" }
    if let text = String(validating: bytes, as: UTF8.self),
      text.unicodeScalars.allSatisfy({ $0.value >= 32 || $0 == "\n" || $0 == "\t" })
    {
      return text.split(separator: "\n", omittingEmptySubsequences: false)
        .map { Show.text(String($0.replacing("\t", with: "    ")), limit: 4_096) }.joined(separator: "\n")
    }
    var lines: [String] = []
    for start in stride(from: 0, to: min(bytes.count, 1_024), by: 16) {
      let row = bytes[start..<min(start + 16, bytes.count)]
      let offset = String(start, radix: 16)
      let hex = row.map { Hex.text([$0]) }.joined(separator: " ")
      let text = row.map { (33...126).contains($0) ? String(UnicodeScalar($0)) : "." }.joined()
      lines.append(
        String(repeating: "0", count: max(0, 4 - offset.count)) + offset + "  "
          + hex + String(repeating: " ", count: max(0, 49 - hex.count)) + text)
    }
    return lines.joined(separator: "\n") + (bytes.count > 1_024 ? "\n…" : "")
  }
}
