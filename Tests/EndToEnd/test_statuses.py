"""Every status that a producer can provoke. 13, 14 and 15 have no provocation on a healthy, open worker; 11 is in
test_lifecycle.py."""

import json
import struct
import time

import pytest

import ssz
import wire
from conftest import ENGINE
from wire import u32, u64


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(wire.job("dance"), id="unknown verb"),
        pytest.param(wire.job(""), id="empty verb"),
        pytest.param(wire.job("CALL", u32(1)), id="verb in capitals"),
        pytest.param(wire.job("call"), id="call without a function"),
        pytest.param(wire.job("call", b"\x01\x00\x00"), id="function of 3 bytes"),
        pytest.param(wire.job("call", u64(1)), id="function of 8 bytes"),
        pytest.param(wire.job("put_cap", bytes(31), ssz.data_wire(b"x")), id="claim of 31 bytes"),
        pytest.param(wire.job("put_cap", bytes(33), ssz.data_wire(b"x")), id="claim of 33 bytes"),
        pytest.param(wire.job("get_cap"), id="get_cap without a hash"),
        pytest.param(wire.job("get_cap", bytes(31)), id="get_cap of 31 bytes"),
        pytest.param(wire.job("find_missing", b"", bytes(33)), id="find_missing of 33 bytes"),
        pytest.param(wire.job("get_result"), id="get_result of an empty id"),
        pytest.param(wire.job("get_result", b"", bytes(65)), id="get_result of 65 bytes"),
        pytest.param(wire.job("cancel"), id="cancel of an empty id"),
        pytest.param(wire.job("ping", options=b"{"), id="options cut off"),
        pytest.param(wire.job("ping", options=b"[]"), id="options an array"),
        pytest.param(wire.job("ping", options=b"null"), id="options null"),
        pytest.param(wire.job("ping", options=b"7"), id="options a number"),
        pytest.param(wire.job("ping", options=b"\xff\xfe{}"), id="options not UTF-8"),
        pytest.param(wire.job("ping", options=b"{} {}"), id="options twice"),
        pytest.param(wire.job("ping", options=b"[" * 60_000), id="options nested deeply"),
        pytest.param(wire.job("ping", caps=[ssz.data_wire(b"x")]), id="caps sent along with a ping"),
    ],
)
def test_1_bad_request(producer, frames):
    frames = list(frames)
    frames[2] = wire.new_id()
    reply = producer.ask(frames)
    assert reply.status == wire.BAD_REQUEST
    assert reply.body, "the message says what to change"


def test_1_is_not_recorded(producer):
    id = wire.new_id()
    assert producer.job("call", b"\x01", b"x", id=id).status == wire.BAD_REQUEST
    assert producer.call(wire.ECHO, b"x", id=id).status == wire.OK


def test_2_unknown_function(producer):
    id = wire.new_id()
    for function in (0, 255, 9999, 0xFFFFFFFF):
        reply = producer.call(function, b"", id=id)
        assert reply.status == wire.UNKNOWN_FUNCTION, function
    assert producer.call(wire.ECHO, b"", id=id).status == wire.OK, "status 2 does not occupy the id"


@pytest.mark.parametrize("status", [1, 2, 255, 256, 0x7FFFFFFF, 0xFFFFFFFF])
def test_3_guest_error_with_the_functions_status_and_message(producer, status):
    reply = producer.call(wire.FAIL, u32(status) + "wörtlich so".encode())
    assert reply.status == wire.GUEST_ERROR
    assert reply.meta["guest_status"] == status
    assert "wörtlich so" in reply.body.decode()


def test_3_is_recorded_and_leaves_the_sandbox_usable(producer):
    id = wire.new_id()
    first = producer.call(wire.FAIL, u32(5) + b"once", id=id)
    second = producer.call(wire.FAIL, u32(5) + b"once", id=id)
    assert (first.status, first.duplicate) == (wire.GUEST_ERROR, False)
    assert (second.status, second.duplicate, second.body) == (wire.GUEST_ERROR, True, first.body)
    assert second.meta["guest_status"] == 5


FAULTS = {
    0: "invalid opcode",
    1: "null read",
    2: "null write",
    3: "write to code",
    4: "execute data",
    5: "stack overflow",
    6: "divide by zero",
    7: "privileged instruction",
    8: "denied port",
    9: "abort",
}


@pytest.mark.kvm
@pytest.mark.parametrize("kind", FAULTS, ids=FAULTS.values())
def test_4_guest_fault(producer, kind):
    reply = producer.call(wire.FAULT, bytes([kind]))
    assert reply.status == wire.GUEST_FAULT
    assert reply.body.decode()
    assert ("it overflowed" in reply.body.decode()) == (FAULTS[kind] == "stack overflow")
    assert producer.call(wire.ECHO, b"others go on").body == b"others go on"


@pytest.mark.kvm
def test_4_is_recorded_after_a_second_try(producer):
    id = wire.new_id()
    first = producer.call(wire.FAULT, b"\x00", id=id)
    assert first.meta["attempt"] == 2, "a fault is tried once more, alone, in a fresh sandbox"
    second = producer.call(wire.FAULT, b"\x00", id=id)
    assert (second.status, second.duplicate, second.body) == (wire.GUEST_FAULT, True, first.body)


