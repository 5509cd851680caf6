"""Frames, ids and the rules of sending again: everything that the two clients share and that needs no socket."""

from __future__ import annotations

import enum
import json
import os
import random
import struct
import time
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Sequence, TypedDict

import zmq

from ._arguments import cap_hashes, job_id, list_of_octets, octets, seconds, text, truth, whole
from ._cap import data_cap
from ._errors import BY_STATUS, JobError, ProtocolError

MAGIC = b"NUB1"
# Hashes in one find_missing: the protocol allows 65 536; fewer let the worker answer others in between.
HASHES_PER_QUESTION = 16_384
# Bytes of uploads in flight in put_many, so that a large set does not sit in a socket's queue.
UPLOAD_WINDOW = 32 * 1024 * 1024


class Status(enum.IntEnum):
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


def new_job_id() -> bytes:
    """A UUIDv7 (RFC 9562, 5.7), 16 bytes. In order of time, which keeps the store's index fast."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    # The twelve bits after the version hold the fraction of the millisecond (RFC 9562, 6.2, method 3).
    high = milliseconds << 16 | 0x7000 | rest * 4096 // 1_000_000
    low = int.from_bytes(os.urandom(8), "big") & (1 << 62) - 1 | 1 << 63
    return struct.pack(">QQ", high & (1 << 64) - 1, low)


@dataclass(frozen=True)
class CurveKeys:
    """CURVE keys in Z85 (40 characters each)."""

    server: bytes
    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def read(cls, secret: str | os.PathLike[str], server: str | os.PathLike[str]) -> "CurveKeys":
        """From files as `nub keygen` makes them: this producer's NAME.secret, and the worker's NAME.pub or printed key.

        Raises PermissionError where others can read the secret, ValueError where a file holds no key.
        """
        if os.stat(secret).st_mode & 0o077:
            raise PermissionError(f"{os.fspath(secret)} can be read by others: chmod 600 {os.fspath(secret)}")
        own = _key_lines(secret)
        text = os.fspath(server)
        key = text if len(text) == 40 and not os.path.exists(text) else _key_lines(server).get("public-key", "")
        keys = [key, own.get("public-key", ""), own.get("secret-key", "")]
        if any(len(one) != 40 for one in keys):
            raise ValueError("a key has 40 characters (Z85); files are those of `nub keygen`")
        return cls(*(one.encode("ascii") for one in keys))


def _key_lines(path: str | os.PathLike[str]) -> dict[str, str]:
    """The `name = value` lines of a key file."""
    with open(path, encoding="utf-8") as file:
        pairs = [line.split("=", 1) for line in file if "=" in line and not line.lstrip().startswith("#")]
    return {name.strip(): value.strip() for name, value in pairs}


@dataclass(frozen=True)
class RetryPolicy:
    """When a message is sent again, with the same id. Seconds."""

    first: float = 2.0
    factor: float = 2.0
    longest: float = 30.0

    def pause(self, attempt: int) -> float:
        """The pause after the `attempt`th sending (from 1), a little scattered so that producers do not march in step."""
        return min(self.longest, self.first * self.factor ** min(attempt - 1, 60)) * random.uniform(0.85, 1.15)


@dataclass(frozen=True)
class Result:
    """A reply with status 0."""

    id: bytes
    body: bytes
    meta: Mapping[str, Any]

    @property
    def duplicate(self) -> bool:
        """Whether it was answered from the store and nothing ran."""
        return bool(self.meta.get("duplicate", False))


@dataclass(frozen=True)
class PutResult:
    hash: bytes
    #: False when the worker had it already and nothing was uploaded.
    stored: bool


class CallOptions(TypedDict, total=False):
    """The keywords of `call`: CallRequest's fields but function and payload."""

    id: bytes | None
    caps: Sequence[bytes]
    cap_forms: Sequence[bytes]
    deadline: float | None
    expires_at: float | None
    tenant: str | None
    priority: int | None
    fresh: bool | None
    need: Iterable[bytes]
    traceparent: str | None


