"""Who comes next, as producers see it: one lane, kept busy, and jobs that wait for it."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

import wire

pytestmark = pytest.mark.kvm


class Lane:
    """A worker of one lane, which a call occupies for as long as the test wants: until all that it sends waits in the queue."""

    def __init__(self, worker):
        self.worker, self.first, self.helper = worker, worker.producer(), worker.producer()

    def occupy(self) -> None:
        self.endless = self.first.send(wire.call(wire.SPIN, wire.u64(0), options={"fresh": True, "priority": 9}))
        assert self.first.ping()

    def release(self, waiting: int) -> None:
        """Ends the call once so many jobs wait."""
        deadline = time.monotonic() + wire.PATIENCE_MS / 1_000
        while self.waiting() != waiting:
            assert time.monotonic() < deadline, f"{self.waiting()} jobs wait, not {waiting}"
        assert self.helper.job("cancel", b"", self.endless).status == wire.OK
        reply = self.first.receive()
        assert (reply.id, reply.status) == (self.endless, wire.CANCELLED)

    def waiting(self) -> int:
        command = [os.environ["NUB_BIN"], "worker", "ctl", "--json", "--store", str(self.worker.store)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)["status"]["waiting"]

    def finished(self) -> list[bytes]:
        """The calls whose results are recorded, in that order."""
        database = self.worker.database()
        try:
            return [row[0] for row in database.execute("SELECT job_id FROM jobs ORDER BY seq")]
        finally:
            database.close()


@pytest.fixture
def lane(make_worker):
    return Lane(make_worker(1))


def order(producer: wire.Producer, count: int) -> list[bytes]:
    return [producer.receive().id for _ in range(count)]


def test_what_is_urgent_overtakes_what_waits(lane):
    producer = lane.worker.producer()
    lane.occupy()
    low = [producer.send(wire.call(wire.ECHO, b"", options={"priority": 1, "fresh": True})) for _ in range(5)]
    high = [producer.send(wire.call(wire.ECHO, b"", options={"priority": 8, "fresh": True})) for _ in range(5)]
    lane.release(waiting=10)
    assert order(producer, 10) == [*high, *low]


def test_waiting_makes_urgent_in_the_end(lane):
    producer = lane.worker.producer()
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
    producer, other = lane.worker.producer(), lane.worker.producer()
    # How long its jobs run is known: batches are cut to that, and the first one of a tenant cannot be.
    for _ in range(5):
        producer.call(wire.SPIN, wire.u64(3_000), options={"tenant": "flood"})
    lane.occupy()
    flood = [producer.send(wire.call(wire.SPIN, wire.u64(3_000), options={"tenant": "flood"})) for _ in range(400)]
    small = [other.send(wire.call(wire.ECHO, b"", options={"tenant": "small"})) for _ in range(5)]
    lane.release(waiting=405)
    for asker, jobs in ((producer, flood), (other, small)):
        assert sorted(order(asker, len(jobs))) == sorted(jobs)
    # The flood takes 1.2 s; the small tenant did not wait for its end.
    finished = lane.finished()
    assert max(map(finished.index, small)) < sorted(map(finished.index, flood))[len(flood) // 2]


def test_a_job_that_expires_while_it_waits_never_starts(lane):
    producer = lane.worker.producer()
    lane.occupy()
    late = producer.send(
        wire.call(wire.COUNTER, b"", options={"expires_at_ms": int(time.time() * 1_000) + 100, "tenant": "late"}))
    reply = producer.receive()
    assert (reply.id, reply.status, reply.meta["attempt"]) == (late, wire.DEADLINE_EXCEEDED, 0)
    lane.release(waiting=0)
    # It left no trace in its tenant's sandbox.
    again = producer.call(wire.COUNTER, b"", options={"tenant": "late"})
    assert again.body == wire.u64(1)
