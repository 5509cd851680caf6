"""Killing, restarting, draining: what was replied is there, what was journaled runs."""

import sqlite3
import time

import pytest

import ssz
import wire
from wire import u64


def integrity(worker) -> str:
    database = worker.database()
    try:
        return database.execute("PRAGMA integrity_check").fetchone()[0]
    finally:
        database.close()


def test_results_and_caps_survive_sigkill(make_worker):
    worker = make_worker()
    producer = worker.producer()
    contents = [b"survivor %d " % i + wire.new_id() for i in range(50)]
    caps = [ssz.data(content) for content in contents]
    for form, root in caps:
        assert producer.put(form).body == root
    jobs = [wire.call(wire.CAP_SHA256, root) for _, root in caps] + [wire.call(wire.FAIL, wire.u32(9) + b"kept")]
    before = producer.ask_all(jobs)
    producer.close()

    worker.restart()
    producer = worker.producer()
    assert producer.missing([root for _, root in caps]) == []
    after = producer.ask_all(jobs)
    for id, reply in after.items():
        assert reply.duplicate, "answered from the store, not run"
        assert (reply.status, reply.body) == (before[id].status, before[id].body)
    for content, (_, root) in zip(contents[:5], caps):
        fresh = producer.call(wire.CAP_SHA256, root)
        assert (fresh.body, fresh.duplicate) == (ssz.sha256(content), False), "the guest gets the cap from the store"
    assert integrity(worker) == "ok"


def test_nothing_that_was_acknowledged_is_lost_by_killing_in_the_middle(make_worker):
    worker = make_worker()
    acknowledged = {}
    for life in range(5):
        producer = worker.producer()
        sent = {}
        for i in range(400):
            frames = wire.call(wire.ECHO, b"life %d job %d" % (life, i))
            sent[producer.send(frames)] = frames
        for _ in range(50 + 60 * life):
            reply = producer.receive()
            acknowledged[reply.id] = sent[reply.id]
        producer.close()
        worker.restart()
        assert integrity(worker) == "ok"
    replies = worker.producer().ask_all(list(acknowledged.values()))
    for id, frames in acknowledged.items():
        assert (replies[id].status, replies[id].body) == (wire.OK, frames[4])
        assert replies[id].duplicate, "it had been acknowledged, so it does not run again"


def test_the_store_is_readable_by_the_stock_library_while_the_worker_runs(make_worker):
    worker = make_worker()
    producer = worker.producer()
    form, root = ssz.data(b"row " + wire.new_id())
    producer.put(form)
    ids = [wire.new_id() for _ in range(20)]
    for id in ids:
        producer.call(wire.ECHO, b"row", id=id)
    assert integrity(worker) == "ok"
    database = worker.database()
    try:
        stored = {bytes(row[0]) for row in database.execute("SELECT job_id FROM jobs")}
        assert set(ids) <= stored
        assert database.execute("SELECT size FROM caps WHERE hash = ?", (root,)).fetchone() == (len(form),)
        assert database.execute("SELECT count(*) FROM results").fetchone()[0] >= 20
        assert database.execute("SELECT count(*) FROM caps_summary").fetchone()[0] >= 1
    finally:
        database.close()


def test_sigterm_drains_answers_11_meanwhile_and_exits_0(make_worker):
    worker = make_worker(lanes=1)
    producer, late = worker.producer(), worker.producer()
    assert late.ping()
    # Long enough to see the refusal; the test ends as soon as it has seen it.
    running = producer.send(wire.call(wire.SPIN, u64(2_000_000)))
    # Read in order: when this ping is answered the job was taken.
    assert producer.ping()
    worker.terminate()
    refused = None
    deadline = time.monotonic() + 60
    while refused is None and time.monotonic() < deadline:
        late.send(wire.call(wire.ECHO, b"late"))
        if not late.socket.poll(200):
            continue  # Taken just before the signal was seen, and waiting behind the job that runs.
        reply = late.receive()
        if reply.status == wire.UNAVAILABLE:
            refused = reply
    reply = producer.receive()
    assert (reply.id, reply.status) == (running, wire.OK), "what ran was finished"
    assert worker.wait() == 0
    assert refused is not None, "a draining worker says so"
    assert refused.meta["retry_after_ms"] > 0


def test_sigterm_with_nothing_to_do_exits_0(make_worker):
    worker = make_worker()
    worker.terminate()
    assert worker.wait() == 0


def test_sigint_exits_0(make_worker):
    import signal

    worker = make_worker()
    worker.process.send_signal(signal.SIGINT)
    assert worker.wait() == 0
    assert integrity(worker) == "ok"


