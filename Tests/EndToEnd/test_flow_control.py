"""Producers that are too fast, and messages that never end: memory stays flat, and whoever can be told is told to come later."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest
import zmq

import mdp_peers
import watch
import wire
from conftest import ENGINE
from zmtp import RawPeer

SECONDS = 4.0
# What one worker may hold of jobs unless configured: 4096 jobs, 256 MiB.
ALLOWED = 48 << 20
pytestmark = pytest.mark.kvm

# A job of two milliseconds and 16 KiB: 500 a second, where a producer can send thousands.
BUSY_US, CAP = 2_000, b"\x02\x04\x00\x00\x00" + bytes(16 << 10)


def slow_job() -> list[bytes]:
    return wire.call(wire.SPIN, wire.u64(BUSY_US), caps=[CAP])


def flood(socket: zmq.Socket, head: list[bytes], answered) -> tuple[int, int]:
    """Sends as fast as the socket takes it: how many were taken, and how often it would not."""
    taken = refused = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            socket.send_multipart(head + slow_job(), zmq.DONTWAIT)
            taken += 1
        except zmq.Again:
            refused += 1
            socket.poll(2, zmq.POLLOUT)
        answered()
    return taken, refused


class Answers:
    """Reads replies as they come, and counts their statuses."""

    def __init__(self, socket: zmq.Socket):
        self.socket, self.statuses, self.ids, self.retry = socket, {}, set(), None

    def __call__(self, wait_ms: int = 0) -> bool:
        if not self.socket.poll(wait_ms):
            return False
        while self.socket.poll(0):
            reply = wire.parse(self.socket.recv_multipart())
            self.statuses[reply.status] = self.statuses.get(reply.status, 0) + 1
            self.ids.add(reply.id)
            if reply.status == wire.UNAVAILABLE:
                self.retry = reply.meta.get("retry_after_ms")
        return True


def test_direct_door(make_worker):
    worker = make_worker(1, arguments=["--max-sandboxes", "1"])
    socket = worker.producer(SNDHWM=50).socket
    answers = Answers(socket)
    flood_watch = watch.Watch(worker.process.pid, 0.05)
    taken, _ = flood(socket, [], answers)
    flood_watch.stop()
    assert taken > 10 * SECONDS * 1_000_000 / BUSY_US / 4, "this producer was not too fast"
    assert flood_watch.growth()[0] < ALLOWED, flood_watch.summary()
    assert answers.statuses.get(wire.UNAVAILABLE, 0) > 0 and answers.retry > 0
    # Somebody else gets an answer all the same.
    assert worker.producer().ping()


def test_pipeline_door(make_worker):
    worker = make_worker(1, arguments=["--max-sandboxes", "1"])
    push = worker.push()
    push.setsockopt(zmq.SNDHWM, 50)
    push.disconnect(worker.jobs)
    push.connect(worker.jobs)
    sink = worker.sink()
    answers = Answers(sink.socket)
    flood_watch = watch.Watch(worker.process.pid, 0.05)
    taken, refused = flood(push, [], answers)
    flood_watch.stop()
    assert flood_watch.growth()[0] < ALLOWED, flood_watch.summary()
    assert refused > 0, "the producer was never held up"
    # Nobody can ask again here, so everything that was taken is done.
    deadline = time.monotonic() + 120
    while len(answers.ids) < taken:
        assert time.monotonic() < deadline, f"{len(answers.ids)} of {taken} jobs were answered"
        answers(200)
    assert set(answers.statuses) == {wire.OK}
    push.close(0)


def test_fleet_door(make_worker, scratch):
    broker = mdp_peers.Broker(Path(tempfile.mkdtemp(dir=scratch)), "--queue-limit", "200").start()
    try:
        worker = make_worker(1, arguments=["--max-sandboxes", "1", "--broker", broker.endpoint, "--service", "nub",
                                         "--fleet-slots", "4"])
        broker.await_service(broker.client(), b"nub")
        socket = broker.context.socket(zmq.DEALER)
        socket.setsockopt(zmq.SNDHWM, 50)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(broker.endpoint)
        answers = Answers(socket)
        watches = [watch.Watch(process.pid, 0.05) for process in (worker.process, broker.process)]
        flood(socket, [b"", mdp_peers.CLIENT, b"nub"], answers)
        for looked in watches:
            assert looked.stop().growth()[0] < ALLOWED, looked.summary()
        assert answers.statuses.get(wire.UNAVAILABLE, 0) > 0 and answers.retry > 0
        assert set(answers.statuses) <= {wire.OK, wire.UNAVAILABLE}
        socket.close(0)
    finally:
        broker.close()


@pytest.mark.parametrize("door", ["direct", "direct tcp", "pipeline"])
def test_messages_that_never_end_are_given_up_with_their_connections(make_worker, door):
    """libzmq bounds messages, not their frames: without the limit this would take all memory."""
    limit = 320 << 20
    worker = make_worker(1, start=False, arguments=[
        "--max-sandboxes", "1", "--max-memory", str(limit), "--serve", "tcp://127.0.0.1:*"])
    worker.start()
    endpoint = {"direct": worker.serve, "pipeline": worker.jobs, "direct tcp": worker.bound("tcp://127.0.0.1:")}[door]
    kind = "PUSH" if door == "pipeline" else "DEALER"
    good = worker.producer(RECONNECT_IVL=10)
    assert good.ping()
    looked = watch.Watch(worker.process.pid, 0.02)
    frame = bytes(1 << 20)
    cut = 0
    for _ in range(3):
        hostile = RawPeer(endpoint, kind)
        try:
            for _ in range(2_000):
                hostile.send(frame, more=True)
                time.sleep(0.002)  # No faster than a network.
        except OSError:
            cut += 1
        hostile.close()
    assert cut == 3, "a message of two gigabytes was taken in"
    assert "memory is over its limit" in worker.log.read_text()
    assert watch.settles(lambda: watch.resident(worker.process.pid), limit) <= limit
    looked.stop()
    print(looked.summary())  # What is read in between two looks comes on top, and that is a matter of speed.
    assert good.ping()["worker"] and worker.producer().call(wire.ECHO, b"x").body == b"x"
    push, sink = worker.push(), worker.sink()
    job = wire.call(wire.ECHO, b"still")
    push.send_multipart(job)
    assert sink.receive().id == job[2]
    push.close(0)


def test_a_broker_gives_up_messages_that_never_end(scratch):
    limit = 160 << 20
    broker = mdp_peers.Broker(Path(tempfile.mkdtemp(dir=scratch)), "--max-memory", str(limit), "--heartbeat", "300").start()
    try:
        broker.worker(b"echo", heartbeat=0.3)
        client = broker.client()
        broker.await_service(client, b"echo")
        for _ in range(2):
            hostile = RawPeer(broker.endpoint, "DEALER")
            with pytest.raises(OSError):
                for _ in range(4_000):
                    hostile.send(bytes(1 << 20), more=True)
                    time.sleep(0.001)
            hostile.close()
        assert "memory is over its limit" in broker.log.read_text()
        assert watch.settles(lambda: watch.resident(broker.process.pid), limit) <= limit
        # Everybody had to come back, and did.
        client._open()
        broker.await_service(client, b"echo")
        assert client.ask_again(b"echo", [b"x"]) == [b"x"]
    finally:
        broker.close()
