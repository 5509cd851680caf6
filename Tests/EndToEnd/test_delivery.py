"""At least once on the wire, once in effect; and tenants that know nothing of each other."""

import pytest

import ssz
import wire
from wire import u64


def test_the_same_job_again_is_a_duplicate_and_does_not_run(make_worker):
    producer = make_worker(lanes=1).producer()
    id = wire.new_id()
    first = producer.call(wire.COUNTER, id=id)
    for _ in range(5):
        again = producer.call(wire.COUNTER, id=id)
        assert (again.status, again.body, again.duplicate) == (wire.OK, first.body, True)
    after = producer.call(wire.COUNTER)
    assert int.from_bytes(after.body, "little") == int.from_bytes(first.body, "little") + 1, "it ran once"


def test_options_are_no_part_of_the_content(producer):
    id = wire.new_id()
    producer.call(wire.ECHO, b"x", id=id, options={"priority": 1})
    again = producer.call(wire.ECHO, b"x", id=id, options={"priority": 9, "deadline_ms": 5000})
    assert (again.status, again.duplicate) == (wire.OK, True)


def test_content_cannot_be_shifted_between_operand_and_body(producer):
    id = wire.new_id()
    assert producer.call(wire.ECHO, b"", id=id).status == wire.OK
    # The same bytes after the verb, cut elsewhere: a digest without lengths would take them for the same.
    reply = producer.job("call", b"", wire.u32(wire.ECHO), id=id)
    assert reply.status in (wire.BAD_REQUEST, wire.CONFLICT)


def test_a_job_that_is_running_is_joined_and_both_askers_are_answered(worker):
    first, second = worker.producer(), worker.producer()
    frames = wire.call(wire.SPIN, u64(400_000))
    first.send(frames)
    second.send(frames)
    replies = [first.receive(), second.receive()]
    assert [reply.status for reply in replies] == [wire.OK, wire.OK]
    assert [reply.id for reply in replies] == [frames[2]] * 2


def test_one_asker_that_sends_twice_is_answered_twice(producer):
    frames = wire.call(wire.SPIN, u64(100_000))
    producer.send(frames)
    producer.send(frames)
    assert [producer.receive().status for _ in range(2)] == [wire.OK] * 2


def test_a_running_job_with_other_content_is_a_conflict(worker):
    first, second = worker.producer(), worker.producer()
    id = wire.new_id()
    first.send(wire.call(wire.SPIN, u64(300_000), id=id))
    first.send(wire.call(wire.SPIN, u64(300_001), id=id))
    replies = [first.receive(), first.receive()]
    assert sorted(reply.status for reply in replies) == [wire.OK, wire.CONFLICT]
    assert second.call(wire.ECHO, b"x", id=id).status == wire.CONFLICT


def test_job_ids_are_scoped_by_tenant(producer):
    id = wire.new_id()
    for tenant, payload in (("a", b"of a"), ("b", b"of b"), ("", b"of nobody")):
        options = {"tenant": tenant} if tenant else {}
        reply = producer.call(wire.ECHO, payload, id=id, options=options)
        assert (reply.status, reply.body, reply.duplicate) == (wire.OK, payload, False)
    for tenant, payload in (("a", b"of a"), ("b", b"of b")):
        assert producer.job("get_result", b"", id, options={"tenant": tenant}).body == payload
    assert producer.job("get_result", b"", id, options={"tenant": "c"}).status == wire.NOT_FOUND


def test_nobody_cancels_another_tenants_job(make_worker):
    producer = make_worker(lanes=1).producer()
    id = producer.send(wire.call(wire.SPIN, u64(300_000), options={"tenant": "mine"}))
    foreign = producer.send(wire.job("cancel", b"", id, options={"tenant": "theirs"}))
    replies = {}
    while len(replies) < 2:
        reply = producer.receive()
        replies[reply.id] = reply
    assert replies[foreign].status == wire.NOT_FOUND
    assert replies[id].status == wire.OK


def test_caps_are_scoped_by_tenant(producer):
    content = b"confidential " + wire.new_id()
    form, root = ssz.data(content)
    mine, theirs = {"tenant": "mine"}, {"tenant": "theirs"}
    assert producer.put(form, options=mine).status == wire.OK
    assert producer.job("get_cap", root, options=mine).body == form

    assert producer.job("get_cap", root, options=theirs).status == wire.NOT_FOUND
    assert producer.missing([root], options=theirs) == [root]
    assert producer.call(wire.CAP_SHA256, root, options=theirs).status == wire.CAP_MISSING
    assert producer.call(wire.ECHO, b"", options={**theirs, "caps": [root.hex()]}).status == wire.CAP_MISSING
    assert producer.put(b"", root, options=theirs).status != wire.OK, "knowing a hash is not having the bytes"
    assert producer.missing([root], options=theirs) == [root]

    assert producer.put(form, root, options=theirs).body == root
    assert producer.missing([root], options=theirs) == []
    assert producer.call(wire.CAP_SHA256, root, options=theirs).body == ssz.sha256(content)


def test_a_tenant_sees_a_sandbox_state_of_its_own(make_worker):
    producer = make_worker(lanes=1).producer()

    def count(tenant):
        return int.from_bytes(producer.call(wire.COUNTER, options={"tenant": tenant}).body, "little")

    first = count("a")
    assert count("a") == first + 1
    assert count("b") == first, "no sandbox passes from one tenant to another unrestored"


@pytest.mark.parametrize("tenant", ["", "x" * 64, "ä" * 32, "a b\n\"'\\/;--"])
def test_any_name_of_at_most_64_bytes_is_a_tenant(producer, tenant):
    id = wire.new_id()
    assert producer.call(wire.ECHO, b"x", id=id, options={"tenant": tenant}).status == wire.OK
    assert producer.job("get_result", b"", id, options={"tenant": tenant}).body == b"x"


def test_a_tenants_name_is_measured_in_bytes(producer):
    assert producer.call(wire.ECHO, b"x", options={"tenant": "ä" * 33}).status == wire.BAD_REQUEST
