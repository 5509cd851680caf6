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