@pytest.mark.skipif(ENGINE == "kvm", reason="with KVM the fault functions fault")
@pytest.mark.parametrize("kind", FAULTS, ids=FAULTS.values())
def test_without_isolation_the_fault_functions_answer_with_an_error(producer, kind):
    assert producer.call(wire.FAULT, bytes([kind])).status == wire.GUEST_ERROR


@pytest.mark.kvm
def test_a_crashing_job_fails_alone(producer):
    jobs = [wire.call(wire.ECHO, b"good %d" % i) for i in range(300)]
    bad = [wire.call(wire.FAULT, bytes([kind])) for kind in (0, 1, 6)]
    for position, frames in zip((20, 150, 280), bad):
        jobs.insert(position, frames)
    replies = producer.ask_all(jobs)
    for frames in jobs:
        reply = replies[frames[2]]
        if frames in bad:
            assert reply.status == wire.GUEST_FAULT
        else:
            assert (reply.status, reply.body) == (wire.OK, frames[4])


@pytest.mark.parametrize("status", [0xFFFFFF01, 0xFFFFFF02])
def test_a_function_that_answers_with_a_status_of_nubs_own_is_not_taken_for_a_missing_one(producer, status):
    reply = producer.call(wire.FAIL, struct.pack("<I", status))
    assert reply.status == wire.GUEST_ERROR
    assert reply.meta["guest_status"] == status
    assert reply.body.decode()


@pytest.mark.kvm
def test_5_deadline_exceeded_while_running(producer):
    id = wire.new_id()
    reply = producer.call(wire.SPIN, u64(0), options={"deadline_ms": 100}, id=id)
    assert reply.status == wire.DEADLINE_EXCEEDED
    assert reply.meta["run_us"] >= 100_000, "the time of a job that failed is counted like any other's"
    again = producer.call(wire.SPIN, u64(0), options={"deadline_ms": 100}, id=id)
    assert (again.status, again.duplicate) == (wire.DEADLINE_EXCEEDED, True)


@pytest.mark.kvm
def test_5_only_the_late_job_fails(producer):
    jobs = [wire.call(wire.ECHO, b"%d" % i) for i in range(60)]
    late = wire.call(wire.SPIN, u64(0), options={"deadline_ms": 150})
    jobs.insert(30, late)
    replies = producer.ask_all(jobs)
    for frames in jobs:
        wanted = wire.DEADLINE_EXCEEDED if frames is late else wire.OK
        assert replies[frames[2]].status == wanted


def test_5_expired_before_it_started(producer):
    id = wire.new_id()
    past = int(time.time() * 1000) - 1000
    reply = producer.call(wire.ECHO, b"too late", options={"expires_at_ms": past}, id=id)
    assert reply.status == wire.DEADLINE_EXCEEDED
    again = producer.call(wire.ECHO, b"too late", id=id)
    assert (again.status, again.duplicate) == (wire.DEADLINE_EXCEEDED, True), "recorded, so never run"


def test_7_cap_missing_names_every_missing_hash(producer):
    first, second = ssz.sha256(wire.new_id()), ssz.sha256(wire.new_id())
    form, present = ssz.data(b"present " + wire.new_id())
    assert producer.put(form).status == wire.OK
    hashes = [first.hex(), present.hex(), second.hex()]
    reply = producer.call(wire.ECHO, b"", options={"caps": hashes})
    assert reply.status == wire.CAP_MISSING
    assert sorted(wire.split_hashes(reply.body)) == sorted([first, second])


def test_7_is_not_recorded_so_the_producer_uploads_and_tries_again(producer):
    content = b"comes later " + wire.new_id()
    form, root = ssz.data(content)
    id = wire.new_id()
    reply = producer.call(wire.CAP_SHA256, root, id=id)
    assert (reply.status, reply.body) == (wire.CAP_MISSING, root)
    assert producer.put(form).status == wire.OK
    reply = producer.call(wire.CAP_SHA256, root, id=id)
    assert (reply.status, reply.body) == (wire.OK, ssz.sha256(content))


def test_10_too_large_a_body(producer):
    reply = producer.job("ping", b"", bytes(wire.BODY_LIMIT + 1))
    assert reply.status == wire.TOO_LARGE
    assert producer.call(wire.ECHO, b"on").status == wire.OK


def test_a_body_of_exactly_the_limit_is_accepted(producer):
    assert producer.job("ping", b"", bytes(wire.BODY_LIMIT)).status == wire.OK


def test_12_conflict_leaves_the_first_result(producer):
    id = wire.new_id()
    assert producer.call(wire.ECHO, b"one", id=id).body == b"one"
    assert producer.call(wire.ECHO, b"two", id=id).status == wire.CONFLICT
    assert producer.call(wire.SHA256, b"one", id=id).status == wire.CONFLICT
    again = producer.call(wire.ECHO, b"one", id=id)
    assert (again.status, again.body, again.duplicate) == (wire.OK, b"one", True)


@pytest.mark.parametrize("verb", ["get_result", "cancel"])
def test_16_not_found_job(producer, verb):
    reply = producer.job(verb, b"", wire.new_id())
    assert reply.status == wire.NOT_FOUND


def test_16_not_found_cap(producer):
    assert producer.job("get_cap", ssz.sha256(wire.new_id())).status == wire.NOT_FOUND
    assert producer.job("get_cap", b"\xff" * 32).status == wire.NOT_FOUND, "all 0xFF never names a cap"


def test_messages_are_for_people(producer):
    reply = producer.call(9999)
    assert "9999" in reply.body.decode()
    assert json.dumps(reply.meta)
