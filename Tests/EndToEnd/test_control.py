"""`nub worker ctl`: one's own workers, and nobody else's."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import zmq

import wire

NOBODY_THERE = 69


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [os.environ["NUB_BIN"], "worker", "ctl", *arguments], capture_output=True, text=True, timeout=60
    )


def ctl(worker, *arguments: str) -> list[dict]:
    done = run(*arguments, "--json", "--store", str(worker.store))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def eventually(condition, what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def phase(worker) -> str:
    return ctl(worker, "status")[0]["status"]["phase"]


def test_status_tells_people_and_programs(make_worker):
    worker = make_worker()
    assert worker.producer().call(wire.ECHO, b"one").status == wire.OK
    eventually(lambda: ctl(worker, "status")[0]["status"]["succeeded"] == 1, "the job is counted")
    status = ctl(worker)[0]["status"]
    assert status["pid"] == worker.process.pid and status["phase"] == "serving" and status["ready"] and status["live"]
    assert status["lanes"] == 2 and status["endpoints"][0] == worker.serve
    text = run("status", "--store", str(worker.store)).stdout
    assert f"serving, pid {worker.process.pid}, ready" in text and "1 succeeded" in text


def test_quiet_takes_nothing_new_until_resume(make_worker):
    worker = make_worker()
    producer, push, sink = worker.producer(), worker.push(), worker.sink()
    assert producer.ping()
    ctl(worker, "quiet")
    eventually(lambda: phase(worker) == "quiet", "it is quiet")
    refused = producer.call(wire.ECHO, b"refused")
    assert refused.status == wire.UNAVAILABLE and refused.meta["retry_after_ms"] > 0
    push.send_multipart(wire.call(wire.ECHO, b"later"))
    assert not sink.socket.poll(500), "the pipeline is not read"
    ctl(worker, "resume")
    assert sink.receive().body == b"later"
    assert phase(worker) == "serving"
    assert producer.call(wire.ECHO, b"again").status == wire.OK
    push.close()


def test_drain_is_the_first_signal(make_worker):
    worker = make_worker(lanes=1)
    producer = worker.producer()
    running = producer.send(wire.call(wire.SPIN, wire.u64(300_000)))
    assert producer.ping()
    assert "ends" in ctl(worker, "drain")[0]["note"]
    reply = producer.receive()
    assert (reply.id, reply.status) == (running, wire.OK)
    assert worker.wait() == 0
    done = run("status", "--store", str(worker.store))
    assert done.returncode == NOBODY_THERE and "no worker" in done.stderr


def test_reload_and_sighup_read_the_keys_and_change_nothing_else(make_worker):
    worker = make_worker()
    assert "keys" in ctl(worker, "reload")[0]["note"]
    for _ in range(20):
        worker.process.send_signal(signal.SIGHUP)
    assert worker.producer().call(wire.ECHO, b"unmoved").status == wire.OK


@pytest.mark.kvm
def test_dump_writes_down_what_runs(make_worker, scratch):
    dumps = scratch / f"asked-{os.urandom(4).hex()}"
    dumps.mkdir()
    worker = make_worker(start=False)
    worker.arguments = ["--crash-dumps", str(dumps)]
    worker.start()
    assert ctl(worker, "dump")[0]["note"].startswith("no guest runs")
    producer = worker.producer()
    id = producer.send(wire.call(wire.SPIN, wire.u64(3_000_000)))
    written: list[str] = []

    def asked() -> bool:
        written.extend(ctl(worker, "dump")[0]["dumps"])
        return bool(written)

    eventually(asked, "a guest that runs is written down")
    assert [str(path) for path in dumps.iterdir()] == written
    assert stat.S_IMODE(os.stat(written[0]).st_mode) == 0o600
    assert Path(written[0]).read_bytes()[:4] == b"\x7fELF"
    reply = producer.receive()
    assert (reply.id, reply.status) == (id, wire.OK), "it goes on"
    # Only where the worker was told where to.
    other = make_worker()
    done = run("dump", "--store", str(other.store))
    assert done.returncode == 1 and "--crash-dumps" in done.stderr and done.stdout == ""


def test_workers_of_one_store_are_told_apart(make_worker):
    first = make_worker(start=False)
    first.arguments = ["--name", "first"]
    first.start()
    second = make_worker(start=False)
    second.store, second.arguments = first.store, ["--name", "second"]
    second.start()
    assert sorted(reply["status"]["name"] for reply in ctl(first)) == ["first", "second"]
    done = run("quiet", "--store", str(first.store))
    assert done.returncode == NOBODY_THERE and "first" in done.stderr and "second" in done.stderr
    assert [reply["status"]["name"] for reply in ctl(first, "quiet", "--worker", "second")] == ["second"]
    eventually(
        lambda: {r["status"]["name"]: r["status"]["phase"] for r in ctl(first)}
        == {"first": "serving", "second": "quiet"},
        "one of them is quiet",
    )
    assert len(ctl(first, "drain", "--all")) == 2
    assert (first.wait(), second.wait()) == (0, 0)


def test_one_that_does_not_answer_keeps_nobody_from_the_others(make_worker):
    workers = []
    for name in ("first", "second"):
        workers.append(make_worker(start=False))
        workers[-1].store, workers[-1].arguments = workers[0].store, ["--name", name]
        workers[-1].start()
    first, second = workers
    first.process.send_signal(signal.SIGSTOP)
    try:
        assert [reply["status"]["name"] for reply in ctl(first, "quiet", "--worker", "second")] == ["second"]
        done = run("drain", "--all", "--store", str(first.store))
        assert done.returncode == NOBODY_THERE and "did not answer" in done.stderr
        assert second.wait() == 0
    finally:
        first.process.send_signal(signal.SIGCONT)
    assert ctl(first)[0]["status"]["name"] == "first"


def test_a_killed_workers_socket_is_taken_over(make_worker):
    worker = make_worker()
    directory = Path(f"{worker.store}.control")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "0").stat().st_mode) == 0o600
    worker.kill()
    assert (directory / "0").exists()
    assert run("status", "--store", str(worker.store)).returncode == NOBODY_THERE
    worker.start()
    assert phase(worker) == "serving"
    assert sorted(path.name for path in directory.iterdir()) == ["0", "0.lock"]


def test_a_path_of_its_own_is_one_workers(make_worker, scratch):
    path = scratch / "named"
    worker = make_worker(start=False)
    worker.arguments = ["--control", str(path)]
    worker.start()
    done = run("--json", "--control", str(path))
    assert json.loads(done.stdout)["status"]["pid"] == worker.process.pid
    other = make_worker(start=False)
    other.arguments = ["--control", str(path)]
    other.start(wait=False)
    assert other.wait() == NOBODY_THERE and "another worker" in other.log.read_text()
    assert run("--control", str(path)).returncode == 0, "the first one has kept its socket"
    assert not Path(f"{worker.store}.control").exists()


def test_off_is_off_and_a_long_path_is_no_obstacle(make_worker, scratch):
    worker = make_worker(start=False)
    worker.arguments = ["--control", "off"]
    worker.start()
    assert not Path(f"{worker.store}.control").exists()
    assert run("status", "--store", str(worker.store)).returncode == NOBODY_THERE
    deep = scratch / ("d" * 100)
    deep.mkdir()
    other = make_worker(start=False)
    other.store = deep / "nub.sqlite"
    other.start()
    assert phase(other) == "serving"


def test_what_is_there_and_is_no_socket_is_left_alone(make_worker, scratch):
    path = scratch / "letter"
    path.write_text("dear grandmother")
    worker = make_worker(start=False)
    worker.arguments = ["--control", str(path)]
    worker.start(wait=False)
    assert worker.wait() == 64
    assert path.read_text() == "dear grandmother"
    # A directory that others may write to is not trusted; without a promise the worker does without.
    open_one = make_worker(start=False)
    Path(f"{open_one.store}.control").mkdir(mode=0o755)
    Path(f"{open_one.store}.control").chmod(0o755)
    open_one.start()
    assert "nub worker ctl will not reach this worker" in open_one.log.read_text()


def test_nonsense_is_answered_or_dropped_and_the_worker_goes_on(make_worker):
    worker = make_worker()
    path = f"{worker.store}.control/0"
    if len(path) > 107:
        pytest.skip("the path is too long for this test's own socket")
    for noise in (b"", b"\0" * 4096, b"GET / HTTP/1.1\r\n\r\n", os.urandom(1 << 16)):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(2)
            raw.connect(path)
            try:
                raw.sendall(noise)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(4096):
                    pass
            except OSError:
                pass
    for frames in ([b"dance"], [b""], [b"status", b"quiet"], [b"\xff\xfe"], [b"x" * 64], [b"x" * 65], [b"x" * (1 << 20)]):
        asker = worker.context.socket(zmq.REQ)
        asker.setsockopt(zmq.LINGER, 0)
        asker.connect(f"ipc://{path}")
        asker.send_multipart(frames)
        if asker.poll(300 if sum(map(len, frames)) > 64 else 10_000):
            assert json.loads(asker.recv())["error"].startswith("unknown command")
        else:
            assert sum(map(len, frames)) > 64, "too large: cut off"
        asker.close()
    assert phase(worker) == "serving"
    assert worker.producer().call(wire.ECHO, b"unmoved").status == wire.OK


def test_another_user_is_not_let_in(make_worker, scratch):
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    directory = scratch / "open"
    directory.mkdir()
    scratch.chmod(0o755)
    worker = make_worker(start=False)
    worker.arguments = ["--control", str(directory / "c")]
    worker.start()
    # As if somebody had opened it: then it is the kernel's word that counts.
    for mode in (0o600, 0o777):
        (directory / "c").chmod(mode)
        child = os.fork()
        if child == 0:
            os.setgid(65534)
            os.setuid(65534)
            asker = zmq.Context().socket(zmq.REQ)
            asker.setsockopt(zmq.LINGER, 0)
            asker.connect(f"ipc://{directory}/c")
            asker.send(b"drain")
            os._exit(1 if asker.poll(1_500) else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "nobody was answered"
    assert worker.alive()
    assert run("--control", str(directory / "c")).returncode == 0


def test_probes_and_control_agree_through_a_drain(make_worker):
    worker = make_worker(lanes=1, start=False)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker.arguments = ["--http", str(port), "--drain-timeout", "60"]
    worker.start()

    def probe(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    assert probe("/readyz") == (200, "ok\n")
    producer = worker.producer()
    producer.send(wire.call(wire.SPIN, wire.u64(3_000_000)))
    assert producer.ping()
    ctl(worker, "drain")
    eventually(lambda: probe("/readyz") == (503, "draining\n"), "it says that it drains")
    assert probe("/livez") == (200, "ok\n") and phase(worker) == "draining"
    assert producer.receive().status == wire.OK
    assert worker.wait() == 0
