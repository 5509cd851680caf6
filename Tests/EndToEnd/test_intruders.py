"""Every way of not being admitted, at every door that binds: none gets in, none gets anything out, and nobody else notices."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import zmq

import mdp_peers
import wire
from conftest import ENGINE
from test_curve import BRIEF_MS, Keys, free_port

INTRUDERS = ["stranger's key", "revoked key", "no key", "PLAIN", "another's public key", "wrong server key"]


class Fortress:
    """A worker with a direct and a pipeline door and one in a fleet, and the fleet's broker, all of them with keys."""

    def __init__(self, directory: Path):
        self.keys = Keys(directory)
        self.directory = directory
        for name in ("acme", "other", "collector", "one", "stranger", "revoked"):
            self.keys.curve(name)
        self.keys.admit("acme", tenant="acme")
        self.keys.admit("other", tenant="other")
        self.keys.admit("collector")
        self.keys.admit("one", role="worker")
        self.serve, self.jobs, self.replies, self.broker = (f"tcp://127.0.0.1:{free_port()}" for _ in range(4))
        self.context = zmq.Context()
        self.sockets: list[zmq.Socket] = []
        nub, secret = os.environ["NUB_BIN"], ["--authorized-keys", str(self.keys.authorized), "--curve-secret"]
        server = [*secret, str(self.keys.directory / "server.secret")]
        # The broker knows its worker by a key of the worker's own; the worker's doors have the same.
        own = [*secret, str(self.keys.directory / "one.secret"), "--curve-server", str(self.keys.directory / "server.pub")]
        self.log = open(directory / "log", "ab")
        self.processes = [
            self.start([nub, "broker", "--bind", self.broker, *server]),
            self.start([nub, "worker", "--serve", self.serve, "--jobs", self.jobs, "--replies", self.replies, "--lanes", "1",
                        "--broker", self.broker, "--service", "nub", "--name", "one", "--engine", ENGINE,
                        "--store", str(directory / "s.db"), *own]),
        ]

    def start(self, command: list[str]) -> subprocess.Popen:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def connect(self, kind: int, endpoint: str, who: str) -> zmq.Socket:
        """As an admitted name, or as one of INTRUDERS."""
        socket = self.context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        owner = "server" if endpoint == self.broker else "one"
        right = self.curve("acme", owner)
        match who:
            case "no key": pass
            case "PLAIN": socket.plain_username, socket.plain_password = b"acme", b"acme"
            case "stranger's key": mdp_peers.secure(socket, self.curve("stranger", owner))
            case "revoked key": mdp_peers.secure(socket, self.curve("revoked", owner))
            case "another's public key": mdp_peers.secure(socket, (right[0], right[1], self.curve("stranger", owner)[2]))
            case "wrong server key": mdp_peers.secure(socket, (self.curve("stranger", owner)[1], *right[1:]))
            case _: mdp_peers.secure(socket, self.curve(who, owner))
        socket.connect(endpoint)
        self.sockets.append(socket)
        return socket

    def curve(self, name: str, owner: str) -> tuple[bytes, bytes, bytes]:
        own = self.keys.curve(name)
        return (self.keys.curve(owner)[1], own[1], own[2])

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(30)
        self.context.destroy(linger=0)
        self.log.close()


@pytest.fixture(scope="module")
def fortress(scratch):
    made = Fortress(Path(tempfile.mkdtemp(dir=scratch)))
    # Admitted once, so that its key is known to be a good one; then not any more.
    made.keys.admit("revoked")
    asker = made.connect(zmq.DEALER, made.serve, "revoked key")
    ask(asker, wire.job("ping"))
    made.keys.revoke("revoked")
    deadline = time.monotonic() + 60
    while ask(asker, wire.job("ping")).status != wire.UNAUTHORIZED:
        assert time.monotonic() < deadline
    yield made
    made.close()


def ask(socket: zmq.Socket, frames: list[bytes]) -> wire.Reply:
    socket.send_multipart(frames)
    assert socket.poll(wire.PATIENCE_MS)
    return wire.parse(socket.recv_multipart())


def collect(collector: zmq.Socket, push: zmq.Socket, jobs: list[list[bytes]]) -> set[bytes]:
    """The ids of all replies until each of `jobs` has its own.

    What the worker had sent to the collector of the test before, when that closed, is lost with it. So a job is sent again, as
    producers.md says, and answered from the store.
    """
    seen: set[bytes] = set()
    deadline = time.monotonic() + wire.PATIENCE_MS / 1_000
    while not seen.issuperset(job[2] for job in jobs):
        assert time.monotonic() < deadline
        if collector.poll(1_000):
            seen.add(wire.parse(collector.recv_multipart()).id)
            continue
        for job in jobs:
            if job[2] not in seen:
                push.send_multipart(job)
    return seen


