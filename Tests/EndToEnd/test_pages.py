"""The operator's pages in a real browser, on a store with real jobs and names that mean harm. Pictures go where E2E_SHOTS says."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

import browser
import ssz
import wire

pytestmark = pytest.mark.skipif(
    browser.PROGRAM is None, reason="no Chromium: `ops/setup --browser` installs it"
)

HOSTILE = [
    "<script>window.harmed=1</script>",
    '"><img src=x onerror="window.harmed=1">',
    "\u202eelbatset a ton si siht",
    "a" * 64,
    "tenant\nwith\tlines",
    "🦀 crabs & <b>bold</b>",
]


@pytest.fixture(scope="module")
def site(scratch):
    from conftest import Worker

    directory = scratch / "pages"
    directory.mkdir()
    worker = Worker(directory, lanes=3)
    with socket.create_server(("127.0.0.1", 0)) as free:
        worker.port = free.getsockname()[1]
    worker.arguments = ["--http", str(worker.port), "--name", "press-4"]
    worker.start()
    producer = worker.producer()
    for index, tenant in enumerate(HOSTILE + ["billing", "search", "maps"]):
        options = {"tenant": tenant}
        assert producer.call(wire.ECHO, b"fine", options=options, id=f"invoice-{index}".encode()).status == wire.OK
        message = f"cannot parse row {index}: {tenant}".encode()
        failed = producer.call(wire.FAIL, wire.u32(40 + index) + message, options=options)
        assert failed.status == wire.GUEST_ERROR
    for index in range(60):
        producer.call(wire.SHA256, b"%d" % index)
    assert producer.call(wire.ECHO, b"found me", id=b"<i>job & co</i>").status == wire.OK
    assert producer.call(wire.FAIL, wire.u32(7) + b"<script>window.harmed=1</script>", id=b"failure-1").status == 3
    worker.cap = ssz.data(b"a cap")[1]
    assert producer.put(ssz.data(b"a cap")[0]).status == wire.OK
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def page():
    opened = browser.Browser()
    yield opened
    opened.close()


def shoot(page, name: str) -> None:
    if folder := os.environ.get("E2E_SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.picture(Path(folder) / f"{name}.png")


PATHS = {
    "overview": "/",
    "jobs": "/jobs",
    "failed": "/jobs?failed=1",
    "tenant": "/jobs?tenant=%3Cscript%3Ewindow.harmed%3D1%3C%2Fscript%3E",
    "job": "/job?id=failure-1",
    "caps": "/caps",
    "missing": "/search?q=%3Cscript%3Ewindow.harmed%3D1%3C%2Fscript%3E",
}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("width, dark", [(1280, False), (1280, True), (390, False)])
def test_every_page_fits_is_quiet_and_unharmed(site, page, name, width, dark):
    page.size(width, dark=dark)
    page.complaints.clear()
    page.open(f"http://127.0.0.1:{site.port}{PATHS[name]}")
    assert page.ask("window.harmed") is None
    # A page that is not there is an error to the browser, too.
    assert [text for text in page.complaints if "404" not in text] == []
    assert page.ask("document.documentElement.scrollWidth <= innerWidth"), "nothing to scroll sideways"
    cut = "[...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth).length"
    assert page.ask(cut) == 0, "no table is cut off"
    # An id that is broken into many lines is nobody's to read.
    tall = "[...document.querySelectorAll('td.job .id')].filter(e => e.getClientRects()[0].height > 30).length"
    assert page.ask(tall) == 0
    assert page.ask("document.querySelectorAll('main script, main style, main img').length") == 0
    # The smallest text is 12 pixels, and everything that is clicked can be hit.
    sizes = "[...document.querySelectorAll('main *')].filter(e => e.innerText).map(e => parseFloat(getComputedStyle(e).fontSize))"
    assert page.ask(f"Math.min(99, ...{sizes})") >= 12
    shoot(page, f"{name}-{width}{'-dark' if dark else ''}")


def test_the_overview_says_what_runs_what_failed_and_why(site, page):
    producer = site.producer()
    running = producer.send(wire.call(wire.SPIN, wire.u64(0), id=b"long-one", options={"tenant": "maps"}))
    page.size(1280)
    page.open(f"http://127.0.0.1:{site.port}/")
    page.wait_for("document.body.innerText.includes('long-one')")
    text = page.text()
    for word in ("press-4", "serving", "cannot parse row 8: maps", "guest_error", "jobs per second", "spin"):
        assert word in text, word
    assert HOSTILE[0] in text, "shown as the text that it is"
    assert "\u202e" not in text, "what turns writing around is written out"
    shoot(page, "overview-busy")
    page.size(390)
    shoot(page, "overview-busy-390")
    assert site.producer().job("cancel", b"", running, options={"tenant": "maps"}).status == wire.OK
    assert producer.receive().id == running


def test_the_overview_renews_itself_in_place(site, page):
    page.size(1280)
    page.open(f"http://127.0.0.1:{site.port}/")
    page.ask("window.kept = true; document.querySelector('input[name=q]').value = 'half typed'")
    site.producer().call(wire.FAIL, wire.u32(9) + b"brand new trouble")
    page.wait_for("document.body.innerText.includes('brand new trouble')")
    assert page.ask("window.kept && document.querySelector('input[name=q]').value") == "half typed"


def test_everything_is_there_without_scripts(site, page):
    page.size(1280, scripts=False)
    try:
        page.open(f"http://127.0.0.1:{site.port}/")
        source = page.tell("DOM.getDocument", depth=-1)
        html = page.tell("DOM.getOuterHTML", nodeId=source["root"]["nodeId"])["outerHTML"]
        assert "cannot parse row 8: maps" in html and 'http-equiv="refresh"' in html
        shoot(page, "overview-without-scripts")
    finally:
        page.size(1280)


@pytest.mark.parametrize("what", ["job", "hex", "hash", "markup"])
def test_search_finds_by_id_and_hash(site, page, what):
    term, wanted = {
        "job": ("failure-1", "guest_error"),
        "hex": ("0x" + b"failure-1".hex(), "guest_error"),
        "hash": (site.cap.hex(), "Referred to by"),
        "markup": ("<i>job & co</i>", "found me"),
    }[what]
    page.size(1280)
    page.open(f"http://127.0.0.1:{site.port}/")
    page.ask("document.querySelector('input[name=q]').focus()")
    page.type(term)
    text = page.text()
    assert wanted in text, text
    assert page.ask("document.querySelector('input[name=q]').value")
    shoot(page, f"search-{what}")


def test_older_results_are_a_link_away(site, page):
    page.size(1280)
    page.open(f"http://127.0.0.1:{site.port}/jobs")
    first = page.ask("document.querySelector('main tr:nth-child(2) a').href")
    older = page.ask("[...document.querySelectorAll('main a')].find(a => a.innerText.startsWith('older'))?.href")
    assert older and re.search(r"after=", older)
    page.open(older)
    assert page.ask("document.querySelector('main tr:nth-child(2) a').href") != first
