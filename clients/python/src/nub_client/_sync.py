"""The blocking client."""

from __future__ import annotations

import heapq
import json
import threading
import time
import weakref
from collections import deque
from typing import Any, Iterable, Literal, Sequence, Unpack, overload

import zmq

from ._arguments import cap_hash, cap_hashes, job_id, list_of_octets, octets, seconds
from ._cap import data_cap, data_hash
from ._errors import HashMismatch, NubError, ProtocolError, RequestTimeout
from ._protocol import (
    HASHES_PER_QUESTION,
    UPLOAD_WINDOW,
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


def _release(socket: zmq.Socket[Any], context: zmq.Context[Any]) -> None:
    socket.close(0)
    context.term()


class Client:
    """A producer at a worker's direct door (or anything that passes the frames on).

    May be shared between threads; their requests take turns.
    """

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
        """`timeout` is in seconds and per request; `window` how many of call_many's jobs are under way at once."""
        self.tenant = tenant
        self.timeout = timeout
        self.retry = retry
        self.window = window
        self._lock = threading.Lock()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        # A client that nobody closed must not end as a context that waits for its socket, whichever is collected first.
        self._release = weakref.finalize(self, _release, self._socket, self._context)
        try:
            configure(self._socket, curve)
            connect(self._socket, [endpoint] if isinstance(endpoint, str) else endpoint)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with self._lock:
            self._release()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Verbs

    def ping(self, *, timeout: float | None = None) -> dict[str, Any]:
        """What the worker says of itself: version, worker, engine, limits, functions."""
        about = json.loads(self._ask("ping", timeout=timeout).body)
        if not isinstance(about, dict):
            raise ProtocolError("a ping is answered with an object")
        return about

    def call(
        self, function: int, payload: bytes = b"", *, timeout: float | None = None, **options: Unpack[CallOptions]
    ) -> Result:
        """Runs a function. `options` are CallRequest's fields."""
        request = CallRequest(function, payload, **options)
        result: Result = self._run([request.frames(self.tenant)], timeout)[0].result()
        return result

    @overload
    def call_many(
        self, requests: Iterable[CallRequest], *, timeout: float | None = None, return_errors: Literal[False] = False
    ) -> list[Result]: ...

    @overload
    def call_many(
        self, requests: Iterable[CallRequest], *, timeout: float | None = None, return_errors: Literal[True]
    ) -> list[Result | NubError]: ...

    def call_many(
        self, requests: Iterable[CallRequest], *, timeout: float | None = None, return_errors: bool = False
    ) -> Sequence[Result | NubError]:
        """Runs many calls pipelined; results in the order of the requests. `timeout` is for each, from when it is sent."""
        replies = self._run([request.frames(self.tenant) for request in requests], timeout, return_errors)
        outcomes: list[Result | NubError] = []
        for reply in replies:
            outcome = reply if isinstance(reply, NubError) else reply.error() or reply.result()
            if isinstance(outcome, NubError) and not return_errors:
                raise outcome
            outcomes.append(outcome)
        return outcomes

    def put(self, content: bytes, *, timeout: float | None = None) -> PutResult:
        """Files `content` as a Data cap, sending it only if the worker lacks it."""
        return self.put_many([content], timeout=timeout)[0]

    def put_many(self, contents: Iterable[bytes], *, timeout: float | None = None) -> list[PutResult]:
        """Files many Data caps: one question, then the missing ones, pipelined."""
        contents = list_of_octets(contents, "contents")
        hashes = [data_hash(content) for content in contents]
        missing = set(self.find_missing(dict.fromkeys(hashes), timeout=timeout))
        uploads = {hash: content for hash, content in zip(hashes, contents) if hash in missing}
        jobs = [job_frames("put_cap", hash, data_cap(body), None, self.tenant) for hash, body in uploads.items()]
        for hash, reply in zip(uploads, self._run(jobs, timeout)):
            if reply.result().body != hash:
                raise HashMismatch(9, b"the worker's hash differs from the one computed here", reply.id, reply.meta)
        return [PutResult(hash, hash in missing) for hash in hashes]

    def put_form(self, form: bytes, hash: bytes = b"", *, timeout: float | None = None) -> bytes:
        """Files a cap of any kind, given in wire form; returns its hash."""
        hash = cap_hash(hash) if hash else b""
        return self._ask("put_cap", hash, octets(form, "form"), timeout=timeout).body

    def find_missing(self, hashes: Iterable[bytes], *, timeout: float | None = None) -> list[bytes]:
        """Those of `hashes` that the worker does not have, in that order."""
        hashes = cap_hashes(hashes, "hashes")
        missing: list[bytes] = []
        for start in range(0, len(hashes), HASHES_PER_QUESTION):
            body = b"".join(hashes[start : start + HASHES_PER_QUESTION])
            missing += split_hashes(self._ask("find_missing", b"", body, timeout=timeout).body)
        return missing

    def get_cap(self, hash: bytes, *, timeout: float | None = None) -> bytes:
        """A cap's wire form."""
        return self._ask("get_cap", cap_hash(hash), timeout=timeout).body

    def result(self, id: bytes, *, timeout: float | None = None) -> Result:
        """The recorded result of a call by its id; raises what the call raised, NotFound if there is none."""
        return self._ask("get_result", b"", job_id(id), timeout=timeout)

    def cancel(self, id: bytes, *, timeout: float | None = None) -> None:
        """Cancels a call that waits or runs."""
        self._ask("cancel", b"", job_id(id), timeout=timeout)

    # The way of requests

    def _ask(self, verb: str, operand: bytes = b"", body: bytes = b"", *, timeout: float | None) -> Result:
        result: Result = self._run([job_frames(verb, operand, body, None, self.tenant)], timeout)[0].result()
        return result

    def _run(self, jobs: list[list[bytes]], timeout: float | None, keep_timeouts: bool = False) -> list[Any]:
        """Sends jobs, a window of them at a time, and returns their replies in the same order."""
        timeout = seconds(self.timeout if timeout is None else timeout, "timeout")
        if len({frames[2] for frames in jobs}) != len(jobs):
            raise ValueError("a job id occurs twice in one call_many")
        waiting = deque(jobs)
        under_way: dict[bytes, Pending] = {}
        replies: dict[bytes, Reply | NubError] = {}
        timers: list[tuple[float, bytes]] = []
        bytes_under_way = 0
        with self._lock:
            if self._socket.closed:
                raise ValueError("this client is closed")
            while waiting or under_way:
                now = time.monotonic()
                while waiting and len(under_way) < self.window:
                    size = sum(map(len, waiting[0]))
                    if under_way and bytes_under_way + size > UPLOAD_WINDOW:
                        break
                    bytes_under_way += size
                    pending = Pending(waiting.popleft(), now, timeout, self.retry)
                    under_way[pending.id] = pending
                    heapq.heappush(timers, (now, pending.id))
                blocked = False
                while timers and timers[0][0] <= now:
                    _, id = heapq.heappop(timers)
                    due = under_way.get(id)
                    if due is None:
                        continue
                    pending = due
                    if pending.wake() > now:
                        heapq.heappush(timers, (pending.wake(), id))
                        continue
                    if now >= pending.deadline:
                        error: Any = pending.refusal or RequestTimeout(id, timeout)
                        if isinstance(error, RequestTimeout) and not keep_timeouts:
                            raise error
                        replies[id] = error
                        bytes_under_way -= sum(map(len, pending.frames))
                        del under_way[id]
                        continue
                    try:
                        self._socket.send_multipart(pending.frames, zmq.DONTWAIT)
                    except zmq.Again:
                        heapq.heappush(timers, (now, id))
                        blocked = True
                        break
                    pending.sent(now)
                    heapq.heappush(timers, (pending.wake(), id))
                if not under_way:
                    continue
                if blocked:
                    # No peer has room: wait for one, and for the nearest deadline.
                    pause = min(pending.deadline for pending in under_way.values()) - now
                    events = zmq.POLLIN | zmq.POLLOUT
                else:
                    pause = timers[0][0] - now if timers else timeout
                    events = zmq.POLLIN
                if not self._socket.poll(int(max(0, pause) * 1000) + 1, events) & zmq.POLLIN:
                    continue
                now = time.monotonic()
                while True:
                    try:
                        reply = parse_reply(self._socket.recv_multipart(zmq.DONTWAIT))
                    except zmq.Again:
                        break
                    except ProtocolError:
                        continue  # Nobody to give it to; the job is asked for again.
                    found = under_way.get(reply.id)
                    if found is None:
                        continue  # A second answer to something sent twice.
                    if found.take(reply, now):
                        replies[reply.id] = reply
                        bytes_under_way -= sum(map(len, found.frames))
                        del under_way[reply.id]
                    else:
                        heapq.heappush(timers, (found.wake(), reply.id))
        return [replies[frames[2]] for frames in jobs]
