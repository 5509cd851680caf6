"""What the clients promise whatever the worker does, against a peer that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
import subprocess
import sys
import threading

import pytest
import zmq

from nub_client import (
    AsyncClient,
    CallRequest,
    Client,
    CurveKeys,
    Conflict,
    RequestTimeout,
    RetryPolicy,
    Unavailable,
    data_hash,
    new_job_id,
)


class Peer:
    """A ROUTER whose answers a function gives: a list of (status, body, meta) for each message."""

    def __init__(self, answer, curve_secret: bytes | None = None):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        if curve_secret:
            self.socket.curve_server = True
            self.socket.curve_secretkey = curve_secret
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self.seen: list[list[bytes]] = []
        self.answer = answer
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping.is_set():
            if not self.socket.poll(20):
                continue
            route, *frames = self.socket.recv_multipart()
            self.seen.append(frames)
            for status, body, meta in self.answer(frames, len(self.seen)):
                reply = [b"NUB1", b"reply", frames[2], struct.pack("<I", status), body, json.dumps(meta).encode()]
                self.socket.send_multipart([route, *reply])
        self.socket.close()
        self.context.term()

    def close(self):
        self.stopping.set()
        self.thread.join()


@pytest.fixture
def peer():
    peers = []

    def make(answer, **options):
        peers.append(Peer(answer, **options))
        return peers[-1]

    yield make
    for each in peers:
        each.close()


FAST = RetryPolicy(first=0.05, longest=0.2)


def call(kind, endpoint, *arguments, retry=FAST, curve=None, **options):
    """One call by the blocking or the asyncio client."""
    if kind == "blocking":
        with Client(endpoint, retry=retry, curve=curve) as client:
            return client.call(*arguments, **options)

    async def run():
        async with AsyncClient(endpoint, retry=retry, curve=curve) as client:
            return await client.call(*arguments, **options)

    return asyncio.run(run())


kinds = pytest.mark.parametrize("kind", ["blocking", "asyncio"])


@kinds
def test_an_unanswered_message_is_sent_again_with_the_same_id(peer, kind):
    there = peer(lambda frames, count: [(0, b"at last", {})] if count == 3 else [])
    assert call(kind, there.endpoint, 1).body == b"at last"
    assert len({tuple(frames) for frames in there.seen}) == 1


@kinds
def test_unavailable_is_tried_again(peer, kind):
    there = peer(lambda frames, count: [(0, b"now", {})] if count > 2 else [(11, b"busy", {"retry_after_ms": 10})])
    assert call(kind, there.endpoint, 1).body == b"now"
    assert len({frames[2] for frames in there.seen}) == 1


@kinds
def test_unavailable_to_the_end_says_so(peer, kind):
    there = peer(lambda frames, count: [(11, b"draining", {"retry_after_ms": 60_000})])
    with pytest.raises(Unavailable) as caught:
        call(kind, there.endpoint, 1, timeout=0.5)
    assert caught.value.retry_after == 60


@kinds
def test_no_answer_is_a_timeout_that_names_the_job(peer, kind):
    there = peer(lambda frames, count: [])
    id = new_job_id()
    with pytest.raises(RequestTimeout) as caught:
        call(kind, there.endpoint, 1, id=id, timeout=0.3)
    assert caught.value.job_id == id


@kinds
def test_nobody_there_is_a_timeout_too(kind):
    with pytest.raises(RequestTimeout):
        call(kind, "ipc:///tmp/nub-nobody-listens-here", 1, timeout=0.3)


@kinds
def test_double_answers_and_garbage_disturb_nobody(peer, kind):
    def answer(frames, count):
        return [(0, frames[4], {}), (0, b"echo of an echo", {})]

    there = peer(answer)
    if kind == "blocking":
        with Client(there.endpoint) as client:
            bodies = [client.call(1, b"%d" % i).body for i in range(50)]
    else:

        async def run():
            async with AsyncClient(there.endpoint) as client:
                return [(await client.call(1, b"%d" % i)).body for i in range(50)]

        bodies = asyncio.run(run())
    assert bodies == [b"%d" % i for i in range(50)]


@kinds
def test_errors_carry_status_message_id_and_meta(peer, kind):
    there = peer(lambda frames, count: [(12, b"other content", {"worker": "w"})])
    with pytest.raises(Conflict) as caught:
        call(kind, there.endpoint, 1, id=b"my id")
    error = caught.value
    assert (error.status, error.message, error.job_id, error.meta["worker"]) == (12, "other content", b"my id", "w")


def test_the_same_call_twice_is_joined_and_other_content_is_a_conflict(peer):
    first = threading.Event()

    def answer(frames, count):
        first.wait(20)
        return [(0, frames[4], {})]

    there = peer(answer)

    async def run():
        async with AsyncClient(there.endpoint) as client:
            calls = [asyncio.create_task(client.call(1, b"x", id=b"same")) for _ in range(3)]
            calls.append(asyncio.create_task(client.call(1, b"y", id=b"same")))
            calls.append(asyncio.create_task(client.call(1, b"z", id=b"other")))
            with pytest.raises(Conflict, match="other content under way"):
                await calls[3]
            while not there.seen:
                await asyncio.sleep(0.01)
            # One who leaves takes nobody along.
            calls[0].cancel()
            await asyncio.sleep(0)
            first.set()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert [outcome.body for outcome in outcomes[1:3] + outcomes[4:]] == [b"x", b"x", b"z"]
            # Nothing is left behind: the id is free for a later call.
            return (await client.call(1, b"later", id=b"same")).body

    assert asyncio.run(run()) == b"later"
    assert sorted(frames[2] for frames in there.seen) == [b"other", b"same", b"same"], "sent once, however many ask"


def test_one_who_joined_sends_by_itself_when_the_first_has_gone(peer):
    there = peer(lambda frames, count: [(0, b"again", {})] if count > 1 else [])

    async def run():
        async with AsyncClient(there.endpoint, retry=FAST) as client:
            gone = asyncio.create_task(client.call(1, id=b"same", timeout=0.01))
            joined = asyncio.create_task(client.call(1, id=b"same"))
            with pytest.raises(RequestTimeout):
                await gone
            return (await joined).body

    assert asyncio.run(run()) == b"again"


@kinds
@pytest.mark.parametrize(
    "arguments, options, error, word",
    [
        (("echo",), {}, TypeError, "function"), ((1.0,), {}, TypeError, "function"), ((True,), {}, TypeError, "function"),
        ((-1,), {}, ValueError, "function"), ((1 << 32,), {}, ValueError, "function"), ((None,), {}, TypeError, "function"),
        ((1, "text"), {}, TypeError, "payload wants bytes, not str; encode the text"), ((1, 5), {}, TypeError, "payload"),
        ((1, [1]), {}, TypeError, "payload"), ((1, None), {}, TypeError, "payload"),
        ((1,), {"id": "text"}, TypeError, "id wants bytes"), ((1,), {"id": b""}, ValueError, "1 to 64"),
        ((1,), {"id": b"x" * 65}, ValueError, "1 to 64"), ((1,), {"id": 7}, TypeError, "id wants bytes"),
        ((1,), {"deadline": -1}, ValueError, "deadline is -1"), ((1,), {"deadline": float("nan")}, ValueError, "deadline"),
        ((1,), {"deadline": float("inf")}, ValueError, "deadline"), ((1,), {"deadline": "5"}, TypeError, "deadline"),
        ((1,), {"deadline": True}, TypeError, "deadline"), ((1,), {"expires_at": "noon"}, TypeError, "expires_at"),
        ((1,), {"expires_at": -1}, ValueError, "expires_at"), ((1,), {"priority": 10}, ValueError, "priority is 10; 0 to 9"),
        ((1,), {"priority": 5.0}, TypeError, "priority"), ((1,), {"fresh": 1}, TypeError, "fresh"),
        ((1,), {"tenant": b"acme"}, TypeError, "tenant"), ((1,), {"tenant": "é" * 33}, ValueError, "tenant has 66 bytes"),
        ((1,), {"need": [b"x" * 31]}, ValueError, "31 bytes"), ((1,), {"need": ["00" * 32]}, TypeError, "need"),
        ((1,), {"need": b"x" * 32}, TypeError, "need"), ((1,), {"need": 5}, TypeError, "need"),
        ((1,), {"caps": b"content"}, TypeError, "caps"), ((1,), {"caps": ["text"]}, TypeError, "caps"),
        ((1,), {"cap_forms": [5]}, TypeError, "cap_forms"), ((1,), {"traceparent": 1}, TypeError, "traceparent"),
        ((1,), {"timeout": -1}, ValueError, "timeout"), ((1,), {"timeout": float("nan")}, ValueError, "timeout"),
        ((1,), {"timeout": "5"}, TypeError, "timeout"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(peer, kind, arguments, options, error, word):
    there = peer(lambda frames, count: [(0, b"", {})])
    with pytest.raises(error, match=word):
        call(kind, there.endpoint, *arguments, **options)
    assert there.seen == []


def test_hashes_and_contents_are_looked_at_before_they_are_sent():
    with Client("tcp://127.0.0.1:9", timeout=0.1) as client:
        # Two halves would make one hash.
        for hashes in ([b"x" * 16, b"y" * 16], ["00" * 32], b"x" * 32):
            with pytest.raises((TypeError, ValueError)):
                client.find_missing(hashes)
        for wrong in (lambda: client.get_cap(b"x" * 31), lambda: client.get_cap("x"), lambda: client.put("x"), lambda: client.put_form("x"),
                      lambda: client.put_form(b"x", b"y"), lambda: client.put_many(b"xy"), lambda: client.result("id"),
                      lambda: client.cancel(b""), lambda: client.result(b"x" * 65)):
            with pytest.raises((TypeError, ValueError)):
                wrong()


@pytest.mark.parametrize("endpoint", ["nowhere", "tcp://127.0.0.1", "udp://127.0.0.1:1", ""])
def test_an_endpoint_that_is_none_is_said(endpoint):
    with pytest.raises(ValueError, match="is not an endpoint"):
        Client(endpoint)

    async def run():
        client = AsyncClient(endpoint)
        for _ in range(2):
            with pytest.raises(ValueError, match="is not an endpoint"):
                await client.ping()
        await client.close()

    asyncio.run(run())
    with pytest.raises(TypeError, match="endpoint wants a str"):
        Client([7])


@kinds
def test_whatever_is_bytes_may_be_sent(peer, kind):
    there = peer(lambda frames, count: [(0, frames[2] + frames[4], {})])
    assert call(kind, there.endpoint, 1, bytearray(b"x"), id=memoryview(b"id"), deadline=1e300, timeout=5).body == b"idx"
    assert json.loads(there.seen[0][5]) == {"deadline_ms": (1 << 32) - 1}


def test_call_many_keeps_order_and_returns_errors_when_asked(peer):
    def answer(frames, count):
        return [(3, b"odd", {"guest_status": 1})] if int(frames[4]) % 2 else [(0, frames[4], {})]

    with Client(peer(answer).endpoint) as client:
        outcomes = client.call_many([CallRequest(1, b"%d" % i) for i in range(100)], return_errors=True)
    for i, outcome in enumerate(outcomes):
        assert outcome.body == (b"odd" if i % 2 else b"%d" % i)


@kinds
def test_curve_talks_to_the_right_server_and_no_other(peer, kind):
    if not zmq.has("curve"):
        pytest.skip("libzmq was built without CURVE")
    public, secret = zmq.curve_keypair()
    other_public, _ = zmq.curve_keypair()
    there = peer(lambda frames, count: [(0, b"secret", {})], curve_secret=secret)
    mine = zmq.curve_keypair()
    assert call(kind, there.endpoint, 1, curve=CurveKeys(public, *mine)).body == b"secret"
    with pytest.raises(RequestTimeout):
        call(kind, there.endpoint, 1, curve=CurveKeys(other_public, *mine), timeout=0.5)


def test_a_client_that_nobody_closed_does_not_hang_its_collector():
    # In a process of its own: what this is about is a hang that no exception ends.
    program = """
