"""The asyncio client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import weakref
from typing import Any, Iterable, Literal, Sequence, Unpack, overload

import zmq
import zmq.asyncio

from ._arguments import cap_hash, cap_hashes, job_id, list_of_octets, octets, seconds
from ._cap import data_cap, data_hash
from ._errors import Conflict, HashMismatch, NubError, ProtocolError, RequestTimeout
from ._protocol import (
    HASHES_PER_QUESTION,
    CallOptions,
    CallRequest,
    CurveKeys,
    Pending,
    PutResult,
    Reply,
    Result,
    RetryPolicy,
    configure,
    connect,
    job_frames,
    parse_reply,
    split_hashes,
)


class _UnderWay:
    """A message under way, and those who wait for its reply."""

    def __init__(self, frames: list[bytes]):
        self.frames = frames
        self.inboxes: list[asyncio.Queue[Reply]] = []


async def _read(socket: zmq.asyncio.Socket, under_way: "dict[bytes, _UnderWay]") -> None:
    # It knows nothing of the client, which may be collected while it waits.
    while True:
        frames = await socket.recv_multipart()
        try:
            reply = parse_reply(frames)
        except ProtocolError:
            continue  # Nobody to give it to; the job is asked for again.
        message = under_way.get(reply.id)
        if message is not None:  # Otherwise a second answer to something sent twice.
            for inbox in message.inboxes:
                inbox.put_nowait(reply)


def _release(reader: asyncio.Task[None], socket: zmq.asyncio.Socket, context: zmq.asyncio.Context) -> None:
    # The loop may have ended before.
    with contextlib.suppress(RuntimeError):
        reader.cancel()
    with contextlib.suppress(RuntimeError):
        socket.close(0)
    zmq.Socket.close(socket, 0)
    context.term()


class AsyncClient:
    """A producer at a worker's direct door, for one event loop; any number of requests at once."""

    def __init__(
        self,
        endpoint: str | Sequence[str] = "tcp://127.0.0.1:7700",
        *,
        tenant: str | None = None,
        timeout: float = 60.0,
        retry: RetryPolicy = RetryPolicy(),
        curve: CurveKeys | None = None,
        window: int = 512,
    ):
        """`timeout` is in seconds and per request; `window` how many messages are under way at once."""
        self.tenant = tenant
        self.timeout = timeout
        self.retry = retry
        self._endpoints = [endpoint] if isinstance(endpoint, str) else list(endpoint)
        self._curve = curve
        self._window = asyncio.Semaphore(window)
        self._under_way: dict[bytes, _UnderWay] = {}
        self._socket: zmq.asyncio.Socket | None = None
        self._reader: asyncio.Task[None] | None = None
        self._release: weakref.finalize[..., AsyncClient] | None = None

    async def __aenter__(self) -> "AsyncClient":
        self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _open(self) -> zmq.asyncio.Socket:
        if self._socket is None:
            context = zmq.asyncio.Context()
            socket = context.socket(zmq.DEALER)
            try:
                configure(socket, self._curve)
                connect(socket, self._endpoints)
            except BaseException:
                socket.close(0)
                context.term()
                raise
            self._socket = socket
            self._reader = asyncio.get_running_loop().create_task(_read(socket, self._under_way))
            # A client that nobody closed must not end as a context that waits for its socket, whichever is collected first.
            self._release = weakref.finalize(self, _release, self._reader, socket, context)
        return self._socket

    async def close(self) -> None:
        release, self._release = self._release, None
        reader, self._reader = self._reader, None
        self._socket = None
        if reader is not None:
            reader.cancel()
            try:
                await reader
            except asyncio.CancelledError:
                pass
        if release is not None:
            release()

    # Verbs

    async def ping(self, *, timeout: float | None = None) -> dict[str, Any]:
        """What the worker says of itself: version, worker, engine, limits, functions."""
        about = json.loads((await self._ask("ping", timeout=timeout)).body)
        if not isinstance(about, dict):
            raise ProtocolError("a ping is answered with an object")
        return about

    async def call(
        self, function: int, payload: bytes = b"", *, timeout: float | None = None, **options: Unpack[CallOptions]
    ) -> Result:
        """Runs a function. `options` are CallRequest's fields."""
        request = CallRequest(function, payload, **options)
        return (await self._request(request.frames(self.tenant), timeout)).result()

    @overload
    async def call_many(
        self, requests: Iterable[CallRequest], *, timeout: float | None = None, return_errors: Literal[False] = False
    ) -> list[Result]: ...

    @overload
    async def call_many(
        self, requests: Iterable[CallRequest], *, timeout: float | None = None, return_errors: Literal[True]
    ) -> list[Result | NubError]: ...

    async def call_many(
        self, requests: Iterable[CallRequest], *, timeout: float | None = None, return_errors: bool = False
    ) -> Sequence[Result | NubError]:
        """Runs many calls pipelined; results in the order of the requests."""
        jobs = [self._request(request.frames(self.tenant), timeout) for request in requests]
        outcomes: list[Result | NubError] = []
        for reply in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(reply, BaseException) and not isinstance(reply, NubError):
                raise reply
            outcome = reply if isinstance(reply, NubError) else reply.error() or reply.result()
            if isinstance(outcome, NubError) and not return_errors:
                raise outcome
            outcomes.append(outcome)
        return outcomes

    async def put(self, content: bytes, *, timeout: float | None = None) -> PutResult:
        """Files `content` as a Data cap, sending it only if the worker lacks it."""
        return (await self.put_many([content], timeout=timeout))[0]

    async def put_many(self, contents: Iterable[bytes], *, timeout: float | None = None) -> list[PutResult]:
        """Files many Data caps: one question, then the missing ones."""
        contents = list_of_octets(contents, "contents")
        hashes = [data_hash(content) for content in contents]
        missing = set(await self.find_missing(dict.fromkeys(hashes), timeout=timeout))
        uploads = {hash: content for hash, content in zip(hashes, contents) if hash in missing}
        # A few at a time: the wire forms are made as they go.
        room = asyncio.Semaphore(16)

        async def upload(hash: bytes, content: bytes) -> None:
            async with room:
                result = await self._ask("put_cap", hash, data_cap(content), timeout=timeout)
            if result.body != hash:
                raise HashMismatch(9, b"the worker's hash differs from the one computed here", result.id, result.meta)

        await asyncio.gather(*(upload(hash, content) for hash, content in uploads.items()))
        return [PutResult(hash, hash in missing) for hash in hashes]

    async def put_form(self, form: bytes, hash: bytes = b"", *, timeout: float | None = None) -> bytes:
        """Files a cap of any kind, given in wire form; returns its hash."""
        hash = cap_hash(hash) if hash else b""
        return (await self._ask("put_cap", hash, octets(form, "form"), timeout=timeout)).body

    async def find_missing(self, hashes: Iterable[bytes], *, timeout: float | None = None) -> list[bytes]:
        """Those of `hashes` that the worker does not have, in that order."""
        hashes = cap_hashes(hashes, "hashes")
        missing: list[bytes] = []
        for start in range(0, len(hashes), HASHES_PER_QUESTION):
            body = b"".join(hashes[start : start + HASHES_PER_QUESTION])
            missing += split_hashes((await self._ask("find_missing", b"", body, timeout=timeout)).body)
        return missing

    async def get_cap(self, hash: bytes, *, timeout: float | None = None) -> bytes:
        """A cap's wire form."""
        return (await self._ask("get_cap", cap_hash(hash), timeout=timeout)).body

    async def result(self, id: bytes, *, timeout: float | None = None) -> Result:
        """The recorded result of a call by its id; raises what the call raised, NotFound if there is none."""
        return await self._ask("get_result", b"", job_id(id), timeout=timeout)

    async def cancel(self, id: bytes, *, timeout: float | None = None) -> None:
        """Cancels a call that waits or runs."""
        await self._ask("cancel", b"", job_id(id), timeout=timeout)

    # The way of requests

    async def _ask(self, verb: str, operand: bytes = b"", body: bytes = b"", *, timeout: float | None) -> Result:
        return (await self._request(job_frames(verb, operand, body, None, self.tenant), timeout)).result()

    async def _request(self, frames: list[bytes], timeout: float | None) -> Reply:
        timeout = seconds(self.timeout if timeout is None else timeout, "timeout")
        message = self._under_way.setdefault(frames[2], _UnderWay(frames))
        if message.frames != frames:
            # Sent as well, its reply could not be told from the other's.
            why = b"this client has a job with that id and other content under way"
            raise Conflict(12, why, frames[2], {})
        joins = bool(message.inboxes)
        inbox: asyncio.Queue[Reply] = asyncio.Queue()
        message.inboxes.append(inbox)
        try:
            async with self._window:
                socket = self._open()
                pending = Pending(frames, time.monotonic(), timeout, self.retry)
                if joins:
                    # The reply is on its way to all; sent a second time, its second answer would come when nobody waits.
                    pending.next_send += self.retry.pause(1)
                while True:
                    now = time.monotonic()
                    if now >= pending.deadline:
                        if pending.refusal is not None:
                            return pending.refusal
                        raise RequestTimeout(pending.id, timeout)
                    try:
                        if now >= pending.next_send:
                            async with asyncio.timeout(pending.deadline - now):
                                await socket.send_multipart(frames)
                            pending.sent(time.monotonic())
                        async with asyncio.timeout(max(0.0, pending.wake() - time.monotonic())):
                            reply = await inbox.get()
                    except TimeoutError:
                        continue
                    if pending.take(reply, time.monotonic()):
                        return reply
        finally:
            message.inboxes.remove(inbox)
            if not message.inboxes:
                del self._under_way[frames[2]]
