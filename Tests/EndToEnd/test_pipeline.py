"""The pipeline door: a ventilator, the worker, a sink."""

import pytest

import ssz
import wire


@pytest.fixture
def pipeline(make_worker):
    worker = make_worker()
    push, sink = worker.push(), worker.sink()
    yield worker, push, sink
    push.close()


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
