"""Options: each one, unknown ones, wrong types, limits."""

import json
import time

import pytest

import ssz
import wire
from wire import u64


def test_all_options_together_are_accepted(producer):
    form, root = ssz.data(b"option " + wire.new_id())
    assert producer.put(form, options={"tenant": "options"}).status == wire.OK
    options = {
        "deadline_ms": 30_000,
        "expires_at_ms": int(time.time() * 1000) + 3_600_000,
        "tenant": "options",
        "priority": 9,
        "fresh": True,
        "caps": [root.hex()],
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
    reply = producer.call(wire.ECHO, b"all of them", options=options)
    assert (reply.status, reply.body) == (wire.OK, b"all of them")


@pytest.mark.parametrize("options", [b"", b"{}", b" {\n} ", b'{"nobody_knows": [1, {"a": null}]}'])
def test_absent_empty_and_unknown_options_are_ignored(producer, options):
    assert producer.call(wire.ECHO, b"x", options=options).status == wire.OK


@pytest.mark.parametrize(
    "options",
    [
        {"deadline_ms": "100"},
        {"deadline_ms": True},
        {"deadline_ms": []},
        {"deadline_ms": -1},
        {"deadline_ms": 1.5},
        {"expires_at_ms": "tomorrow"},
        {"expires_at_ms": {}},
        {"tenant": 7},
        {"tenant": ["a"]},
        {"tenant": "x" * 65},
        {"priority": "high"},
        {"priority": 10},
        {"priority": -1},
        {"priority": 5.5},
        {"fresh": "yes"},
        {"fresh": 1},
        {"caps": "00" * 32},
        {"caps": [7]},
        {"caps": ["00"]},
        {"caps": ["zz" * 32]},
        {"traceparent": 1},
    ],
    ids=json.dumps,
)
def test_a_wrong_type_is_a_bad_request(producer, options):
    reply = producer.call(wire.ECHO, b"x", options=options)
    assert reply.status == wire.BAD_REQUEST
    name = next(iter(options))
    assert name in reply.body.decode(), "the message names the option"


@pytest.mark.parametrize("text", ['{"deadline_ms": 1.5}', '{"deadline_ms": 1000.0}', '{"deadline_ms": 1e3}', '{"priority": 5.0}', '{"expires_at_ms": 1e12}'])
def test_a_number_that_some_libraries_write_with_a_point_is_refused_as_what_it_is(producer, text):
    reply = producer.call(wire.ECHO, b"x", options=text.encode())
    assert reply.status == wire.BAD_REQUEST and b"a whole number" in reply.body, reply


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e400", "-1e400", "18446744073709551616", "-9223372036854775809"])
@pytest.mark.parametrize("name", ["deadline_ms", "expires_at_ms", "priority"])
def test_huge_numbers_are_refused_or_clamped_but_answered(producer, name, number):
    reply = producer.call(wire.ECHO, b"x", options=f'{{"{name}": {number}}}'.encode())
    assert reply.status in (wire.OK, wire.BAD_REQUEST, wire.DEADLINE_EXCEEDED)


@pytest.mark.parametrize("priority", range(10))
def test_every_priority_is_served(producer, priority):
    assert producer.call(wire.ECHO, b"x", options={"priority": priority}).status == wire.OK


def test_options_of_64_kib_are_read_and_larger_ones_refused(producer):
    padding = wire.OPTIONS_LIMIT - len(b'{"pad":""}')
    assert producer.call(wire.ECHO, b"x", options=b'{"pad":"' + b"x" * padding + b'"}').status == wire.OK
    refused = producer.call(wire.ECHO, b"x", options=b'{"pad":"' + b"x" * (padding + 1) + b'"}')
    assert refused.status in (wire.BAD_REQUEST, wire.TOO_LARGE)


def test_a_sandbox_keeps_its_state_unless_fresh_is_asked_for(make_worker):
    producer = make_worker(lanes=1).producer()

    def count(**options):
        reply = producer.call(wire.COUNTER, options=options)
        assert reply.status == wire.OK
        return int.from_bytes(reply.body, "little")

    first = count()
    assert count() == first + 1
    assert count() == first + 2
    fresh = count(fresh=True)
    assert fresh == count(fresh=True) == first, "restored to its first state"


def test_caps_in_options_are_had_in_the_directory_first(producer):
    contents = [b"listed %d " % i + wire.new_id() for i in range(5)]
    roots = []
    for content in contents:
        form, root = ssz.data(content)
        assert producer.put(form).status == wire.OK
        roots.append(root)
    reply = producer.call(wire.CAP_SHA256, roots[3], options={"caps": [root.hex() for root in roots]})
    assert (reply.status, reply.body) == (wire.OK, ssz.sha256(contents[3]))


def test_expiry_in_the_future_does_not_hinder(producer):
    reply = producer.call(wire.ECHO, b"x", options={"expires_at_ms": int(time.time() * 1000) + 600_000})
    assert reply.status == wire.OK


def test_the_default_tenant_is_a_tenant_of_its_own(producer):
    id = wire.new_id()
    producer.call(wire.ECHO, b"nobody's", id=id)
    assert producer.job("get_result", b"", id, options={"tenant": "somebody"}).status == wire.NOT_FOUND


def test_a_deadline_that_is_kept_changes_nothing(producer):
    reply = producer.call(wire.SPIN, u64(1000), options={"deadline_ms": 60_000})
    assert reply.status == wire.OK


@pytest.mark.kvm
def test_a_deadline_of_0_ends_what_is_not_done_at_once(producer):
    reply = producer.call(wire.SPIN, u64(50_000_000), options={"deadline_ms": 0})
    assert reply.status == wire.DEADLINE_EXCEEDED


def test_caps_names_256_and_not_one_more(producer):
    form, root = ssz.data(b"named " + wire.new_id())
    assert producer.put(form).status == wire.OK
    assert producer.call(wire.ECHO, b"x", options={"caps": [root.hex()] * 256}).status == wire.OK
    reply = producer.call(wire.ECHO, b"x", options={"caps": [root.hex()] * 257})
    assert reply.status == wire.BAD_REQUEST and b"256" in reply.body
