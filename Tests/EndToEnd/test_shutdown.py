"""Ending at every stage: before it serves, idle, with work, beyond the time for it, in trouble, and told twice."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

import wire
from wire import u64

DRAINED, USAGE, UNREACHABLE, NO_SANDBOX, NO_STORE, FORCED = 0, 64, 69, 72, 74, 75


def nub(*arguments: str) -> subprocess.CompletedProcess:
    engine = ["--engine", os.environ.get("NUB_ENGINE", "kvm")]
    return subprocess.run(
        [os.environ["NUB_BIN"], *arguments, *engine], capture_output=True, text=True, timeout=60
    )


def spin(milliseconds: int, **more) -> list[bytes]:
    return wire.call(wire.SPIN, u64(milliseconds * 1000), **more)


@pytest.mark.parametrize("milliseconds", [0, 5, 20, 50, 100, 300])
def test_a_signal_before_it_serves_is_not_forgotten(make_worker, milliseconds):
    worker = make_worker(start=False).start(wait=False)
    time.sleep(milliseconds / 1000)
    worker.terminate()
    # Before the program has begun to listen for signals there is nothing to drain, and the signal ends it as any other program.
    assert worker.wait() in (DRAINED, -signal.SIGTERM)
    worker.start()
    assert worker.producer().call(wire.ECHO, b"unharmed").status == wire.OK


@pytest.mark.kvm
def test_what_is_queued_is_finished(make_worker):
    worker = make_worker(lanes=1)
    producer = worker.producer()
    jobs = [spin(500)] + [wire.call(wire.ECHO, b"queued %d" % i) for i in range(50)]
    ids = [producer.send(frames) for frames in jobs]
    assert producer.ping()
    worker.terminate()
    statuses = {reply.id: reply.status for reply in (producer.receive() for _ in ids)}
    assert statuses == {id: wire.OK for id in ids}
    assert worker.wait() == DRAINED


@pytest.mark.kvm
def test_what_runs_longer_than_the_drain_may_take_is_given_back(make_worker):
    worker = make_worker(lanes=1, start=False)
    worker.arguments = ["--drain-timeout", "1"]
    worker.start()
    producer, push, sink = worker.producer(), worker.push(), worker.sink()
    journaled = wire.call(wire.ECHO, b"journaled")
    direct = producer.send(spin(30_000))
    assert producer.ping()
    push.send_multipart(journaled)
    deadline = time.monotonic() + 30
    while rows(worker) == 0:
        assert time.monotonic() < deadline, "the pulled job never reached the journal"
        time.sleep(0.01)
    began = time.monotonic()
    worker.terminate()
    reply = producer.receive()
    assert (reply.id, reply.status) == (direct, wire.UNAVAILABLE)
    assert worker.wait() == DRAINED
    assert time.monotonic() - began < 25, "it did not wait for the job"
    assert rows(worker) == 1, "what was pulled stays in the journal"
    worker.start()
    again = sink.receive()
    assert (again.id, again.status) == (journaled[2], wire.OK)
    push.close()


@pytest.mark.kvm
def test_the_second_signal_ends_at_once_and_says_so(make_worker):
    worker = make_worker(lanes=1, start=False)
    worker.arguments = ["--drain-timeout", "3600"]
    worker.start()
    producer = worker.producer()
    running = producer.send(spin(50_000))
    queued = producer.send(wire.call(wire.ECHO, b"queued"))
    assert producer.ping()
    began = time.monotonic()
    worker.terminate()
    # Refused: the first one has been understood.
    while True:
        id = producer.send(wire.call(wire.ECHO, b"late"))
        reply = producer.receive() if producer.socket.poll(100) else None
        if reply is not None and reply.id == id and reply.status == wire.UNAVAILABLE:
            break
        assert time.monotonic() - began < 30
    worker.process.send_signal(signal.SIGINT)
    assert worker.wait() == FORCED
    assert time.monotonic() - began < 30
    statuses = {}
    while producer.socket.poll(500):
        reply = wire.parse(producer.socket.recv_multipart())
        statuses[reply.id] = reply.status
    assert statuses[running] == wire.UNAVAILABLE and statuses[queued] == wire.UNAVAILABLE
    worker.start()
    assert worker.producer().ask(wire.call(wire.ECHO, b"queued", id=queued)).status == wire.OK


@pytest.mark.parametrize("signals, status, seconds", [(1, {DRAINED, FORCED}, 17), (2, {FORCED}, 6)])
def test_a_lock_on_the_store_holds_up_no_end(make_worker, signals, status, seconds):
    worker = make_worker(start=False)
    worker.arguments = ["--drain-timeout", "2"]
    worker.start()
    producer = worker.producer()
    assert producer.call(wire.ECHO, b"before").status == wire.OK
    other = sqlite3.connect(worker.store, isolation_level=None, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    try:
        id = producer.send(wire.call(wire.ECHO, b"cannot be recorded"))
        began = time.monotonic()
        worker.terminate()
        if signals == 2:
            time.sleep(0.5)
            worker.terminate()
        assert worker.wait() in status
        # What the code promises, and as much again for a machine that is busy.
        assert time.monotonic() - began < 2 * seconds
        if producer.socket.poll(500):
            reply = producer.receive()
            assert reply.id == id and reply.status == wire.UNAVAILABLE, "not recorded, so not done"
    finally:
        other.execute("ROLLBACK")
        other.close()
    worker.start()
    assert worker.producer().call(wire.ECHO, b"cannot be recorded", id=id).status == wire.OK


def test_a_lock_on_the_store_before_it_serves_holds_up_no_end(make_worker):
    worker = make_worker()
    worker.terminate()
    assert worker.wait() == DRAINED
    other = sqlite3.connect(worker.store, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        worker.start(wait=False)
        time.sleep(1)
        worker.terminate()
        time.sleep(0.2)
        worker.terminate()
        # Whether it has given up on the store, was told twice, or came through in between.
        assert worker.wait(40) in (DRAINED, NO_STORE, FORCED)
    finally:
        other.close()


def rows(worker) -> int:
    database = worker.database()
    try:
        return database.execute("SELECT count(*) FROM journal").fetchone()[0]
    finally:
        database.close()


def test_each_cause_has_its_exit_status(scratch, tmp_path):
    store = ["--store", str(tmp_path / "s.db"), "--control", "off"]
    door = ["--serve", f"ipc://{scratch}/status"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        causes = [
            (USAGE, ["worker", "--lanes", "none"], "lanes"),
            (USAGE, ["worker", "--serve", "tcp://0.0.0.0:1"], "insecure"),
            (USAGE, ["worker", *store, *door, "--http", "0.0.0.0:0"], "--http-insecure"),
            (USAGE, ["worker", *store, *door, "--max-memory", "1"], "67108864"),
            (USAGE, ["worker", *store, *door, "--guest", "/etc/passwd"], "guest image"),
            (USAGE, ["worker", *store, *door, "--guest-heap", "3000000"], "2 MiB"),
            (USAGE, ["worker", *store, *door, "--user", "no-such-user"], "no-such-user"),
            (UNREACHABLE, ["worker", *store, "--serve", f"tcp://127.0.0.1:{port}"], f"{port}: Address already in use"),
            (UNREACHABLE, ["worker", *store, "--serve", f"tcp://127.0.0.1:{port}"], "ss -ltnp"),
            (UNREACHABLE, ["worker", *store, *door, "--http", str(port)], str(port)),
            (NO_STORE, ["worker", "--store", f"{tmp_path}/none/s.db", *door, "--control", "off"], "none/s.db"),
        ]
        for status, arguments, word in causes:
            done = nub(*arguments)
            assert done.returncode == status, (arguments, done.stderr)
            assert word in done.stderr, done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments in (["--bind", f"tcp://127.0.0.1:{port}"], ["--bind", f"ipc://{scratch}/b", "--http", str(port)]):
            done = broker(*arguments)
            assert done.returncode == UNREACHABLE and str(port) in done.stderr, done.stderr
    for arguments, word in [
        (["--bind", "foo"], "not an endpoint"), (["--bind", "tcp://127.0.0.1:99999"], "99999"),
        (["--bind", "@tcp://127.0.0.1:0"], "binds every"), (["--max-memory", "1"], "67108864"),
        (["--curve-secret", "none", "--authorized-keys", "none"], "none"),
    ]:
        done = broker(*arguments)
        assert done.returncode == USAGE and word in done.stderr, (arguments, done.stderr)


def broker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([os.environ["NUB_BIN"], "broker", *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.kvm
def test_without_kvm_it_says_so_and_ends(scratch, tmp_path):
    hide = "mount --bind /dev/null /dev/kvm"
    if subprocess.run(["unshare", "--mount", "sh", "-c", hide], capture_output=True).returncode != 0:
        pytest.skip("needs root and unshare(1), to hide /dev/kvm")
    command = f'{hide} && exec "$0" worker --store {tmp_path}/s.db --serve ipc://{scratch}/nokvm --engine kvm'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, os.environ["NUB_BIN"]],
        capture_output=True, text=True, timeout=60,
    )
    assert done.returncode == NO_SANDBOX and "KVM" in done.stderr, (done.returncode, done.stderr)


def test_a_broker_drains_and_is_told_twice(scratch):
    def broker(*signals: int) -> int:
        process = subprocess.Popen(
            [os.environ["NUB_BIN"], "broker", "--bind", f"ipc://{scratch}/twice", "--drain-timeout", "60"],
            stderr=subprocess.PIPE, text=True,
        )
        assert any("serving" in line for line in process.stderr)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.3)
        return process.wait(30)

    assert broker(signal.SIGHUP, signal.SIGTERM) == DRAINED
