"""Every verb on the direct door, and what a reply looks like."""

import json
import os

import pytest
import zmq

import ssz
import wire
from conftest import ENGINE
from wire import u32


def test_ping_describes_the_worker(producer):
    reply = producer.job("ping", b"", b"anything at all \xff\x00")
    assert reply.status == wire.OK
    about = json.loads(reply.body)
    assert about["version"]
    assert about["worker"]
    assert about["engine"] == ENGINE
    assert about["limits"]
    assert about["functions"]


def test_ping_lists_the_functions_of_the_guest(producer):
    functions = json.dumps(producer.ping()["functions"])
    for name in ("echo", "counter", "spin", "fault", "fail", "alloc", "sha256", "cap_sha256", "cap_word_count"):
        assert f'"{name}"' in functions


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 4096, 100_000, 1_000_000])
def test_call_returns_the_functions_result(producer, size):
    payload = bytes(i * 31 % 256 for i in range(size))
    reply = producer.call(wire.ECHO, payload)
    assert (reply.status, reply.body) == (wire.OK, payload)


def test_a_reply_carries_the_meta_that_the_protocol_names(producer):
    meta = producer.call(wire.ECHO, b"x").meta
    assert isinstance(meta["worker"], str) and meta["worker"]
    assert meta["engine"] == ENGINE
    for name in ("queued_us", "run_us", "attempt"):
        assert isinstance(meta[name], int) and meta[name] >= 0, name
    assert "sandbox" in meta
    assert meta.get("duplicate", False) is False


def test_job_ids_are_opaque_from_1_to_64_bytes(producer):
    tag = wire.new_id()
    for id in (tag[:1] + b"", tag + b"\x00" * 48, tag + b"NUB1", b"\xff\xfe" + tag, tag.hex().encode()):
        reply = producer.call(wire.ECHO, id, id=id)
        assert (reply.status, reply.body) == (wire.OK, id)


def test_put_cap_answers_with_the_hash_and_get_cap_with_the_same_bytes(producer):
    for size in (0, 1, 31, 32, 33, 4095, 4096, 4097, 300_000):
        content = wire.new_id() + bytes(size)
        content = content[:size] if size < 16 else content
        form, root = ssz.data(content)
        put = producer.put(form)
        assert (put.status, put.body) == (wire.OK, root), size
        got = producer.job("get_cap", root)
        assert (got.status, got.body) == (wire.OK, form), size


def test_find_missing_answers_in_the_order_of_the_question(producer):
    known = []
    for i in range(10):
        form, root = ssz.data(b"known %d " % i + wire.new_id())
        assert producer.put(form).status == wire.OK
        known.append(root)
    unknown = [ssz.sha256(wire.new_id()) for _ in range(10_000)]
    question = unknown[:3000] + known[:5] + unknown[3000:9000] + known[5:] + unknown[9000:]
    assert producer.missing(question) == unknown


def test_find_missing_of_nothing_is_nothing(producer):
    assert producer.missing([]) == []


def test_find_missing_of_65536_is_answered_whole_and_of_one_more_refused(producer):
    unknown = os.urandom(65_536 * 32)
    reply = producer.job("find_missing", b"", unknown)
    assert (reply.status, reply.body) == (wire.OK, unknown)
    reply = producer.job("find_missing", b"", unknown + bytes(32))
    assert reply.status == wire.TOO_LARGE and b"65536" in reply.body


def test_a_cancel_of_a_finished_job_is_ok_and_changes_nothing(producer):
    frames = wire.call(wire.ECHO, b"finished")
    assert producer.ask(frames).status == wire.OK
    reply = producer.job("cancel", b"", frames[2])
    assert (reply.status, reply.body) == (wire.OK, b"")
    again = producer.ask(frames)
    assert (again.status, again.body, again.duplicate) == (wire.OK, b"finished", True)


