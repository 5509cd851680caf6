internal import HTTPTypes

/// What all pages have around them. One style and one script, inline, allowed by a nonce; nothing else may load or run, so what slips
/// through everything else still cannot act (Content Security Policy, level 3).
struct Layout: Sendable {
  /// Who speaks, as the head of the page names it.
  var program: String
  var name: String
  var state: HTML
  /// What the search field offers; nil for a page without one.
  var search: String?
  var links: [(path: String, text: String)] = []

  /// - Parameters:
  ///   - isLive: the page renews itself: by script, in place, or without scripts as a whole.
  ///   - query: what the search field holds.
  func page(
    _ title: String, status: HTTPResponse.Status = .ok, isLive: Bool = false, query: String = "", _ main: HTML
  ) -> PageResponse {
    let nonce = Self.nonce()
    let renewal: HTML =
      isLive ? "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>" : ""
    let form: HTML =
      search.map { placeholder -> HTML in
        """
        <form action="/search" method="get" role="search"><input name="q" type="search" value="\(query)" \
        placeholder="\(placeholder)" aria-label="\(placeholder)" maxlength="512" autocomplete="off" spellcheck="false">\
        <button>Find</button></form>
        """
      } ?? ""
    let navigation = links.map { link -> HTML in "<a href=\"\(link.path)\">\(link.text)</a>" }
    let html: HTML = """
      <!doctype html>
      <html lang="en"><head><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(title)</title><link rel="icon" href="data:,">\(renewal)
      <style nonce="\(nonce)">\(Self.style)</style></head>
      <body><header><div class="bar"><a class="mark" href="/">nub</a><span class="who">\(program) <b>\(name)</b></span>\
      <span id="state">\(state)</span><nav>\(navigation)</nav>\(form)</div></header>
      <main\(isLive ? " data-live" as HTML : "")>
      \(main)
      </main>
      <script nonce="\(nonce)">\(Self.script)</script></body></html>

      """
    var response = PageResponse(status, type: "text/html; charset=utf-8", body: Array(html.text.utf8))
    response.fields[.contentSecurityPolicy] =
      "default-src 'none'; style-src 'nonce-\(nonce)'; script-src 'nonce-\(nonce)'; connect-src 'self'; img-src data:; "
      + "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    return response
  }

  private static func nonce() -> String {
    var random = SystemRandomNumberGenerator()
    return String(random.next(), radix: 36) + String(random.next(), radix: 36)
  }

  /// Renews a live page in place. What somebody is selecting, and a page in the background, are left alone.
  private static let script: HTML = """
    (() => {
      if (!document.querySelector("main[data-live]")) return;
      const renew = async () => {
        if (document.hidden || String(getSelection())) return;
        try {
          const answer = await fetch(location.href, { cache: "no-store" });
          const page = new DOMParser().parseFromString(
            (await answer.text()).replace(/<style[^]*<\\/style>/, ""), "text/html");
          const main = page.querySelector("main");
          if (!answer.ok || !main) throw 0;
          document.querySelector("main").replaceWith(document.adoptNode(main));
          document.getElementById("state").replaceWith(document.adoptNode(page.getElementById("state")));
          document.body.classList.remove("stale");
        } catch { document.body.classList.add("stale"); }
      };
      setInterval(renew, 2000);
    })();
    """