def test_a_new_worker_starts_on_the_store_of_a_drained_one(make_worker):
    worker = make_worker()
    frames = wire.call(wire.ECHO, b"kept")
    assert worker.producer().ask(frames).status == wire.OK
    worker.terminate()
    assert worker.wait() == 0
    worker.start()
    assert worker.producer().ask(frames).duplicate


def test_a_producer_that_stays_connected_is_served_by_the_next_worker(make_worker):
    worker = make_worker()
    producer = worker.producer(RECONNECT_IVL=10, RECONNECT_IVL_MAX=100)
    assert producer.call(wire.ECHO, b"first life").status == wire.OK
    worker.restart()
    frames = wire.call(wire.ECHO, b"second life")
    # The old connection may still take a message along: sending again with the same id is the protocol's answer.
    for _ in range(30):
        producer.send(frames)
        if producer.socket.poll(2000):
            break
    assert producer.receive().body == b"second life"


def test_two_workers_on_one_store_serve_each_others_results(make_worker):
    first = make_worker()
    frames = wire.call(wire.ECHO, b"shared")
    form, root = ssz.data(b"shared " + wire.new_id())
    assert first.producer().ask(frames).status == wire.OK
    assert first.producer().put(form).status == wire.OK
    second = make_worker(start=False)
    second.store = first.store
    second.start()
    producer = second.producer()
    again = producer.ask(frames)
    assert (again.body, again.duplicate) == (b"shared", True)
    assert producer.missing([root]) == []
    assert integrity(first) == "ok"


def test_a_file_that_is_no_store_is_refused_and_left_alone(make_worker):
    import os
    import subprocess

    worker = make_worker(start=False)
    worker.store.write_bytes(b"this is a letter to my grandmother, not a database\n" * 200)
    before = worker.store.read_bytes()
    done = subprocess.run(
        [os.environ["NUB_BIN"], "worker", "--serve", worker.serve, "--store", str(worker.store)],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert str(worker.store) in done.stderr.decode()
    assert worker.store.read_bytes() == before


def journaled(worker, id: bytes) -> bool:
    """Whether a pulled job is in the journal (store.md: one row per batch, its jobs in a blob)."""
    try:
        database = worker.database()
        try:
            rows = database.execute("SELECT count(*) FROM journal WHERE instr(jobs, ?)", (id,)).fetchone()
            return rows[0] > 0
        finally:
            database.close()
    except sqlite3.OperationalError:
        return False


@pytest.mark.parametrize("kills", [1, 2])
def test_journaled_pipeline_jobs_survive_sigkill(make_worker, kills):
    worker = make_worker(lanes=1)
    push, sink = worker.push(), worker.sink()
    form, root = ssz.data(b"journaled " + wire.new_id())
    jobs = [wire.call(wire.SPIN, u64(1_500_000))]
    jobs += [wire.call(wire.ECHO, b"journaled %d" % i) for i in range(10)]
    jobs.append(wire.job("put_cap", b"", form))
    wanted = {frames[2]: frames for frames in jobs}
    replies = {}
    for frames in jobs:
        push.send_multipart(frames)
    for _ in range(kills):
        deadline = time.monotonic() + 60
        # A job is safe from here on: it was answered, or it is in the journal.
        while not all(id in replies or journaled(worker, id) for id in wanted):
            assert time.monotonic() < deadline, "the jobs never reached the journal"
            while sink.socket.poll(5):
                reply = wire.parse(sink.socket.recv_multipart())
                replies[reply.id] = reply
        worker.restart()
    direct = worker.producer()
    deadline = time.monotonic() + 60
    while set(replies) != set(wanted) and time.monotonic() < deadline:
        if sink.socket.poll(100):
            reply = wire.parse(sink.socket.recv_multipart())
            replies[reply.id] = reply
            continue
        # A reply that died with the worker after its result was recorded is in the store (protocol.md, front doors).
        for id in set(wanted) - set(replies):
            if wanted[id][1] == b"call":
                reply = direct.job("get_result", b"", id)
                if reply.status == wire.OK:
                    replies[id] = reply
            elif direct.missing([root]) == []:
                replies[id] = wire.Reply(id, wire.OK, root, {})
    assert set(replies) == set(wanted)
    for id, frames in wanted.items():
        assert replies[id].status == wire.OK
        if frames[3] == wire.u32(wire.ECHO):
            assert replies[id].body == frames[4]
    assert direct.missing([root]) == []
    assert integrity(worker) == "ok"
    push.close()
