"""The pipeline door: a ventilator, the worker, a sink."""

import json
import os
import subprocess
import time

import pytest
import zmq

import ssz
import watch
import wire


@pytest.fixture
def pipeline(make_worker):
    worker = make_worker()
    push, sink = worker.push(), worker.sink()
    yield worker, push, sink
    push.close()


def uncollected(worker) -> int:
    command = [os.environ["NUB_BIN"], "worker", "ctl", "--json", "--store", str(worker.store)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)
    return json.loads(done.stdout)["status"]["uncollected"]


def collect(sink, jobs):
    replies = {}
    for _ in jobs:
        reply = sink.receive()
        assert reply.id not in replies
        assert reply.envelope == []
        replies[reply.id] = reply
    assert set(replies) == {frames[2] for frames in jobs}
    return replies


def test_every_job_pushed_is_answered_at_the_sink(pipeline):
    _, push, sink = pipeline
    jobs = [wire.call(wire.ECHO, b"pushed %d" % i) for i in range(3000)]
    for frames in jobs:
        push.send_multipart(frames)
    replies = collect(sink, jobs)
    assert all(replies[frames[2]].body == frames[4] for frames in jobs)


def test_every_verb_goes_through_the_pipeline(pipeline):
    _, push, sink = pipeline
    content = b"piped " + wire.new_id()
    form, root = ssz.data(content)

    def ask(frames):
        push.send_multipart(frames)
        reply = sink.receive()
        assert reply.id == frames[2]
        return reply

    assert ask(wire.job("ping")).status == wire.OK
    assert ask(wire.job("find_missing", b"", root)).body == root
    assert ask(wire.job("put_cap", root, form)).body == root
    assert ask(wire.job("find_missing", b"", root)).body == b""
    assert ask(wire.job("get_cap", root)).body == form
    called = wire.call(wire.CAP_SHA256, root)
    assert ask(called).body == ssz.sha256(content)
    assert ask(called).duplicate
    assert ask(wire.job("get_result", b"", called[2])).body == ssz.sha256(content)
    assert ask(wire.job("cancel", b"", wire.new_id())).status == wire.NOT_FOUND
    assert ask(wire.job("dance")).status == wire.BAD_REQUEST
    assert ask(wire.call(9999)).status == wire.UNKNOWN_FUNCTION
    assert ask(wire.job("put_cap", bytes(32), form)).status == wire.HASH_MISMATCH


def test_a_result_of_the_pipeline_is_known_at_the_direct_door(pipeline):
    worker, push, sink = pipeline
    frames = wire.call(wire.ECHO, b"both doors")
    push.send_multipart(frames)
    assert sink.receive().status == wire.OK
    again = worker.producer().ask(frames)
    assert (again.body, again.duplicate) == (b"both doors", True)


def test_replies_wait_for_a_sink_that_comes_late(make_worker):
    worker = make_worker()
    push = worker.push()
    jobs = [wire.call(wire.ECHO, b"%d" % i) for i in range(50)]
    for frames in jobs:
        push.send_multipart(frames)
    # The results are there before anybody collects.
    direct = worker.producer()
    for frames in jobs:
        while direct.job("get_result", b"", frames[2]).status != wire.OK:
            pass
    collect(worker.sink(), jobs)
    push.close()


def test_a_collector_that_is_away_leaves_room_for_those_who_ask(make_worker):
    """What a pipeline brought is held until it is collected: three quarters of the 4096 jobs that a worker accepts, and no more."""
    worker = make_worker()
    push = worker.push()
    push.disconnect(worker.jobs)
    push.setsockopt(zmq.SNDHWM, 0)  # What the worker leaves waits here.
    push.connect(worker.jobs)
    jobs = [wire.call(wire.ECHO, b"%d" % i) for i in range(6_000)]
    for frames in jobs:
        push.send_multipart(frames)

    def results() -> int:
        database = worker.database()
        try:
            return database.execute("SELECT count(*) FROM jobs").fetchone()[0]
        finally:
            database.close()

    deadline = time.monotonic() + wire.PATIENCE_MS / 1_000
    while results() < 3_072:
        assert time.monotonic() < deadline, f"{results()} results"
        time.sleep(0.05)
    direct = worker.producer()
    for i in range(200):
        assert direct.call(wire.ECHO, b"asked %d" % i).status == wire.OK
    assert results() == 3_072 + 200
    # Its operator is told, within a tenth of a second.
    while uncollected(worker) != 3_072:
        assert time.monotonic() < deadline, f"{uncollected(worker)} replies wait"
    collect(worker.sink(), jobs)
    push.close()


