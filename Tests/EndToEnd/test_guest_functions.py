"""The guest's functions, compared with the tools that people have."""

import hashlib
import struct
import subprocess

import pytest

import ssz
import wire
from wire import u64

TEXTS = {
    "empty": b"",
    "one line": b"hello world\n",
    "no newline at the end": b"one two  three",
    "spaces of every kind": b" a\tb\nc\vd\fe\rf \n\n\n",
    "bytes that are no text": bytes(range(256)) * 40,
    "utf-8": "Wörter über Wörter — und ein Gedankenstrich\n".encode() * 50,
    "long": b"the quick brown fox\njumps\n" * 20_000,
}


def wc(content: bytes) -> tuple[int, ...]:
    answer = subprocess.run(["wc", "-l", "-w", "-c"], input=content, capture_output=True, env={"LC_ALL": "C"}, check=True)
    return tuple(map(int, answer.stdout.split()))


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS.keys())
def test_cap_word_count_counts_as_wc_does(producer, content):
    form, root = ssz.data(content)
    assert producer.put(form).status == wire.OK
    reply = producer.call(wire.CAP_WORD_COUNT, root)
    assert reply.status == wire.OK
    assert struct.unpack("<QQQ", reply.body) == wc(content)


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS.keys())
def test_cap_sha256_is_sha256(producer, content):
    form, root = ssz.data(content)
    assert producer.put(form).status == wire.OK
    reply = producer.call(wire.CAP_SHA256, root)
    assert (reply.status, reply.body) == (wire.OK, hashlib.sha256(content).digest())


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 1 << 20])
def test_sha256_is_sha256(producer, size):
    payload = hashlib.shake_128(b"%d" % size).digest(size)
    reply = producer.call(wire.SHA256, payload)
    assert (reply.status, reply.body) == (wire.OK, hashlib.sha256(payload).digest())


@pytest.mark.parametrize("function", [wire.CAP_SHA256, wire.CAP_WORD_COUNT])
def test_a_cap_of_another_kind_is_a_guest_error(producer, function):
    form, root = ssz.cap(ssz.Type(image_hash_chain=ssz.sha256(wire.new_id())))
    assert producer.put(form).status == wire.OK
    assert producer.call(function, root).status == wire.GUEST_ERROR


@pytest.mark.parametrize("payload", [b"", bytes(31), bytes(33)])
@pytest.mark.parametrize("function", [wire.CAP_SHA256, wire.CAP_WORD_COUNT])
def test_a_payload_that_is_no_hash_is_a_guest_error(producer, function, payload):
    assert producer.call(function, payload).status == wire.GUEST_ERROR


@pytest.mark.parametrize("function", [wire.SPIN, wire.FAULT, wire.FAIL, wire.ALLOC])
def test_a_short_payload_is_a_guest_error(producer, function):
    assert producer.call(function, b"").status == wire.GUEST_ERROR


def test_spin_takes_at_least_as_long_as_it_was_asked(producer):
    reply = producer.call(wire.SPIN, u64(50_000))
    assert reply.status == wire.OK
    assert reply.meta["run_us"] >= 45_000


def test_alloc_within_the_heap_succeeds_and_beyond_it_fails_alone(producer):
    assert producer.call(wire.ALLOC, u64(1 << 20)).status == wire.OK
    assert producer.call(wire.ALLOC, u64(1 << 40)).status in (wire.GUEST_ERROR, wire.GUEST_FAULT)
    assert producer.call(wire.ECHO, b"still here").body == b"still here"


def test_the_heap_is_given_back(producer):
    replies = producer.ask_all([wire.call(wire.ALLOC, u64(8 << 20)) for _ in range(100)])
    assert {reply.status for reply in replies.values()} == {wire.OK}


def test_diagnostics_answer(producer):
    assert producer.call(wire.HEAP_STATS).status == wire.OK
    assert len(producer.call(wire.BOOT_INFO).body) > 0
    assert len(producer.call(wire.COUNTER).body) == 8