  private static let style: HTML = """
    :root { color-scheme: light dark; --page: #f6f6f3; --card: #fff; --ink: #1d2022; --soft: #63686e; --line: #e3e3de;
      --good: #2d7a66; --good-soft: #d8ebe4; --bad: #b0402a; --bad-soft: #f7e2dc; --warn: #8a6410; --warn-soft: #f6ebcf; }
    @media (prefers-color-scheme: dark) { :root { --page: #131516; --card: #1b1e20; --ink: #e7e5df; --soft: #9aa0a6;
      --line: #2b2f32; --good: #74c2ab; --good-soft: #1d3a33; --bad: #ee947c; --bad-soft: #46241c; --warn: #dfb65a;
      --warn-soft: #3f3315; } }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
    a { color: inherit; text-decoration-color: var(--soft); text-underline-offset: 3px; }
    a:hover { text-decoration-color: currentColor; }
    :focus-visible { outline: 2px solid var(--good); outline-offset: 2px; }
    header { background: var(--card); border-bottom: 1px solid var(--line); }
    .bar, main { max-width: 1120px; margin: 0 auto; padding: 0 20px; }
    .bar { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; padding-top: 12px; padding-bottom: 12px; }
    .mark { font-weight: 700; font-size: 20px; letter-spacing: -.02em; text-decoration: none; }
    .who { color: var(--soft); } .who b { color: var(--ink); font-weight: 600; overflow-wrap: anywhere; }
    nav { display: flex; gap: 14px; margin-left: auto; }
    form { display: flex; gap: 6px; }
    input, button { font: inherit; color: inherit; background: var(--page); border: 1px solid var(--line); border-radius: 7px;
      padding: 5px 10px; }
    input[type=search] { width: 300px; max-width: 100%; min-width: 0; } button { cursor: pointer; background: var(--card); }
    .pill { display: inline-block; border-radius: 99px; padding: 1px 10px; font-size: 13px; background: var(--good-soft);
      color: var(--good); white-space: nowrap; }
    .pill.bad { background: var(--bad-soft); color: var(--bad); } .pill.warn { background: var(--warn-soft); color: var(--warn); }
    .pill.idle { background: none; border: 1px solid var(--line); color: var(--soft); padding: 0 9px; }
    .stale #state .pill { background: var(--bad-soft); color: var(--bad); } .stale #state .pill::after { content: " · not reachable now"; }
    main { padding-top: 22px; padding-bottom: 60px; }
    h1 { font-size: 19px; font-weight: 650; margin: 0 0 14px; overflow-wrap: anywhere; }
    h2 { font-size: 15px; font-weight: 650; margin: 30px 0 10px; display: flex; gap: 12px; align-items: baseline; }
    h2 a, h2 small { font-size: 13px; font-weight: 400; color: var(--soft); }
    .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
    .note { padding: 12px 16px; margin: 0 0 16px; overflow-wrap: anywhere; } .note.bad { border-color: var(--bad); }
    .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
    .tile { padding: 14px 16px; border-left: 1px solid var(--line); margin-left: -1px; }
    .tiles { overflow: hidden; }
    .tile b { display: block; font-size: 24px; line-height: 1.25; font-weight: 600; font-variant-numeric: tabular-nums;
      letter-spacing: -.01em; white-space: nowrap; }
    .tile span { color: var(--soft); font-size: 13px; } .tile.bad b { color: var(--bad); }
    .chart { padding: 14px 16px 10px; } .chart svg { display: block; width: 100%; height: 120px; }
    .chart .area { fill: var(--good-soft); } .chart .line { fill: none; stroke: var(--good); stroke-width: 1.5; vector-effect: non-scaling-stroke;
      stroke-linejoin: round; }
    .chart .fail { fill: var(--bad); } .chart .base { stroke: var(--line); vector-effect: non-scaling-stroke; }
    .legend { display: flex; justify-content: space-between; gap: 12px; color: var(--soft); font-size: 13px; }
    .wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
    th, td { text-align: left; padding: 7px 16px; vertical-align: top; border-top: 1px solid var(--line); }
    tr:first-child > th { border-top: 0; } th { font-weight: 500; color: var(--soft); font-size: 13px; white-space: nowrap; }
    td.n, th.n { text-align: right; white-space: nowrap; } td.t { white-space: nowrap; color: var(--soft); }
    td.why { width: 36%; min-width: 220px; overflow-wrap: anywhere; } td.name { min-width: 150px; overflow-wrap: anywhere; }
    .id { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 13px; overflow-wrap: anywhere; }
    td.job { white-space: nowrap; } td.job .id { display: inline-block; max-width: 36ch; overflow: hidden; text-overflow: ellipsis;
      vertical-align: bottom; }
    .empty { color: var(--soft); padding: 18px 16px; margin: 0; } .soft { color: var(--soft); }
    dl { display: grid; grid-template-columns: minmax(110px, max-content) 1fr; gap: 7px 20px; margin: 0; padding: 14px 16px; }
    dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
    pre { margin: 0; padding: 14px 16px; overflow-x: auto; font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; white-space: pre-wrap;
      overflow-wrap: anywhere; }
    .more { display: flex; gap: 16px; padding: 12px 0; } .filter { flex-wrap: wrap; margin-bottom: 14px; align-items: center; }
    @media (max-width: 640px) { .bar, main { padding-left: 14px; padding-right: 14px; } nav { margin-left: 0; } form, input[type=search] { width: 100%; }
      .filter input { width: auto; flex: 1 1 120px; } .tiles { grid-template-columns: 1fr 1fr; } .tile { border-top: 1px solid var(--line); margin-top: -1px; }
      .tile b { font-size: 20px; }
      .stack tr:first-child { display: none; } .stack tr { display: block; padding: 10px 14px; border-top: 1px solid var(--line); }
      .stack tr:nth-child(2) { border-top: 0; } .stack td { display: block; border: 0; padding: 1px 0; text-align: left; }
      .stack td.why { width: auto; } .stack td.n { display: inline-block; margin-right: 16px; } .stack td, .stack td.job .id { max-width: 100%; min-width: 0; overflow-wrap: anywhere; }
      .tile:last-child:nth-child(odd) { grid-column: 1 / -1; }
      .stack td[data-l]::before { content: attr(data-l) " "; color: var(--soft); } .stack td:empty, .stack td.n:empty { display: none; }
      dl { grid-template-columns: 1fr; gap: 2px; } dd { margin-bottom: 8px; } }
    """
}