def test_results_that_wait_for_a_collector_are_whole_however_large(make_worker):
    """Beyond 64 MiB a result that waits is not held in memory but read again once it can be sent."""
    worker = make_worker()
    push = worker.push()
    jobs = [wire.call(wire.ECHO, b"%06d" % i * 250_000) for i in range(64)]
    for frames in jobs:
        push.send_multipart(frames)
    direct = worker.producer()
    deadline = time.monotonic() + wire.PATIENCE_MS / 1_000
    for frames in jobs:
        while direct.job("get_result", b"", frames[2]).status != wire.OK:
            assert time.monotonic() < deadline
    # Whoever removes a result that waits gets it computed again where somebody asks, and holds nobody up.
    forgotten = jobs.pop()
    command = [os.environ["NUB_BIN"], "results", "forget", "0x" + forgotten[2].hex(), "--store", str(worker.store)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    replies = collect(worker.sink(), jobs)
    for frames in jobs:
        reply = replies[frames[2]]
        assert (reply.status, reply.body == frames[4], reply.duplicate) == (wire.OK, True, False)
    again = direct.ask(forgotten)
    assert (again.status, again.body == forgotten[4], again.duplicate) == (wire.OK, True, False)
    push.close()


def test_answers_that_nobody_collects_hold_their_producer_up(make_worker):
    """A question is no job and takes no credit; its answers may be large."""
    worker = make_worker()
    form, root = ssz.data(bytes(1 << 20))
    assert worker.producer().put(form).status == wire.OK
    push = worker.push()
    push.disconnect(worker.jobs)
    push.setsockopt(zmq.SNDHWM, 0)
    push.connect(worker.jobs)
    questions = [wire.job("get_cap", root) for _ in range(400)]
    before = watch.resident(worker.process.pid)
    for frames in questions:
        push.send_multipart(frames)
    # Time to take all of them, for a worker that would.
    time.sleep(3)
    assert watch.resident(worker.process.pid) - before < 200 << 20
    seen = collect(worker.sink(), questions)
    assert all(reply.status == wire.OK and reply.body == form for reply in seen.values())
    push.close()


def test_an_envelope_survives_the_pipeline(pipeline):
    _, push, sink = pipeline
    push.send_multipart([b"batch 7", b""] + wire.call(wire.ECHO, b"x"))
    assert sink.receive().envelope == [b"batch 7", b""]


@pytest.mark.kvm
def test_one_crashing_job_in_the_pipeline_fails_alone(pipeline):
    _, push, sink = pipeline
    jobs = [wire.call(wire.ECHO, b"%d" % i) for i in range(100)]
    crash = wire.call(wire.FAULT, b"\x00")
    jobs.insert(50, crash)
    for frames in jobs:
        push.send_multipart(frames)
    replies = collect(sink, jobs)
    for frames in jobs:
        assert replies[frames[2]].status == (wire.GUEST_FAULT if frames is crash else wire.OK)


def test_both_doors_at_once(pipeline):
    worker, push, sink = pipeline
    direct = worker.producer()
    pushed = [wire.call(wire.ECHO, b"p%d" % i) for i in range(500)]
    asked = [wire.call(wire.ECHO, b"d%d" % i) for i in range(500)]
    for one, other in zip(pushed, asked):
        push.send_multipart(one)
        direct.send(other)
    replies = collect(sink, pushed)
    for _ in asked:
        reply = direct.receive()
        replies[reply.id] = reply
    assert all(replies[frames[2]].body == frames[4] for frames in pushed + asked)
