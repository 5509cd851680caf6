"""What a worker's death, end, or full disk does to jobs: takeover, quarantine, drain, cancel, refusals."""

import os
import resource
import signal
import sqlite3
import subprocess
import time

import pytest
import zmq

import ssz
import wire
from conftest import ENGINE, Worker
from wire import u64

FOREVER = 55_000_000  # microseconds; below the longest run time


class Durable(Worker):
    """A worker with more options, and a look into its journal."""

    options: list[str] = []
    limit: int | None = None

    def start(self) -> "Durable":
        self._lives += 1
        limit = self.limit

        def prepare():
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.environ["NUB_BIN"], "worker", "--serve", self.serve, "--jobs", self.jobs]
                + ["--replies", self.replies, "--store", str(self.store), "--lanes", str(self.lanes)]
                + ["--engine", ENGINE, "--name", self.directory.name] + self.options,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=prepare,
            )
        self._await_ping()
        return self

    def rows(self, query: str, *arguments) -> list[tuple]:
        database = self.database()
        try:
            return database.execute(query, arguments).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            database.close()

    def journal(self, id: bytes) -> list[int]:
        """The attempts of the rows that hold this job."""
        return [row[0] for row in self.rows("SELECT attempts FROM journal WHERE instr(jobs, ?)", id)]


