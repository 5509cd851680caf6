"""The watchdog: a thread that stands still is seen from outside, by name, and so is its recovery."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request

import pytest

import wire
from conftest import needs_failpoints

TAKEN, COMMITTING, ACCEPTED = 2, 4, 1


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@needs_failpoints
@pytest.mark.parametrize(
    "point, verb, who",
    [
        (TAKEN, "call", "lane 0"),
        # A lane may commit by itself, and then it is the lane that holds on, and the committer that waits for it.
        (COMMITTING, "call", "commits"),
        (COMMITTING, "pipeline", "commits"),
        (ACCEPTED, "call", "doors"),
    ],
)
def test_whoever_stands_still_is_named_until_it_goes_on(make_worker, scratch, point, verb, who):
    held = scratch / f"held-{point}-{verb}"
    held.touch()
    worker = make_worker(lanes=1, start=False)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker.arguments = ["--http", str(port), "--stall-timeout", "1", "--max-run", "500"]
    worker.environment = {"NUB_WORKER_FAILPOINT": f"{point}:1:{held}"}
    worker.start(wait=False)
    deadline = time.monotonic() + 30
    while True:
        try:
            assert ask(port, "/livez")[0] == 200
            break
        except urllib.error.URLError:
            assert worker.alive() and time.monotonic() < deadline
            time.sleep(0.05)
    producer = worker.producer()
    if verb == "pipeline":
        push = worker.push()
        push.send_multipart(wire.call(wire.ECHO, b"held"))
    else:
        push = None
        id = producer.send(wire.call(wire.ECHO, b"held"))
    while True:
        status, text = ask(port, "/livez")
        if status == 503 and who in text:
            break
        assert time.monotonic() < deadline, (status, text)
        time.sleep(0.1)
    assert ask(port, "/readyz")[0] == 503
    metrics = ask(port, "/metrics")[1]
    assert "\nnub_live 0\n" in metrics and "\nnub_stuck_threads 0\n" not in metrics
    assert who in ask(port, "/")[1], "the page names it, too"
    held.unlink()
    while ask(port, "/livez")[0] != 200:
        assert time.monotonic() < deadline + 30
        time.sleep(0.1)
    if push is None:
        assert producer.receive().id == id
    else:
        assert worker.sink().receive().body == b"held"
        push.close()
    assert ask(port, "/readyz") == (200, "ok\n")
    worker.terminate()
    assert worker.wait() == 0
