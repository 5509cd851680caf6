"""Who comes next, as producers see it: one lane, kept busy, and jobs that wait for it."""

from __future__ import annotations

import time

import pytest

import wire


@pytest.fixture
def lane(make_worker):
    """A worker of one lane, and what occupies it while jobs gather."""
    worker = make_worker(1)
    producer = worker.producer()

    def occupy(milliseconds: int = 400) -> bytes:
        return producer.send(wire.call(wire.SPIN, wire.u64(1_000 * milliseconds), options={"fresh": True, "priority": 9}))

    yield worker, producer, occupy
    producer.close()


def order(producer: wire.Producer, count: int) -> list[bytes]:
    return [producer.receive().id for _ in range(count)]


def test_what_is_urgent_overtakes_what_waits(lane):
    _, producer, occupy = lane
    first = occupy()
    low = [producer.send(wire.call(wire.ECHO, b"", options={"priority": 1, "fresh": True})) for _ in range(5)]
    high = [producer.send(wire.call(wire.ECHO, b"", options={"priority": 8, "fresh": True})) for _ in range(5)]
    assert order(producer, 11) == [first, *high, *low]


def test_waiting_makes_urgent_in_the_end(lane):
    _, producer, _ = lane
    patient = producer.send(wire.call(wire.ECHO, b"", options={"priority": 4}))
    # A stream of more urgent jobs that never lets the queue run dry; a second of waiting makes up for one step.
    under_way, deadline = 0, time.monotonic() + wire.PATIENCE_MS / 1_000
    while True:
        assert time.monotonic() < deadline, "it starved"
        while under_way < 30:
            producer.send(wire.call(wire.SPIN, wire.u64(2_000), options={"priority": 5}))
            under_way += 1
        if producer.receive().id == patient:
            break
        under_way -= 1
    for _ in range(under_way):
        producer.receive()


def test_a_tenant_that_floods_delays_the_others_by_little(lane):
    worker, producer, occupy = lane
    # How long its jobs run is known: batches are cut to that, and the first one of a tenant cannot be.
    for _ in range(5):
        producer.call(wire.SPIN, wire.u64(3_000), options={"tenant": "flood"})
    occupy()
    flood = [producer.send(wire.call(wire.SPIN, wire.u64(3_000), options={"tenant": "flood"})) for _ in range(400)]
    other = worker.producer()
    small = [other.send(wire.call(wire.ECHO, b"", options={"tenant": "small"})) for _ in range(5)]
    for _ in small:
        assert other.receive().status == wire.OK
    # The flood takes 1.2 s; the small tenant did not wait for its end.
    done = 0
    while producer.socket.poll(0):
        producer.receive()
        done += 1
    assert done < len(flood) / 2
    other.close()
    for _ in range(len(flood) + 1 - done):
        producer.receive()


def test_a_job_that_expires_while_it_waits_never_starts(lane):
    _, producer, occupy = lane
    first = occupy(600)
    late = producer.send(
        wire.call(wire.COUNTER, b"", options={"expires_at_ms": int(time.time() * 1_000) + 100, "tenant": "late"}))
    replies = {reply.id: reply for reply in (producer.receive(), producer.receive())}
    assert replies[first].status == wire.OK
    assert replies[late].status == wire.DEADLINE_EXCEEDED and replies[late].meta["attempt"] == 0
    # It left no trace in its tenant's sandbox.
    again = producer.call(wire.COUNTER, b"", options={"tenant": "late"})
    assert again.body == wire.u64(1)