@dataclass
class CallRequest:
    """One call. `caps` are contents of Data caps to send along; `cap_forms` caps of any kind in wire form."""

    function: int
    payload: bytes = b""
    id: bytes | None = None
    caps: Sequence[bytes] = ()
    cap_forms: Sequence[bytes] = ()
    deadline: float | None = None
    expires_at: float | None = None
    tenant: str | None = None
    priority: int | None = None
    fresh: bool | None = None
    need: Iterable[bytes] = ()
    traceparent: str | None = None

    def frames(self, default_tenant: str | None) -> list[bytes]:
        options: dict[str, Any] = {}
        if self.deadline is not None:
            # More than the protocol has room for is more than any worker allows.
            options["deadline_ms"] = min(max(1, round(seconds(self.deadline, "deadline") * 1000)), (1 << 32) - 1)
        if self.expires_at is not None:
            options["expires_at_ms"] = min(round(seconds(self.expires_at, "expires_at") * 1000), (1 << 64) - 1)
        if self.priority is not None:
            options["priority"] = whole(self.priority, "priority", 9)
        if self.fresh is not None:
            options["fresh"] = truth(self.fresh, "fresh")
        if need := cap_hashes(self.need, "need"):
            options["caps"] = [hash.hex() for hash in need]
        if self.traceparent is not None:
            options["traceparent"] = text(self.traceparent, "traceparent", 64)
        tenant = self.tenant if self.tenant is not None else default_tenant
        forms = [data_cap(content) for content in list_of_octets(self.caps, "caps")]
        forms += list_of_octets(self.cap_forms, "cap_forms")
        operand = struct.pack("<I", whole(self.function, "function", (1 << 32) - 1))
        return job_frames("call", operand, octets(self.payload, "payload"), self.id, tenant, options, forms)


def job_frames(
    verb: str,
    operand: bytes,
    body: bytes,
    id: bytes | None,
    tenant: str | None,
    options: dict[str, Any] | None = None,
    caps: Sequence[bytes] = (),
) -> list[bytes]:
    options = dict(options or {})
    if tenant is not None:
        options["tenant"] = text(tenant, "tenant", 64)
    id = new_job_id() if id is None else job_id(id)
    frames = [MAGIC, verb.encode("ascii"), id, operand, body]
    if options or caps:
        frames.append(json.dumps(options, separators=(",", ":")).encode() if options else b"")
    return frames + list(caps)


@dataclass(frozen=True)
class Reply:
    id: bytes
    status: int
    body: bytes
    meta: Mapping[str, Any]

    def result(self) -> Result:
        """The result, or the exception of its status."""
        error = self.error()
        if error is not None:
            raise error
        return Result(self.id, self.body, self.meta)

    def error(self) -> JobError | None:
        if self.status == 0:
            return None
        return BY_STATUS.get(self.status, JobError)(self.status, self.body, self.id, self.meta)


def parse_reply(frames: Sequence[bytes]) -> Reply:
    try:
        start = frames.index(MAGIC)
        _, kind, id, status, body = frames[start : start + 5]
        meta = json.loads(frames[start + 5].decode("utf-8")) if len(frames) > start + 5 else {}
        if kind != b"reply" or not isinstance(meta, dict):
            raise ValueError("not a reply")
        return Reply(id, struct.unpack("<I", status)[0], body, meta)
    except (ValueError, struct.error) as cause:
        raise ProtocolError(f"not a reply of nub's: {len(frames)} frames") from cause


class Pending:
    """One request under way: when to send it next, and when to give up. Pure; the clock is the caller's."""

    def __init__(self, frames: list[bytes], now: float, timeout: float, retry: RetryPolicy):
        self.frames = frames
        self.id = frames[2]
        self.timeout = timeout
        self.deadline = now + timeout
        self.retry = retry
        self.attempts = 0
        self.next_send = now
        self.refusal: Reply | None = None

    def sent(self, now: float) -> None:
        self.attempts += 1
        self.refusal = None
        self.next_send = now + self.retry.pause(self.attempts)

    def take(self, reply: Reply, now: float) -> bool:
        """Whether the reply ends the request; `unavailable` asks to send again later instead."""
        if reply.status != Status.UNAVAILABLE:
            return True
        after = reply.meta.get("retry_after_ms")
        pause = after / 1000 if isinstance(after, (int, float)) and after >= 0 else self.retry.first
        pause = min(pause, self.retry.longest) * random.uniform(1, 1.2)
        if now + pause >= self.deadline:
            return True
        self.refusal = reply
        self.next_send = now + pause
        return False

    def wake(self) -> float:
        return min(self.next_send, self.deadline)


def configure(socket: zmq.Socket[Any], curve: CurveKeys | None) -> None:
    """Set on purpose: libzmq's defaults lose messages to peers that are gone, or hang at exit."""
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.SNDHWM, 1000)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 2500)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 7500)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
    if curve is not None:
        socket.curve_serverkey = curve.server
        socket.curve_publickey = curve.public
        socket.curve_secretkey = curve.secret


def connect(socket: zmq.Socket[Any], endpoints: Iterable[str]) -> None:
    for endpoint in endpoints:
        if not isinstance(endpoint, str):
            raise TypeError(f"endpoint wants a str, not {type(endpoint).__name__}")
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as cause:
            raise ValueError(f'"{endpoint}" is not an endpoint, such as tcp://HOST:PORT or ipc://PATH: {cause}') from cause


def split_hashes(body: bytes) -> list[bytes]:
    if len(body) % 32:
        raise ProtocolError("hashes are 32 bytes each")
    return [body[i : i + 32] for i in range(0, len(body), 32)]
