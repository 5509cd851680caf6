"""Peers that send more than is read at once, a PING behind it, and hang up: libzmq 4.3.4 ends the process if it had stopped reading
them (docs/decisions/0412). So doors that answer never stop reading, and what stays is at the pipeline alone."""

from __future__ import annotations

import struct
import tempfile
import time
from pathlib import Path

import pytest
import zmq

import mdp_peers
import watch
import wire
from zmtp import RawPeer

pytestmark = pytest.mark.kvm

# libzmq reads 8 KiB at a time, so more messages than any high-water mark come with one read, and the PING with them.
TINY = b"\x00\x00" * 3_000
PING = RawPeer.command(b"PING", struct.pack(">H", 0) + b"context")


def hang_up(endpoint: str, kind: str, sent: bytes = TINY + PING + TINY + PING) -> None:
    try:
        peer = RawPeer(endpoint, kind)
        peer.socket.sendall(sent)
        peer.close()
    except OSError:
        pass  # That nobody answers any more is what the tests look at.


@pytest.mark.parametrize("kind", ["DEALER", "REQ"])
def test_direct_door(make_worker, kind):
    worker = make_worker(1, arguments=["--max-sandboxes", "1"])
    good = worker.producer()
    for round in range(300):
        hang_up(worker.serve, kind)
        assert worker.alive(), f"after {round} hang-ups:\n{worker.log.read_text()[-2000:]}"
    assert good.call(wire.ECHO, b"x").body == b"x"
    assert worker.alive()


def test_broker(scratch):
    broker = mdp_peers.Broker(Path(tempfile.mkdtemp(dir=scratch))).start()
    try:
        broker.worker(b"echo")
        client = broker.client()
        broker.await_service(client, b"echo")
        for round in range(300):
            hang_up(broker.endpoint, "DEALER")
            assert broker.process.poll() is None, f"after {round} hang-ups:\n{broker.log.read_text()[-2000:]}"
        assert client.ask_again(b"echo", [b"x"]) == [b"x"]
    finally:
        broker.close()


def test_collectors_that_send(make_worker):
    """Nobody reads what comes in where replies go out, so it stays held up for as long as the worker lives."""
    worker = make_worker(1, arguments=["--max-sandboxes", "1"])
    for _ in range(3):
        hang_up(worker.replies, "PULL")
    time.sleep(6)  # Longer than the interval of heartbeats, which would end the process.
    assert worker.alive(), worker.log.read_text()[-2000:]
    assert worker.producer().ping()


def test_a_pipeline_that_is_held_up_loses_nothing_that_it_had(make_worker):
    """A pipeline must stop reading, so with this libzmq the process ends here; with a corrected one it goes on. Either way nothing that
    was journaled or answered is lost, and the rest can be pushed again."""
    worker = make_worker(1, arguments=["--max-sandboxes", "1"])
    push, sink = worker.push(), worker.sink()
    # Over what a pipeline takes at once (docs/decisions/0431), so it stops; together they take a second and more.
    cap = b"\x02\x04\x00\x00\x00" + bytes(64 << 10)
    jobs = [wire.call(wire.SPIN, wire.u64(20_000), caps=[cap]) for _ in range(100)]
    for frames in jobs:
        push.send_multipart(frames)
    answers = {}

    def take(wait_ms: int) -> None:
        while sink.socket.poll(wait_ms):
            reply = wire.parse(sink.socket.recv_multipart())
            assert reply.status == wire.OK
            assert answers.setdefault(reply.id, reply.body) == reply.body, "two results of one job"

    def journaled() -> set[bytes]:
        rows = [row[0] for row in worker.database().execute("SELECT jobs FROM journal")]
        return {frames[2] for frames in jobs if any(frames[2] in row for row in rows)}

    deadline = time.monotonic() + wire.PATIENCE_MS / 1000
    while len(journaled()) < 60 and len(answers) < 20:
        assert time.monotonic() < deadline, "never journaled"
        take(10)
    hang_up(worker.jobs, "PUSH")
    while worker.alive() and len(answers) < len(jobs):
        assert time.monotonic() < deadline, f"{len(answers)} of {len(jobs)} jobs were answered"
        take(50)
    take(0)
    ended = not worker.alive()
    print("the worker ended" if ended else "the worker went on", "after", len(answers), "answers")
    if ended:
        assert "!_io_error" in worker.log.read_text(), worker.log.read_text()[-2000:]
        kept = journaled() | set(answers)
        worker.start()
        while not kept <= set(answers):
            assert time.monotonic() < deadline, f"{len(kept - set(answers))} of {len(kept)} jobs were lost"
            take(50)
    # What was only in libzmq's buffers is the producer's to push again; what was done is not done again.
    producer = worker.producer()
    for frames in jobs:
        reply = producer.ask(frames)
        assert reply.status == wire.OK
        assert reply.body == answers.get(reply.id, reply.body)
    recorded = worker.database().execute("SELECT count(*), count(DISTINCT job_id) FROM jobs WHERE function = ?", [wire.SPIN])
    assert recorded.fetchone() == (len(jobs), len(jobs))
    push.close(0)


def flood_until_cut(endpoint: str) -> None:
    """More empty messages than anybody refuses; nothing holds the peer up, so its connection has to end."""
    peer = RawPeer(endpoint, "DEALER")
    peer.socket.settimeout(wire.PATIENCE_MS / 1000)
    deadline = time.monotonic() + wire.PATIENCE_MS / 1000
    with pytest.raises(ConnectionError):
        while time.monotonic() < deadline:
            peer.socket.sendall(b"\x00\x00" * 30_000)
    peer.close()


def test_what_a_direct_door_does_not_hold_up_counts_for_the_memory_limit(make_worker):
    limit = 160 << 20
    worker = make_worker(1, arguments=["--max-sandboxes", "1", "--max-memory", str(limit)])
    good = worker.producer(RECONNECT_IVL=10)
    looked = watch.Watch(worker.process.pid, 0.02)
    for _ in range(3):
        flood_until_cut(worker.serve)
    assert watch.settles(lambda: watch.resident(worker.process.pid), limit) <= limit
    print(looked.stop().summary())
    assert good.ping()["worker"] and good.call(wire.ECHO, b"x").body == b"x"
    assert worker.alive()


def test_what_a_broker_does_not_hold_up_counts_for_the_memory_limit(scratch):
    limit = 160 << 20
    broker = mdp_peers.Broker(Path(tempfile.mkdtemp(dir=scratch)), "--max-memory", str(limit), "--heartbeat", "300").start()
    try:
        broker.worker(b"echo", heartbeat=0.3)
        looked = watch.Watch(broker.process.pid, 0.02)
        for _ in range(3):
            flood_until_cut(broker.endpoint)
        assert watch.settles(lambda: watch.resident(broker.process.pid), limit) <= limit
        print(looked.stop().summary())
        client = broker.client()
        broker.await_service(client, b"echo")
        assert client.ask_again(b"echo", [b"x"]) == [b"x"]
    finally:
        broker.close()
