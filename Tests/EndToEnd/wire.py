"""The job protocol as a stranger writes it: from protocol.md alone, with pyzmq and nothing of nub's."""

from __future__ import annotations

import json
import os
import struct
import time
from dataclasses import dataclass, field
from typing import Any, Callable

import zmq

MAGIC = b"NUB1"

OK = 0
BAD_REQUEST = 1
UNKNOWN_FUNCTION = 2
GUEST_ERROR = 3
GUEST_FAULT = 4
DEADLINE_EXCEEDED = 5
CANCELLED = 6
CAP_MISSING = 7
CAP_INVALID = 8
HASH_MISMATCH = 9
TOO_LARGE = 10
UNAVAILABLE = 11
CONFLICT = 12
QUARANTINED = 13
UNAUTHORIZED = 14
INTERNAL = 15
NOT_FOUND = 16

BODY_LIMIT = 16 * 1024 * 1024 + 64 * 1024
OPTIONS_LIMIT = 64 * 1024

ECHO, HEAP_STATS, PUT_CAP, BOOT_INFO, EVICT = 1, 2, 4, 5, 6
COUNTER, SPIN, FAULT, FAIL, ALLOC = 16, 17, 18, 19, 20
SHA256, CAP_SHA256, CAP_WORD_COUNT = 256, 257, 258

# How long a reply may take before the test says so. Nothing depends on it being short.
PATIENCE_MS = 60_000

# Jobs that one producer leaves unanswered: a quarter of what a worker accepts.
WINDOW = 1_000


def new_id() -> bytes:
    """A UUIDv7's 16 bytes (RFC 9562, section 5.7): time first, so that ids come in order."""
    value = bytearray(struct.pack(">Q", time.time_ns() // 1_000_000)[2:] + os.urandom(10))
    value[6] = value[6] & 0x0F | 0x70
    value[8] = value[8] & 0x3F | 0x80
    return bytes(value)


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def job(
    verb: str,
    operand: bytes = b"",
    body: bytes = b"",
    options: dict[str, Any] | bytes | None = None,
    caps: list[bytes] | None = None,
    id: bytes | None = None,
) -> list[bytes]:
    """The frames of one job, without an envelope."""
    frames = [MAGIC, verb.encode(), id if id is not None else new_id(), operand, body]
    if isinstance(options, dict):
        frames.append(json.dumps(options).encode())
    elif options is not None:
        frames.append(options)
    elif caps:
        frames.append(b"")
    return frames + list(caps or [])


def call(function: int, payload: bytes = b"", **more: Any) -> list[bytes]:
    return job("call", u32(function), payload, **more)


@dataclass
class Reply:
    id: bytes
    status: int
    body: bytes
    meta: dict[str, Any]
    envelope: list[bytes] = field(default_factory=list)

    @property
    def duplicate(self) -> bool:
        return self.meta.get("duplicate", False)


def parse(frames: list[bytes]) -> Reply:
    """Checks every rule that protocol.md gives for a reply."""
    start = frames.index(MAGIC)
    envelope, frames = frames[:start], frames[start:]
    assert len(frames) == 6, f"a reply has 6 frames, this one {len(frames)}: {[f[:40] for f in frames]}"
    assert frames[1] == b"reply"
    assert 1 <= len(frames[2]) <= 64
    assert len(frames[3]) == 4
    meta = json.loads(frames[5].decode("utf-8"))
    assert isinstance(meta, dict)
    reply = Reply(frames[2], struct.unpack("<I", frames[3])[0], frames[4], meta, envelope)
    assert reply.status <= 16
    if reply.status not in (OK, CAP_MISSING):
        reply.body.decode("utf-8")  # a message for people
    return reply


class Producer:
    """A DEALER on the direct door, or any socket that sends and receives the frames."""

    def __init__(self, context: zmq.Context, endpoint: str, kind: int = zmq.DEALER, **options: int):
        self.socket = context.socket(kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        for name, value in options.items():
            self.socket.setsockopt(getattr(zmq, name), value)
        self.socket.connect(endpoint)
        # Asked while waiting: nobody waits for a reply of the dead.
        self.alive: Callable[[], bool] = lambda: True

    def send(self, frames: list[bytes]) -> bytes | None:
        self.socket.send_multipart(frames)
        return frames[frames.index(MAGIC) + 2] if MAGIC in frames[:-2] else None

    def receive(self, timeout_ms: int = PATIENCE_MS) -> Reply:
        deadline = time.monotonic() + timeout_ms / 1000
        while not self.socket.poll(200):
            assert self.alive() or self.socket.poll(0), "the worker died"
            assert time.monotonic() < deadline, f"no reply within {timeout_ms} ms"
        return parse(self.socket.recv_multipart())

    def ask(self, frames: list[bytes], timeout_ms: int = PATIENCE_MS) -> Reply:
        """Sends a job and waits for its reply: nothing else may arrive first."""
        id = self.send(frames)
        reply = self.receive(timeout_ms)
        assert reply.id == id, f"asked {id!r}, was answered {reply.id!r}"
        return reply

    def ask_all(self, jobs: list[list[bytes]], timeout_ms: int = PATIENCE_MS) -> dict[bytes, Reply]:
        """Asks all jobs and collects their replies, in whatever order they come.

        At most `WINDOW` jobs are unanswered at a time: a worker, however slow, refuses none of them for want of room.
        """
        ids: set[bytes | None] = set()
        replies: dict[bytes, Reply] = {}
        for frames in jobs:
            if len(ids) - len(replies) == WINDOW:
                self.collect(replies, timeout_ms)
            ids.add(self.send(frames))
        while len(replies) < len(jobs):
            self.collect(replies, timeout_ms)
        assert set(replies) == ids
        return replies

    def collect(self, replies: dict[bytes, Reply], timeout_ms: int) -> None:
        reply = self.receive(timeout_ms)
        assert reply.id not in replies, f"answered twice: {reply.id!r}"
        replies[reply.id] = reply

    def call(self, function: int, payload: bytes = b"", **more: Any) -> Reply:
        return self.ask(call(function, payload, **more))

    def job(self, verb: str, operand: bytes = b"", body: bytes = b"", **more: Any) -> Reply:
        return self.ask(job(verb, operand, body, **more))

    def ping(self, timeout_ms: int = PATIENCE_MS) -> dict[str, Any]:
        reply = self.ask(job("ping"), timeout_ms)
        assert reply.status == OK
        return json.loads(reply.body)

    def put(self, wire: bytes, hash: bytes = b"", **more: Any) -> Reply:
        return self.ask(job("put_cap", hash, wire, **more))

    def missing(self, hashes: list[bytes], **more: Any) -> list[bytes]:
        reply = self.ask(job("find_missing", b"", b"".join(hashes), **more))
        assert reply.status == OK, reply
        return split_hashes(reply.body)

    def nothing_more(self) -> bool:
        return not self.socket.poll(0)

    def close(self) -> None:
        self.socket.close()


def split_hashes(body: bytes) -> list[bytes]:
    assert len(body) % 32 == 0
    return [body[i : i + 32] for i in range(0, len(body), 32)]