def test_get_result_returns_body_and_status_of_another_job(producer):
    id = wire.new_id()
    producer.call(wire.ECHO, b"remember me", id=id)
    reply = producer.job("get_result", b"", id)
    assert (reply.status, reply.body) == (wire.OK, b"remember me")


def test_get_result_of_a_failed_job_is_its_failure(producer):
    id = wire.new_id()
    failed = producer.call(wire.FAIL, u32(77) + b"as asked", id=id)
    assert failed.status == wire.GUEST_ERROR
    reply = producer.job("get_result", b"", id)
    assert reply.status == wire.GUEST_ERROR
    assert reply.body == failed.body
    assert reply.meta["guest_status"] == 77


def test_cancel_of_a_waiting_job_is_its_result(make_worker):
    worker = make_worker(lanes=1)
    producer, other = worker.producer(), worker.producer()
    # One lane: what is behind a job that runs, waits.
    busy = producer.send(wire.call(wire.SPIN, wire.u64(1_500_000)))
    waiting = [producer.send(wire.call(wire.SPIN, wire.u64(300_000))) for _ in range(4)]
    # One DEALER's messages arrive in order, so the last waiting job is known when cancel is read from the same socket.
    cancel = producer.send(wire.job("cancel", b"", waiting[-1]))
    replies = {}
    while len(replies) < 6:
        reply = producer.receive()
        replies[reply.id] = reply
    assert (replies[cancel].status, replies[cancel].body) == (wire.OK, b"")
    assert replies[busy].status == wire.OK
    assert replies[waiting[-1]].status == wire.CANCELLED
    again = other.job("get_result", b"", waiting[-1])
    assert again.status == wire.CANCELLED, "a cancelled job is recorded"


@pytest.mark.kvm
def test_cancel_stops_a_job_that_runs(make_worker):
    worker = make_worker(lanes=1)
    producer = worker.producer()
    endless = producer.send(wire.call(wire.SPIN, wire.u64(0)))
    cancel = producer.send(wire.job("cancel", b"", endless))
    replies = {}
    while len(replies) < 2:
        reply = producer.receive()
        replies[reply.id] = reply
    assert replies[cancel].status == wire.OK
    assert replies[endless].status == wire.CANCELLED
    assert producer.call(wire.ECHO, b"free again").body == b"free again"


def test_only_call_occupies_a_job_id(producer):
    id = wire.new_id()
    for _ in range(2):
        assert producer.job("ping", id=id).status == wire.OK
        assert producer.job("find_missing", b"", bytes(32), id=id).status == wire.OK
        assert producer.put(ssz.data_wire(b"same id " + wire.new_id()), id=id).status == wire.OK
    reply = producer.call(wire.ECHO, b"first call of this id", id=id)
    assert (reply.status, reply.duplicate) == (wire.OK, False)


def test_many_jobs_in_flight_are_each_answered_once(producer):
    jobs = [wire.call(wire.ECHO, b"job %d" % i) for i in range(2000)]
    replies = producer.ask_all(jobs)
    for frames in jobs:
        assert (replies[frames[2]].status, replies[frames[2]].body) == (wire.OK, frames[4])
    assert producer.nothing_more()


def test_many_producers_each_get_their_own_replies(worker):
    producers = [worker.producer() for _ in range(20)]
    expected = {}
    for number, producer in enumerate(producers):
        for i in range(20):
            payload = b"producer %d job %d" % (number, i)
            expected[number, producer.send(wire.call(wire.ECHO, payload))] = payload
    for number, producer in enumerate(producers):
        for _ in range(20):
            reply = producer.receive()
            assert expected.pop((number, reply.id)) == reply.body
    assert not expected


def test_a_req_socket_is_served(worker):
    producer = worker.producer(zmq.REQ)
    for i in range(3):
        assert producer.call(wire.ECHO, b"from REQ %d" % i).body == b"from REQ %d" % i
    assert producer.ping()["worker"]