@pytest.mark.parametrize("who", INTRUDERS)
def test_direct_door(fortress, who):
    intruder = fortress.connect(zmq.DEALER, fortress.serve, who)
    job = wire.call(wire.ECHO, b"intruder")
    intruder.send_multipart(job)
    good = fortress.connect(zmq.DEALER, fortress.serve, "acme")
    assert ask(good, wire.call(wire.ECHO, b"mine")).body == b"mine"
    assert not intruder.poll(BRIEF_MS)
    assert ask(good, wire.job("get_result", body=job[2])).status == wire.NOT_FOUND


@pytest.mark.parametrize("who", INTRUDERS)
def test_pipelines_jobs(fortress, who):
    collector = fortress.connect(zmq.PULL, fortress.replies, "collector")
    intruder = fortress.connect(zmq.PUSH, fortress.jobs, who)
    bad = wire.call(wire.ECHO, b"intruder")
    intruder.send_multipart(bad)
    push = fortress.connect(zmq.PUSH, fortress.jobs, "acme")
    time.sleep(BRIEF_MS / 1_000)
    good = wire.call(wire.ECHO, b"mine")
    push.send_multipart(good)
    seen = collect(collector, push, [good])
    assert bad[2] not in seen
    for socket in (collector, push, intruder):
        socket.close(0)


@pytest.mark.parametrize("who", [*INTRUDERS, "acme"])
def test_pipelines_replies(fortress, who):
    """`acme` is admitted, but for one tenant, and a collector gets everybody's."""
    intruder = fortress.connect(zmq.PULL, fortress.replies, who)
    collector = fortress.connect(zmq.PULL, fortress.replies, "collector")
    push = fortress.connect(zmq.PUSH, fortress.jobs, "acme")
    jobs = [wire.call(wire.ECHO, b"%d" % index) for index in range(20)]
    for job in jobs:
        push.send_multipart(job)
    collect(collector, push, jobs)
    assert not intruder.poll(0)
    for socket in (collector, push, intruder):
        socket.close(0)


@pytest.mark.parametrize("who", INTRUDERS)
def test_broker(fortress, who):
    good = fortress.connect(zmq.REQ, fortress.broker, "acme")
    intruder = fortress.connect(zmq.DEALER, fortress.broker, who)
    job = wire.call(wire.ECHO, b"intruder")
    intruder.send_multipart([b"", mdp_peers.CLIENT, b"nub", *job])
    # Nor does anybody become a worker like that.
    intruder.send_multipart([b"", mdp_peers.WORKER, mdp_peers.READY, b"spy"])
    good.send_multipart([mdp_peers.CLIENT, b"nub", *wire.call(wire.ECHO, b"mine")])
    assert good.poll(wire.PATIENCE_MS)
    assert wire.parse(good.recv_multipart()).body == b"mine"
    assert not intruder.poll(BRIEF_MS)
    good.send_multipart([mdp_peers.CLIENT, b"mmi.service", b"spy"])
    assert good.recv_multipart()[-1] == b"404"
    good.send_multipart([mdp_peers.CLIENT, b"nub", *wire.job("get_result", body=job[2])])
    assert wire.parse(good.recv_multipart()).status == wire.NOT_FOUND


def test_no_door_lets_a_key_act_for_another_tenant(fortress):
    spoofed = {"tenant": "other"}
    direct = fortress.connect(zmq.DEALER, fortress.serve, "acme")
    for frames in (wire.call(wire.ECHO, b"x", options=spoofed), wire.job("ping", options=spoofed),
                   wire.job("put_cap", b"", b"\x02\x04\x00\x00\x00x", options=spoofed),
                   wire.job("cancel", body=b"id", options=spoofed)):
        assert ask(direct, frames).status == wire.UNAUTHORIZED
    client = fortress.connect(zmq.REQ, fortress.broker, "acme")
    client.send_multipart([mdp_peers.CLIENT, b"nub", *wire.call(wire.ECHO, b"x", options=spoofed)])
    assert client.poll(wire.PATIENCE_MS)
    assert wire.parse(client.recv_multipart()).status == wire.UNAUTHORIZED
    collector = fortress.connect(zmq.PULL, fortress.replies, "collector")
    push = fortress.connect(zmq.PUSH, fortress.jobs, "acme")
    job = wire.call(wire.ECHO, b"x", options=spoofed)
    push.send_multipart(job)
    while True:
        assert collector.poll(wire.PATIENCE_MS)
        reply = wire.parse(collector.recv_multipart())
        if reply.id == job[2]:
            break
    assert reply.status == wire.UNAUTHORIZED
    # Nothing of it is there for the other tenant, either.
    other = fortress.connect(zmq.DEALER, fortress.serve, "other")
    assert ask(other, wire.job("get_result", body=job[2])).status == wire.NOT_FOUND
    collector.close(0)


def test_nobody_was_disturbed(fortress):
    for process in fortress.processes:
        assert process.poll() is None
