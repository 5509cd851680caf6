"""Peers that send more than is read at once, a PING behind it, and hang up: libzmq 4.3.4 ends the process if it had stopped reading
them (docs/decisions/0412). So doors that answer never stop reading, and in front of pipelines, which must, is a relay (0413)."""

from __future__ import annotations

import os
import socket
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

# For a whole test: attackers send thousands of messages each, and every one of them is answered.
WHOLE_TEST_S = 5 * wire.PATIENCE_MS / 1000

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


def hold_up(endpoint: str, sent: bytes = TINY + PING + TINY + PING) -> list[RawPeer]:
    """Peers that hang up in all ways that a socket knows, right behind what they sent."""
    peers = []
    for way in ("close", "reset", "half"):
        peer = RawPeer(endpoint, "PUSH")
        peer.socket.settimeout(0.2)
        try:
            peer.socket.sendall(sent)
        except TimeoutError:
            pass  # It is held up, which is what it wanted.
        if way == "reset":
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if way == "half":
            peer.socket.shutdown(socket.SHUT_WR)
            peers.append(peer)
        else:
            peer.close()
    return peers


def descriptors(worker) -> int:
    return len(os.listdir(f"/proc/{worker.process.pid}/fd"))


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_pipeline_that_is_held_up_outlives_those_that_hang_up(make_worker, transport):
    """The worker stops reading while peers hang up, reads on, and has lost neither itself nor a job."""
    worker = make_worker(1, start=False, arguments=["--max-sandboxes", "1"])
    if transport == "tcp":
        worker.jobs = "tcp://127.0.0.1:0"
    worker.start()
    if transport == "tcp":
        worker.jobs = worker.bound("tcp://127.0.0.1:")
    push, sink = worker.push(), worker.sink()
    # Over what a pipeline takes at once (docs/decisions/0431), so it stops; together they take a second and more.
    cap = b"\x02\x04\x00\x00\x00" + bytes(64 << 10)
    # What the worker opens at the first need, and the ventilator's own connection, are open from here on.
    push.send_multipart(wire.call(wire.ECHO, b"first", caps=[cap]))
    assert sink.receive().status == wire.OK
    before, attempts = descriptors(worker), 0
    deadline = time.monotonic() + WHOLE_TEST_S
    for _ in range(2):
        jobs = [wire.call(wire.SPIN, wire.u64(10_000), caps=[cap]) for _ in range(100)]
        for frames in jobs:
            push.send_multipart(frames)
        # Without the relay a handful ends the worker.
        answers, peers, rounds = set(), [], 0
        while len(answers) < len(jobs):
            assert time.monotonic() < deadline, f"{len(answers)} of {len(jobs)} jobs were answered"
            if len(answers) < 60 and rounds < 15:
                peers += hold_up(worker.jobs)
                attempts += 3
                rounds += 1
            while sink.socket.poll(10):
                reply = wire.parse(sink.socket.recv_multipart())
                # The attackers' empty messages are answered, too.
                if reply.id in {frames[2] for frames in jobs}:
                    assert reply.status == wire.OK
                    answers.add(reply.id)
            assert worker.alive(), f"after {attempts} hang-ups:\n{worker.log.read_text()[-2000:]}"
        for peer in peers:
            peer.close()
    print(attempts, "hang-ups")
    # They go when what they had sent is read.
    while descriptors(worker) > before:
        assert time.monotonic() < deadline, f"{descriptors(worker)} descriptors, {before} before"
        while sink.socket.poll(0):
            sink.socket.recv_multipart()
        time.sleep(0.01)
    assert worker.producer().call(wire.ECHO, b"x").body == b"x"
    push.close(0)


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_pipeline_that_connects_outlives_those_that_hang_up(make_worker, scratch, transport):
    if transport == "ipc":
        listener = socket.socket(socket.AF_UNIX)
        endpoint = f"ipc://{tempfile.mkdtemp(dir=scratch)}/ventilator"
        listener.bind(endpoint.removeprefix("ipc://"))
    else:
        listener = socket.create_server(("127.0.0.1", 0))
        # By name, as operators write it.
        endpoint = f"tcp://localhost:{listener.getsockname()[1]}"
    listener.listen(16)
    listener.settimeout(wire.PATIENCE_MS / 1000)
    replies = f"ipc://{tempfile.mkdtemp(dir=scratch)}/replies"
    worker = make_worker(1, arguments=["--max-sandboxes", "1", "--jobs", ">" + endpoint, "--replies", replies])
    push, sink = worker.push(), worker.sink()
    other = worker.context.socket(zmq.PULL)
    other.connect(replies)
    cap = b"\x02\x04\x00\x00\x00" + bytes(64 << 10)
    push.send_multipart(wire.call(wire.ECHO, b"first", caps=[cap]))
    assert sink.receive().status == wire.OK
    before = descriptors(worker)
    deadline = time.monotonic() + WHOLE_TEST_S
    for _ in range(5):
        # It is held up by the other door, whose jobs are many.
        wanted = set()
        for _ in range(100):
            frames = wire.call(wire.SPIN, wire.u64(5_000), caps=[cap])
            wanted.add(frames[2])
            push.send_multipart(frames)
        peer = RawPeer.accepted(listener.accept()[0], "PUSH")
        peer.socket.sendall(TINY + PING + TINY + PING)
        peer.close()
        while wanted:
            assert time.monotonic() < deadline, f"{len(wanted)} jobs were not answered"
            if sink.socket.poll(10):
                wanted.discard(wire.parse(sink.socket.recv_multipart()).id)
            while other.poll(0):
                other.recv_multipart()
            assert worker.alive(), worker.log.read_text()[-2000:]
    # It comes again, and what is sent in good order is done.
    peer = RawPeer.accepted(listener.accept()[0], "PUSH")
    job = wire.call(wire.ECHO, b"x")
    for index, frame in enumerate(job):
        peer.send(frame, index + 1 < len(job))
    while wire.parse(other.recv_multipart()).id != job[2]:
        assert time.monotonic() < deadline
    while descriptors(worker) > before + 6:
        assert time.monotonic() < deadline, f"{descriptors(worker)} descriptors, {before} before"
        time.sleep(0.01)
    peer.close()
    listener.close()
    other.close(0)
    push.close(0)