import gc
from nub_client import Client, NubError
class Ring: pass
for _ in range(50):
    ring = Ring()
    ring.client, ring.self = Client("tcp://127.0.0.1:9", timeout=0.01), ring
    try: ring.client.ping()
    except NubError as error: ring.error = error
    del ring
    gc.collect()
client = Client("tcp://127.0.0.1:9")
client.close()
client.close()
try: client.ping()
except ValueError as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "this client is closed\n"), done.stderr


def test_an_async_client_that_nobody_closed_holds_nothing_up():
    program = """
import asyncio, gc, weakref
from nub_client import AsyncClient, RequestTimeout
async def leave():
    client = AsyncClient("tcp://127.0.0.1:9")
    try: await client.ping(timeout=0.05)
    except RequestTimeout: pass
    return client
async def main():
    # Collected while its loop runs, once the loop has let go of its timers; its reader ends with it.
    for _ in range(20):
        watched = weakref.ref(await leave())
        while watched() is not None or len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.001)
            gc.collect()
    client = await leave()
    await client.close()
    await client.close()
asyncio.run(main())
# Collected when its loop has ended.
kept = asyncio.run(leave())
del kept
gc.collect()
# Never collected.
kept = asyncio.run(leave())
print("over")
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")


def test_ids_are_uuid_version_7_and_in_order_of_time():
    ids = [new_job_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    # The random half has no order; the half before it is the time.
    assert [id[:8] for id in ids] == sorted(id[:8] for id in ids)
    assert all((id[6] >> 4, id[8] >> 6) == (7, 2) for id in ids)


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 64, 65, 96, 4095, 4096, 4097, 100_001])
def test_the_hash_is_the_merkle_root_of_the_definition(size):
    content = hashlib.shake_128(b"%d" % size).digest(size)
    zero = bytes(32)
    layer = [content[i : i + 32].ljust(32, b"\0") for i in range(0, size, 32)]
    for _ in range(27):
        if len(layer) % 2:
            layer.append(zero)
        layer = [hashlib.sha256(layer[i] + layer[i + 1]).digest() for i in range(0, len(layer), 2)]
        zero = hashlib.sha256(zero + zero).digest()
    root = layer[0] if layer else zero
    for number in (size, 2):
        root = hashlib.sha256(root + number.to_bytes(32, "little")).digest()
    assert data_hash(content) == root
