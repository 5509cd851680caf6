"""One new cap, put at several workers on one store at the same moment: the work is done once, and everybody gets the hash."""

import os
import re
import signal
import socket
import time
import urllib.request

import pytest

import ssz
import wire
from conftest import needs_failpoints


@pytest.fixture
def make_fleet(make_worker):
    """Workers on one store, whose metrics can be asked."""

    def make(count: int, lanes: int = 1, environment: dict[str, str] | None = None):
        """`environment`: of the first one."""
        workers = []
        for index in range(count):
            worker = make_worker(lanes=lanes, start=False)
            if workers:
                worker.store = workers[0].store
            elif environment:
                worker.environment = environment
            with socket.create_server(("127.0.0.1", 0)) as free:
                worker.port = free.getsockname()[1]
            worker.arguments = ["--http", str(worker.port)]
            workers.append(worker.start())
        return workers

    return make


def metric(worker, name: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/metrics", timeout=60) as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.M)
    return int(float(found[1])) if found else 0


def eventually(condition, what: str):
    deadline = time.monotonic() + wire.PATIENCE_MS / 1000
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def total(workers, name: str) -> int:
    return sum(metric(worker, name) for worker in workers)


def answered(workers) -> int:
    return total(workers, 'nub_jobs_total{verb="put_cap",status="ok"}')


def put_at_once(workers, form: bytes, claims: list[bytes]) -> list:
    """Everybody's message is on its way before any answer is read."""
    producers = [workers[index % len(workers)].producer() for index in range(len(claims))]
    for producer in producers:
        producer.ping()
    for producer, claim in zip(producers, claims):
        producer.send(wire.job("put_cap", claim, form))
    return producers


def rows(worker, hash: bytes) -> list[tuple]:
    database = worker.database()
    try:
        return database.execute("SELECT puts, skips FROM caps WHERE hash = ?", (hash,)).fetchall()
    finally:
        database.close()


@pytest.mark.parametrize("claimed", ["all", "none", "some"])
@pytest.mark.parametrize("count, size", [(2, 1 << 20), (4, 4 << 20), (3, 16 << 20), (4, 32 << 10)])
def test_the_work_is_done_once(make_fleet, count, size, claimed):
    workers = make_fleet(count, lanes=2)
    form, root = ssz.data(os.urandom(size))
    claims = [root if claimed == "all" or claimed == "some" and index % 3 else b"" for index in range(10)]
    for producer in put_at_once(workers, form, claims):
        reply = producer.receive()
        assert (reply.status, reply.body) == (wire.OK, root)
    # Counters are handed out ten times a second.
    eventually(lambda: total(workers, "nub_puts_total") >= 1, "nobody counts the put")
    time.sleep(0.3)
    assert total(workers, "nub_puts_total") == 1, "the work was done more than once"
    (row,) = rows(workers[0], root)
    assert row[0] == 1
    assert workers[-1].producer().job("get_cap", root).body == form


def test_small_caps_are_stored_once_whoever_works_on_them(make_fleet):
    workers = make_fleet(3, lanes=2)
    for size in (0, 1, 1_000, (32 << 10) - 100):
        form, root = ssz.data(os.urandom(size))
        for producer in put_at_once(workers, form, [root if index % 4 else b"" for index in range(12)]):
            reply = producer.receive()
            assert (reply.status, reply.body) == (wire.OK, root)
        assert len(rows(workers[0], root)) == 1


def test_of_many_caps_each_is_worked_on_once(make_fleet):
    workers = make_fleet(3, lanes=2)
    caps = [ssz.data(os.urandom(100_000)) for _ in range(31)]
    producers = [(worker.producer(), step) for step, worker in enumerate(workers * 2)]
    for producer, step in producers:
        # Each in an order of its own.
        for index in range(len(caps)):
            form, root = caps[(index * (2 * step + 1) + step) % len(caps)]
            producer.send(wire.job("put_cap", root if step % 2 else b"", form))
    for producer, _ in producers:
        roots = [producer.receive() for _ in caps]
        assert all(reply.status == wire.OK for reply in roots)
        assert {reply.body for reply in roots} == {root for _, root in caps}
    eventually(lambda: total(workers, "nub_puts_total") >= len(caps), "puts are missing")
    time.sleep(0.3)
    assert total(workers, "nub_puts_total") == len(caps)


@needs_failpoints
@pytest.mark.parametrize("point", [3, 4, 7], ids=["hashed", "not committed", "committed"])
def test_others_wait_for_the_one_that_works_and_do_it_themselves_when_it_dies(make_fleet, scratch, point):
    """The first worker stands still with the put in its hands, all others wait; then it is killed."""
    hold = scratch / f"hold-{wire.new_id().hex()}"
    hold.touch()
    # Its lane stands at "run, not handed on", its committer at "not committed", or its door at "committed, nobody told".
    workers = make_fleet(3, environment={"NUB_WORKER_FAILPOINT": f"{point}:1:{hold}"})
    form, root = ssz.data(os.urandom(1 << 20))
    first = workers[0].producer()
    first.send(wire.job("put_cap", root, form))
    # It has begun once it holds the work's place in the book: then nobody else can take it.
    eventually(lambda: holds_work(workers[0]), "the first worker does not begin")
    if point == 7:
        # Whoever claims the hash is answered from the store by now; the others cannot know.
        eventually(lambda: rows(workers[1], root), "nothing is committed")
        others = put_at_once(workers[1:], form, [b""] * 6)
    else:
        others = put_at_once(workers[1:], form, [root, root, b"", b"", root, root])
    # Those that claim the hash are one job in each worker.
    waiting = 6 if point == 7 else 4
    eventually(lambda: total(workers[1:], "nub_jobs_in_flight") == waiting, "the others did not take them in")
    time.sleep(0.5)
    assert not any(producer.socket.poll(0) for producer in others), "answered before anything is done"
    assert total(workers[1:], "nub_puts_total") == 0
    workers[0].process.send_signal(signal.SIGKILL)
    for producer in others:
        reply = producer.receive()
        assert (reply.status, reply.body) == (wire.OK, root)
    time.sleep(0.3)
    # What was on disk at the death is answered from there; else one of them did the work.
    assert total(workers[1:], "nub_puts_total") == (0 if point == 7 else 1)
    assert len(rows(workers[1], root)) == 1
    hold.unlink()


def holds_work(worker) -> bool:
    """Whether the process has an entry in the book: a lock on one byte beyond the file's end (/proc/locks)."""
    inode = os.stat(str(worker.store) + "-work").st_ino
    for line in open("/proc/locks"):
        fields = line.split()
        if fields[1] == "OFDLCK" and fields[5].split(":")[-1] == str(inode) and int(fields[6]) > 1 << 60:
            return True
    return False


@needs_failpoints
def test_a_worker_that_stands_still_is_not_waited_for_without_end(make_fleet, scratch):
    workers = make_fleet(2)
    form, root = ssz.data(os.urandom(1 << 20))
    # Its book stays as it was when it was stopped in the midst of a put.
    workers[0].kill()
    hold = scratch / f"hold-{wire.new_id().hex()}"
    hold.touch()
    workers[0].environment = {"NUB_WORKER_FAILPOINT": f"3:1:{hold}"}
    workers[0].start()
    workers[0].producer().send(wire.job("put_cap", root, form))
    eventually(lambda: holds_work(workers[0]), "the first worker does not begin")
    workers[0].process.send_signal(signal.SIGSTOP)
    try:
        reply = workers[1].producer().put(form, root)
        assert (reply.status, reply.body) == (wire.OK, root)
    finally:
        workers[0].process.send_signal(signal.SIGCONT)
        hold.unlink()


@needs_failpoints
def test_a_wrong_claim_keeps_nobody_from_their_work(make_fleet, scratch):
    """Bytes that are not what they claim to be are other work than the cap that they claim to be."""
    hold = scratch / f"hold-{wire.new_id().hex()}"
    hold.touch()
    workers = make_fleet(2, environment={"NUB_WORKER_FAILPOINT": f"3:1:{hold}"})
    form, root = ssz.data(os.urandom(1 << 20))
    other, _ = ssz.data(os.urandom(1 << 20))
    liar = workers[0].producer()
    liar.send(wire.job("put_cap", root, other))
    eventually(lambda: holds_work(workers[0]), "the first worker does not begin")
    reply = workers[1].producer().put(form, root)
    assert (reply.status, reply.body) == (wire.OK, root)
    # The same bytes with another claim are the same work, and the answer is the claim's own.
    hold.unlink()
    assert liar.receive().status == wire.HASH_MISMATCH
    assert workers[1].producer().put(other, root[::-1]).status == wire.HASH_MISMATCH
    # Also when it is known what these bytes are.
    assert workers[1].producer().put(other).status == wire.OK
    assert workers[1].producer().put(other, root[::-1]).status == wire.HASH_MISMATCH


@needs_failpoints
def test_those_who_wait_are_answered_when_their_worker_stops(make_fleet, scratch):
    hold = scratch / f"hold-{wire.new_id().hex()}"
    hold.touch()
    workers = make_fleet(2, environment={"NUB_WORKER_FAILPOINT": f"3:1:{hold}"})
    form, root = ssz.data(os.urandom(1 << 20))
    workers[0].producer().send(wire.job("put_cap", root, form))
    eventually(lambda: holds_work(workers[0]), "the first worker does not begin")
    waiting = put_at_once(workers[1:], form, [root, b""])
    eventually(lambda: metric(workers[1], "nub_jobs_in_flight") == 2, "the puts do not arrive")
    workers[1].terminate()
    workers[1].terminate()
    for producer in waiting:
        producer.alive = lambda: True
        assert producer.receive().status in (wire.UNAVAILABLE, wire.OK)
    assert workers[1].wait() in (0, 75)
    hold.unlink()


@needs_failpoints
def test_a_pipelines_put_waits_and_leaves_the_journal(make_fleet, scratch):
    hold = scratch / f"hold-{wire.new_id().hex()}"
    hold.touch()
    workers = make_fleet(2, environment={"NUB_WORKER_FAILPOINT": f"3:1:{hold}"})
    form, root = ssz.data(os.urandom(1 << 20))
    first = workers[0].producer()
    first.send(wire.job("put_cap", root, form))
    eventually(lambda: holds_work(workers[0]), "the first worker does not begin")
    push, sink = workers[1].push(), workers[1].sink()
    frames = wire.job("put_cap", b"", form)
    push.send_multipart(frames)
    eventually(lambda: metric(workers[1], "nub_jobs_in_flight") == 1, "the put does not arrive")
    time.sleep(0.3)
    assert sink.nothing_more()
    hold.unlink()
    reply = sink.receive()
    assert (reply.id, reply.status, reply.body, reply.duplicate) == (frames[2], wire.OK, root, True)
    assert first.receive().body == root
    push.close()

    def is_empty() -> bool:
        database = workers[1].database()
        try:
            return database.execute("SELECT count(*) FROM journal").fetchone() == (0,)
        finally:
            database.close()

    eventually(is_empty, "the journal keeps a put that was answered")
