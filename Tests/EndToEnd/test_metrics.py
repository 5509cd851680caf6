"""`/metrics` of a real worker: Prometheus' own checker has nothing to say, and everything promised is there."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

import ssz
import wire
from conftest import Worker


@pytest.mark.parametrize(
    "path, said",
    [
        ("/jobs?status=zz", "left out: status. This page takes tenant, function, failed, after."),
        ("/jobs?tenant=a&nonsense=%3Cscript%3E&failed=2", "left out: nonsense, failed=2."),
        ("/jobs?after=zz", "left out: after=zz."), ("/jobs?tenant=%ff", "left out: tenant."),
        ("/jobs?%3Cb%3E=1", "left out: &lt;b&gt;."), ("/caps?kind=data", "left out: kind. This page takes after."),
        ("/jobs?tenant=a&function=echo&failed=1", None), ("/jobs", None), ("/caps", None), ("/jobs?tenant=&failed=1", None),
    ],
)
def test_a_page_says_what_it_does_not_filter_by(page_of, path, said):
    page = page_of(path)
    assert "<script>" not in page.split("<main", 1)[-1]
    assert (said in page) if said else ("left out" not in page), page


@pytest.fixture(scope="module")
def page_of(scratch):
    """Reads a page of a worker."""
    directory = scratch / "filters"
    directory.mkdir()
    worker = Worker(directory, lanes=1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker.arguments = ["--http", str(port)]
    worker.start()

    def read(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.read().decode()

    yield read
    worker.close()


@pytest.fixture
def scraped(make_worker):
    worker = make_worker(start=False)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker.arguments = ["--http", str(port), "--broker", f"ipc://{worker.directory}/broker", "--service", "s"]
    worker.start()
    producer = worker.producer()
    form, root = ssz.data(b"metrics " + wire.new_id())
    id = wire.new_id()
    assert producer.call(wire.ECHO, b"x", id=id).status == wire.OK
    assert producer.call(wire.ECHO, b"x", id=id).duplicate
    assert producer.call(wire.FAIL, wire.u32(3) + b"no", options={"tenant": 'a"b\\c\nd'}).status == wire.GUEST_ERROR
    assert producer.put(form).status == wire.OK
    assert producer.put(b"", root).status == wire.OK
    assert producer.job("get_cap", b"\1" * 32).status == wire.NOT_FOUND
    producer.socket.send_multipart([b"nonsense"])
    assert producer.ping()

    def scrape() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            return answer.read().decode()

    deadline = time.monotonic() + 30
    while 'nub_messages_malformed_total 1' not in (text := scrape()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return text


def value(text: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.M)
    assert found, series
    return float(found[1])


def test_promtool_has_nothing_to_say(scraped):
    # Where ops/setup puts it.
    tools = Path(__file__).parents[2] / ".build" / "tools"
    promtool = shutil.which("promtool") or shutil.which("promtool", path=str(tools))
    if promtool is None:
        pytest.skip("no promtool: it is in Debian's package prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=scraped, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_everything_promised_is_there(scraped):
    counts = {
        'nub_jobs_total{status="ok",verb="call"}': 1,
        'nub_jobs_total{status="guest_error",verb="call"}': 1,
        'nub_jobs_total{status="ok",verb="put_cap"}': 1,
        'nub_jobs_total{status="not_found",verb="get_cap"}': 1,
        "nub_jobs_duplicate_total": 1,
        "nub_puts_total": 1,
        "nub_puts_skipped_total": 1,
        "nub_messages_malformed_total": 1,
        "nub_replies_undeliverable_total": 0,
        "nub_fleet_reconnects_total": 0,
        "nub_jobs_in_flight": 0,
    }
    for series, least in counts.items():
        assert value(scraped, series) >= least, series
    for door in ("direct", "pipeline"):
        assert value(scraped, f'nub_replies_waiting{{door="{door}"}}') == 0
    for priority in range(10):
        for name in ("nub_queue_jobs", "nub_queue_oldest_seconds"):
            value(scraped, f'{name}{{priority="{priority}"}}')
    for name in ("nub_job_queue_duration_seconds", "nub_job_run_duration_seconds", "nub_job_duration_seconds"):
        assert value(scraped, f"{name}_count") >= 2
        assert value(scraped, f'{name}_bucket{{le="+Inf"}}') == value(scraped, f"{name}_count")
    assert value(scraped, "nub_commit_duration_seconds_count") >= 1
    assert value(scraped, "nub_received_bytes_total") > 0 and value(scraped, "nub_sent_bytes_total") > 0
    assert re.search(r'^nub_sandboxes\{.*state="', scraped, re.M), "sandboxes by state"
    assert value(scraped, "nub_ready") == value(scraped, "nub_live") == 1
    assert "# HELP nub_jobs_total " in scraped and "# TYPE nub_jobs_total counter" in scraped


def test_without_http_nothing_listens(make_worker):
    worker = make_worker()
    with open("/proc/net/tcp") as table:
        listening = {line.split()[9] for line in table.readlines()[1:] if line.split()[3] == "0A"}
    import os

    sockets = set()
    for entry in os.listdir(f"/proc/{worker.process.pid}/fd"):
        try:
            target = os.readlink(f"/proc/{worker.process.pid}/fd/{entry}")
        except OSError:
            continue
        if target.startswith("socket:["):
            sockets.add(target[8:-1])
    assert not sockets & listening