def test_what_a_producer_sent_before_it_left_is_done(make_worker):
    """Though the door was not reading when it left, and the kernel had what it sent."""
    worker = make_worker(1, arguments=["--max-sandboxes", "1"])
    busy, sink = worker.push(), worker.sink()
    cap = b"\x02\x04\x00\x00\x00" + bytes(64 << 10)
    jobs = [wire.call(wire.SPIN, wire.u64(10_000), caps=[cap]) for _ in range(80)]
    for frames in jobs:
        busy.send_multipart(frames)
    for _ in range(3):
        leaving = RawPeer(worker.jobs, "PUSH")
        # More than libzmq holds for a peer, and more than it reads at once: the rest is the kernel's when the peer has gone.
        more = [wire.call(wire.ECHO, b"left") for _ in range(700)]
        leaving.socket.sendall(b"".join(
            bytes([index + 1 < len(frames), len(frame)]) + frame for frames in more for index, frame in enumerate(frames)))
        leaving.close()
        jobs += more
    wanted = {frames[2] for frames in jobs}
    deadline = time.monotonic() + WHOLE_TEST_S
    while wanted:
        assert time.monotonic() < deadline, f"{len(wanted)} jobs were lost"
        if sink.socket.poll(200):
            wanted.discard(wire.parse(sink.socket.recv_multipart()).id)
    busy.close(0)


def flood_until_cut(endpoint: str) -> None:
    """More empty messages than anybody refuses; nothing holds the peer up, so its connection has to end."""
    peer = RawPeer(endpoint, "DEALER")
    peer.socket.settimeout(wire.PATIENCE_MS / 1000)
    deadline = time.monotonic() + WHOLE_TEST_S
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