def eventually(condition, what: str, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return value


@pytest.fixture
def make(scratch):
    import tempfile
    from pathlib import Path

    made: list[Durable] = []

    def build(*options: str, lanes: int = 1, on: Durable | None = None, limit: int | None = None) -> Durable:
        worker = Durable(Path(tempfile.mkdtemp(dir=scratch)), lanes)
        worker.options, worker.limit = list(options), limit
        if on is not None:
            worker.store = on.store
        made.append(worker)
        return worker.start()

    yield build
    for worker in made:
        worker.close()


def collect(sink, ids: set[bytes]) -> dict[bytes, wire.Reply]:
    replies = {}
    while set(replies) != ids:
        reply = sink.receive()
        replies[reply.id] = reply
    return replies


@pytest.mark.kvm
def test_a_living_worker_takes_over_the_journal_of_a_dead_one(make):
    first = make()
    second = make(on=first)
    push, sink = first.push(), second.sink()
    blocker = wire.call(wire.SPIN, u64(800_000))
    jobs = [wire.call(wire.ECHO, b"%d" % i) for i in range(20)]
    push.send_multipart(blocker)
    for frames in jobs:
        push.send_multipart(frames)
    eventually(lambda: all(first.journal(frames[2]) for frames in [blocker] + jobs), "never journaled")
    first.kill()
    # Nothing is asked of anybody: the second one finds out by itself.
    replies = collect(sink, {frames[2] for frames in [blocker] + jobs})
    for frames in jobs:
        assert (replies[frames[2]].status, replies[frames[2]].body) == (wire.OK, frames[4])
        assert replies[frames[2]].meta["worker"] == second.directory.name
    eventually(lambda: second.rows("SELECT count(*) FROM journal") == [(0,)], "the journal is not empty")
    push.close()


@pytest.mark.kvm
def test_a_job_that_kills_alone_three_times_is_quarantined_and_its_batch_mates_are_not(make):
    worker = make()
    push, sink = worker.push(), worker.sink()
    blocker = wire.call(wire.SPIN, u64(300_000))
    killer = wire.call(wire.SPIN, u64(FOREVER))
    mates = [wire.call(wire.ECHO, b"mate %d" % i) for i in range(6)]
    push.send_multipart(blocker)
    for frames in mates[:3] + [killer] + mates[3:]:
        push.send_multipart(frames)
    eventually(lambda: all(worker.journal(f[2]) for f in [killer] + mates), "never journaled")
    worker.kill()
    for run in (1, 2, 3):
        worker.start()
        # It is noted before it begins; a death from then on is charged to it.
        eventually(lambda: run in worker.journal(killer[2]), f"solo run {run} was not noted")
        worker.kill()
    worker.start()
    direct = worker.producer()
    reply = eventually(
        lambda: (r := direct.job("get_result", b"", killer[2])).status != wire.UNAVAILABLE and r, "no verdict"
    )
    assert reply.status == wire.QUARANTINED
    assert "3 times" in reply.body.decode()
    for frames in mates:
        result = eventually(
            lambda: (r := direct.job("get_result", b"", frames[2])).status == wire.OK and r, "a mate has no result"
        )
        assert result.body == frames[4]
    assert direct.ask(killer).status == wire.QUARANTINED, "it is recorded, and not run again"
    assert sink.alive()
    push.close()


@pytest.mark.kvm
def test_a_drain_that_takes_too_long_gives_back_what_has_not_finished(make):
    worker = make("--drain-timeout", "1")
    push, direct = worker.push(), worker.producer()
    asked = [wire.call(wire.SPIN, u64(FOREVER)), wire.call(wire.ECHO, b"behind it")]
    for frames in asked:
        direct.send(frames)
    assert direct.ping()
    pushed = wire.call(wire.ECHO, b"journaled")
    push.send_multipart(pushed)
    eventually(lambda: worker.journal(pushed[2]), "never journaled")
    worker.terminate()
    for _ in asked:
        reply = direct.receive()
        assert reply.status == wire.UNAVAILABLE and reply.meta["retry_after_ms"] > 0
    assert worker.wait() == 0
    assert worker.journal(pushed[2]) == [0], "it stays in the journal, and is suspected of nothing"
    worker.start()
    reply = worker.sink().receive()
    assert (reply.id, reply.status, reply.body) == (pushed[2], wire.OK, b"journaled")
    push.close()


@pytest.mark.kvm
def test_a_second_sigterm_ends_at_once(make):
    worker = make("--drain-timeout", "600")
    direct = worker.producer()
    running = direct.send(wire.call(wire.SPIN, u64(FOREVER)))
    assert direct.ping()
    worker.terminate()
    # The first one is seen when new work is refused.
    late = worker.producer()

    def is_refused():
        late.send(wire.call(wire.ECHO, b"late"))
        return late.socket.poll(200) and late.receive().status == wire.UNAVAILABLE

    eventually(is_refused, "no drain")
    worker.terminate()
    assert worker.wait(20) == 75
    reply = direct.receive()
    assert (reply.id, reply.status) == (running, wire.UNAVAILABLE)


@pytest.mark.kvm
def test_pulled_jobs_that_were_under_way_at_a_drain_are_finished(make):
    worker = make()
    push, sink = worker.push(), worker.sink()
    jobs = [wire.call(wire.SPIN, u64(200_000))] + [wire.call(wire.ECHO, b"%d" % i) for i in range(50)]
    for frames in jobs:
        push.send_multipart(frames)
    eventually(lambda: all(worker.journal(f[2]) for f in jobs), "never journaled")
    worker.terminate()
    replies = collect(sink, {frames[2] for frames in jobs})
    assert all(reply.status == wire.OK for reply in replies.values())
    assert worker.wait() == 0
    assert worker.rows("SELECT count(*) FROM journal") == [(0,)]
    push.close()


@pytest.mark.kvm
def test_a_cancel_ends_one_job_and_its_batch_mates_run(make):
    worker = make()
    direct, other = worker.producer(), worker.producer()
    first = wire.call(wire.SPIN, u64(300_000))
    mates = [wire.call(wire.SPIN, u64(50_000)) for _ in range(6)]
    victim = wire.call(wire.SPIN, u64(FOREVER))
    direct.send(first)
    for frames in mates[:3] + [victim] + mates[3:]:
        direct.send(frames)
    assert direct.receive().id == first[2]
    # Whatever runs at this moment, the victim or a mate in front of it.
    assert other.job("cancel", b"", victim[2]).status == wire.OK
    replies = {}
    for _ in mates + [victim]:
        reply = direct.receive()
        replies[reply.id] = reply
    assert replies.pop(victim[2]).status == wire.CANCELLED
    assert {reply.status for reply in replies.values()} == {wire.OK}
    assert set(replies) == {frames[2] for frames in mates}


@pytest.mark.kvm
def test_what_another_worker_has_finished_is_not_run_to_its_end(make):
    slow = make()
    quick = make(on=slow)
    here, there = slow.producer(), quick.producer()
    endless = wire.call(wire.SPIN, u64(FOREVER))
    here.send(endless)
    assert here.ping()
    # The same job, sent to both; here it has a deadline, which is not part of what it asks for.
    twin = wire.call(wire.SPIN, u64(FOREVER), id=endless[2], options={"deadline_ms": 100})
    first = there.ask(twin)
    assert first.status == wire.DEADLINE_EXCEEDED
    reply = here.receive()
    assert (reply.id, reply.status, reply.duplicate) == (endless[2], wire.DEADLINE_EXCEEDED, True)
    assert here.call(wire.ECHO, b"free again").body == b"free again"
    assert slow.rows("SELECT count(*) FROM jobs WHERE job_id = ?", endless[2]) == [(1,)]


@pytest.mark.kvm
def test_any_worker_on_the_store_cancels_running_and_queued_jobs(make):
    holder = make()
    other = make(on=holder)
    direct, elsewhere = holder.producer(), other.producer()
    running = wire.call(wire.SPIN, u64(FOREVER), options={"tenant": "a"})
    queued = wire.call(wire.ECHO, b"queued", options={"tenant": "a"})
    direct.send(running)
    assert direct.ping()
    direct.send(queued)
    assert direct.ping()
    # Another tenant's cancel is for another tenant's job.
    assert elsewhere.job("cancel", b"", running[2], options={"tenant": "b"}).status == wire.NOT_FOUND
    for frames in (queued, running):
        assert elsewhere.job("cancel", b"", frames[2], options={"tenant": "a"}).status == wire.OK
        reply = direct.receive()
        assert (reply.id, reply.status) == (frames[2], wire.CANCELLED)
    assert elsewhere.ask(queued).status == wire.CANCELLED, "it is recorded"


def test_identical_puts_from_many_producers_at_two_workers_are_one(make):
    first = make(lanes=2)
    workers = [first, make(lanes=2, on=first)]
    form, root = ssz.data(os.urandom(2_000_000))
    producers = [workers[i % 2].producer() for i in range(12)]
    for producer in producers:
        producer.send(wire.job("put_cap", root, form))
    for producer in producers:
        reply = producer.receive()
        assert (reply.status, reply.body) == (wire.OK, root)
    (puts,) = first.rows("SELECT puts FROM caps WHERE hash = ?", root)
    assert puts[0] in (1, 2), "each worker did the work at most once"
    assert producers[1].job("get_cap", root).body == form


def test_askers_of_a_running_job_join_it(make):
    worker = make()
    frames = wire.call(wire.COUNTER)
    blocker = worker.producer()
    blocker.send(wire.call(wire.SPIN, u64(100_000)))
    producers = [worker.producer() for _ in range(8)]
    for producer in producers:
        producer.send(frames)
    replies = [producer.receive() for producer in producers]
    assert len({reply.body for reply in replies}) == 1
    assert sum(not reply.duplicate for reply in replies) == 1
    conflict = producers[0].ask(wire.call(wire.ECHO, b"other", id=frames[2]))
    assert conflict.status == wire.CONFLICT


def refused(producer, size: int = 100_000) -> wire.Reply:
    """Puts until the store takes no more."""
    for _ in range(2_000):
        reply = producer.put(ssz.data(os.urandom(size))[0])
        if reply.status != wire.OK:
            return reply
    raise AssertionError("the store takes everything")


def test_a_full_disk_is_status_11_and_passes_when_there_is_room(make):
    worker = make(limit=4 << 20)
    producer = worker.producer()
    kept = wire.call(wire.ECHO, b"kept")
    assert producer.ask(kept).status == wire.OK
    reply = refused(producer)
    assert reply.status == wire.UNAVAILABLE, reply
    assert reply.meta["retry_after_ms"] > 0 and "room" in reply.body.decode(), reply.body
    again = producer.ask(kept)
    assert (again.status, again.duplicate) == (wire.OK, True), "what is known is answered"
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    eventually(lambda: producer.call(wire.ECHO, b"after").status == wire.OK, "it does not recover")
    assert worker.rows("PRAGMA integrity_check") == [("ok",)]


def test_pushed_jobs_wait_for_room_and_are_answered(make):
    worker = make(limit=4 << 20)
    refused(worker.producer())
    push, sink = worker.push(), worker.sink()
    jobs = [wire.call(wire.ECHO, b"waits %d" % i) for i in range(5)]
    for frames in jobs:
        push.send_multipart(frames)
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    replies = collect(sink, {frames[2] for frames in jobs})
    assert all(reply.status == wire.OK for reply in replies.values())
    push.close()


def test_a_store_at_its_size_limit_refuses_new_work_and_answers_what_it_knows(make):
    worker = make("--max-store", str(4 << 20))
    producer = worker.producer()
    kept = wire.call(wire.ECHO, b"kept")
    assert producer.ask(kept).status == wire.OK
    reply = refused(producer)
    assert reply.status == wire.UNAVAILABLE and "limited to" in reply.body.decode(), reply
    assert producer.ask(kept).duplicate
    assert producer.ping()
    fresh = producer.call(wire.ECHO, b"new")
    assert fresh.status == wire.UNAVAILABLE and fresh.meta["retry_after_ms"] > 0


def test_a_store_that_another_program_locks_is_status_11_until_it_is_let_go(make):
    worker = make()
    producer = worker.producer()
    assert producer.call(wire.ECHO, b"before").status == wire.OK
    database = sqlite3.connect(worker.store, isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
        reply = producer.call(wire.ECHO, b"locked")
        assert reply.status == wire.UNAVAILABLE, reply
        database.execute("ROLLBACK")
    finally:
        database.close()
    eventually(lambda: producer.call(wire.ECHO, b"after").status == wire.OK, "it does not recover")


@pytest.mark.kvm
@pytest.mark.parametrize("door", ["pipeline", "direct"])
def test_a_failed_job_is_run_again_by_nub_results_retry(make, door):
    worker = make()
    push, sink, direct = worker.push(), worker.sink(), worker.producer()
    frames = wire.call(wire.FAIL, wire.u32(9) + b"first", options={"tenant": "a"})
    if door == "pipeline":
        push.send_multipart(frames)
        assert sink.receive().status == wire.GUEST_ERROR
    else:
        assert direct.ask(frames).status == wire.GUEST_ERROR
    before = worker.rows("SELECT seq FROM jobs WHERE job_id = ?", frames[2])
    done = subprocess.run(
        [os.environ["NUB_BIN"], "results", "retry", "--store", str(worker.store), "--tenant", "a", "0x" + frames[2].hex()],
        capture_output=True, timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert b"1 queued again" in done.stdout, done.stdout
    if door == "pipeline":
        reply = sink.receive()
        assert (reply.id, reply.status, reply.duplicate) == (frames[2], wire.GUEST_ERROR, False)
    after = eventually(lambda: worker.rows("SELECT seq FROM jobs WHERE job_id = ?", frames[2]), "not run again")
    assert after != before
    tenant = worker.rows("SELECT t.name FROM jobs j JOIN tenants t USING (tenant) WHERE job_id = ?", frames[2])
    assert tenant == [("a",)], "it is still the same tenant's"
    push.close()


def test_whatever_uses_a_cap_keeps_it_from_expiring(make):
    worker = make()
    producer = worker.producer()
    caps = {name: ssz.data(name.encode() + os.urandom(16)) for name in ("put", "get", "named", "supplied", "idle")}
    for form, root in caps.values():
        assert producer.put(form, root).status == wire.OK
    # What the store says of them is from long ago, and the sandboxes are new.
    worker.kill()
    database = sqlite3.connect(worker.store)
    with database:
        database.execute("UPDATE caps SET last_used_ms = ?", (long_ago := (int(time.time()) - 10 * 86_400) * 1_000,))
    database.close()
    worker.start()
    producer = worker.producer()
    assert producer.put(b"", caps["put"][1]).duplicate
    assert producer.job("get_cap", caps["get"][1]).status == wire.OK
    assert producer.call(wire.ECHO, b"x", options={"caps": [caps["named"][1].hex()]}).status == wire.OK
    assert producer.call(wire.CAP_SHA256, caps["supplied"][1]).status == wire.OK
    used = {caps[name][1] for name in caps if name != "idle"}
    eventually(lambda: {row[0] for row in worker.rows("SELECT hash FROM caps WHERE last_used_ms > ?", long_ago)} == used, "not all uses count")


def test_a_cap_that_has_expired_and_is_put_again_stays(make):
    worker = make()
    producer = worker.producer()
    form, root = ssz.data(os.urandom(1_000))
    idle = ssz.data(os.urandom(1_000))
    for _ in range(3):
        for wire_form in (form, idle[0]):
            assert producer.put(wire_form).status == wire.OK
        worker.kill()
        database = sqlite3.connect(worker.store)
        with database:
            database.execute("UPDATE caps SET last_used_ms = 1")
        database.close()
        worker.start()
        producer = worker.producer()
        # House-keeping may remove it before or after this, but not what was acknowledged.
        assert producer.missing([root]) == [root], "it is not known for sure"
        assert producer.put(b"", root).status == wire.CAP_MISSING
        assert producer.put(form, root).status == wire.OK
        eventually(lambda: not worker.rows("SELECT 1 FROM caps WHERE hash = ?", idle[1]), "nothing expires")
        assert producer.job("get_cap", root).body == form
        assert producer.put(b"", root).duplicate
