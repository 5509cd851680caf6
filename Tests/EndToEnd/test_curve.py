"""CURVE at the broker's and the worker's doors: who comes in, and as whom."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
import zmq

import mdp_peers
import wire
from conftest import ENGINE
from mdp_peers import Broker

# Enough for a handshake that succeeds, under any load; a refusal is seen in the log.
BRIEF_MS = 500


class Keys:
    """Keys as `nub keygen` makes them, and a directory of admitted ones."""

    def __init__(self, directory: Path):
        self.directory = directory / "keys"
        self.authorized = directory / "authorized"
        self.authorized.mkdir()
        self.make("server")

    def make(self, name: str) -> tuple[bytes, bytes]:
        subprocess.run(
            [os.environ["NUB_BIN"], "keygen", "--name", name, str(self.directory)], check=True, capture_output=True)
        secret = self.directory / f"{name}.secret"
        assert secret.stat().st_mode & 0o777 == 0o600
        values = dict(
            line.split(" = ", 1) for line in secret.read_text().splitlines() if line and not line.startswith("#"))
        return values["public-key"].encode(), values["secret-key"].encode()

    def admit(self, name: str, **lines: str) -> None:
        text = (self.directory / f"{name}.pub").read_text()
        text += "".join(f"{key} = {value}\n" for key, value in lines.items())
        (self.authorized / "new").write_text(text)
        (self.authorized / "new").rename(self.authorized / f"{name}.pub")

    def revoke(self, name: str) -> None:
        (self.authorized / f"{name}.pub").unlink()

    def curve(self, name: str) -> tuple[bytes, bytes, bytes]:
        server = dict(
            line.split(" = ", 1) for line in (self.directory / "server.pub").read_text().splitlines() if " = " in line)
        secret = (self.directory / f"{name}.secret")
        own = self.make(name) if not secret.exists() else dict(
            line.split(" = ", 1) for line in secret.read_text().splitlines() if " = " in line and line[0] != "#")
        if isinstance(own, dict):
            own = (own["public-key"].encode(), own["secret-key"].encode())
        return (server["public-key"].encode(), *own)


@pytest.fixture
def keys(scratch):
    return Keys(Path(tempfile.mkdtemp(dir=scratch)))


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def broker(keys, scratch):
    broker = Broker(
        Path(tempfile.mkdtemp(dir=scratch)), "--curve-secret", str(keys.directory / "server.secret"),
        "--authorized-keys", str(keys.authorized), endpoint=f"tcp://127.0.0.1:{free_port()}")
    yield broker
    broker.close()


def refused(client: mdp_peers.Client, service: bytes = b"echo") -> bool:
    client.send(service, wire.job("ping"))
    return not client.socket.poll(BRIEF_MS)


def test_admitted_keys_meet_and_strangers_do_not(keys, broker):
    worker_curve, client_curve = keys.curve("worker"), keys.curve("client")
    keys.admit("worker", role="worker")
    keys.admit("client", tenant="acme")
    broker.start()
    worker = broker.worker(b"echo", curve=worker_curve)
    client = broker.client(client_curve)
    body = client.ask_again(b"echo", wire.job("ping"))
    # The worker sees the tenant of the producer's key.
    assert body[5] == b'{"tenant":"acme"}'
    assert wire.parse(client.ask(b"echo", wire.job("ping", options={"tenant": "other"}))).status == wire.UNAUTHORIZED
    count = len(worker.requests)
    assert refused(broker.client(keys.curve("stranger")))
    assert refused(broker.client(None)), "plaintext"
    server, public, _ = client_curve
    assert refused(broker.client((server, public, keys.curve("stranger")[2]))), "another's public key"
    plain = broker.context.socket(zmq.REQ)
    plain.setsockopt(zmq.LINGER, 0)
    plain.plain_username, plain.plain_password = b"admin", b"admin"
    plain.connect(broker.endpoint)
    plain.send_multipart([mdp_peers.CLIENT, b"echo", *wire.job("ping")])
    assert not plain.poll(BRIEF_MS)
    plain.close(0)
    assert len(worker.requests) == count
    assert broker.alive()


def test_a_producer_cannot_register_as_a_worker(keys, broker):
    keys.curve("worker"), keys.curve("client")
    keys.admit("worker", role="worker")
    keys.admit("client")
    broker.start()
    spy = broker.worker(b"echo", curve=keys.curve("client"))
    client = broker.client(keys.curve("client"))
    broker.worker(b"honest", curve=keys.curve("worker"))
    broker.await_service(client, b"honest")
    deadline = time.monotonic() + 60
    while spy.conversations < 2:
        assert time.monotonic() < deadline
        spy.join(0.01)
    assert client.ask(b"mmi.service", [b"echo"]) == [b"404"]


def test_a_key_is_revoked_while_the_broker_runs(keys, broker):
    keys.curve("worker"), keys.curve("client")
    keys.admit("worker", role="worker")
    keys.admit("client")
    broker.start()
    broker.worker(b"echo", curve=keys.curve("worker"))
    client = broker.client(keys.curve("client"))
    assert wire.job("ping")[0] == client.ask_again(b"echo", wire.job("ping"))[0]
    keys.revoke("client")
    # The same connection, which libzmq keeps: its messages are refused all the same, within a second or so.
    deadline = time.monotonic() + 60
    while True:
        body = client.ask(b"echo", wire.job("ping"))
        if body[1] == b"reply" and wire.parse(body).status == wire.UNAUTHORIZED:
            break
        assert time.monotonic() < deadline
    assert refused(broker.client(keys.curve("client"))), "a new connection"
    keys.admit("client")
    assert client.ask_again(b"echo", wire.job("ping"))


@pytest.mark.parametrize("command", ["worker", "broker"])
def test_plaintext_off_loopback_needs_insecure(command, scratch):
    option = "--serve" if command == "worker" else "--bind"
    result = subprocess.run(
        [os.environ["NUB_BIN"], command, option, "tcp://0.0.0.0:0"], cwd=scratch, capture_output=True, timeout=60)
    assert result.returncode != 0
    assert b"--insecure" in result.stderr


def test_a_secret_that_others_can_read_is_refused(keys, scratch):
    secret = keys.directory / "server.secret"
    secret.chmod(0o644)
    result = subprocess.run(
        [os.environ["NUB_BIN"], "broker", "--bind", "tcp://127.0.0.1:*", "--curve-secret", str(secret)]
        + ["--authorized-keys", str(keys.authorized)], capture_output=True, timeout=60)
    assert result.returncode != 0
    assert b"chmod 600" in result.stderr


def handshakes(port: int, result: str) -> int:
    """What a worker or broker says at /metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return int(re.search(rf'^nub_handshakes_total{{result="{result}"}} (\d+)$', answer.read().decode(), re.M)[1])


def test_a_brokers_handshakes_are_counted(keys, scratch):
    port = free_port()
    broker = Broker(
        Path(tempfile.mkdtemp(dir=scratch)), "--curve-secret", str(keys.directory / "server.secret"),
        "--authorized-keys", str(keys.authorized), "--http", str(port), endpoint=f"tcp://127.0.0.1:{free_port()}").start()
    try:
        keys.curve("client")
        keys.admit("client")
        client = broker.client(keys.curve("client"))
        broker.await_service(client, b"none", code=b"404")
        assert (handshakes(port, "admitted"), handshakes(port, "refused")) == (1, 0)
        refusing = broker.client(keys.curve("stranger"))
        refusing.send(b"none", wire.job("ping"))
        deadline = time.monotonic() + 60
        while handshakes(port, "refused") == 0:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert handshakes(port, "admitted") == 1
    finally:
        broker.close()


def test_a_workers_own_door_asks_for_keys_and_enforces_their_tenants(keys, scratch):
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    keys.curve("acme"), keys.curve("other"), keys.curve("stranger")
    keys.admit("acme", tenant="acme")
    keys.admit("other", tenant="other")
    directory = Path(tempfile.mkdtemp(dir=scratch))
    context = zmq.Context()
    http = free_port()

    def producer(name: str | None) -> wire.Producer:
        made = wire.Producer.__new__(wire.Producer)
        made.alive = lambda: True
        made.socket = context.socket(zmq.DEALER)
        made.socket.setsockopt(zmq.LINGER, 0)
        mdp_peers.secure(made.socket, keys.curve(name) if name else None)
        made.socket.connect(endpoint)
        return made

    with open(directory / "log", "ab") as log:
        process = subprocess.Popen(
            [os.environ["NUB_BIN"], "worker", "--serve", endpoint, "--store", str(directory / "s.db"), "--engine", ENGINE]
            + ["--curve-secret", str(keys.directory / "server.secret"), "--authorized-keys", str(keys.authorized)]
            + ["--http", str(http)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        acme, other = producer("acme"), producer("other")
        job = wire.call(wire.ECHO, b"secret")
        assert acme.ask(job).status == wire.OK
        assert acme.ask(wire.job("get_result", body=job[2])).body == b"secret"
        assert acme.ask(wire.job("get_result", body=job[2], options={"tenant": "acme"})).status == wire.OK
        # Another tenant's result is neither there nor to be had under a borrowed name.
        assert other.ask(wire.job("get_result", body=job[2])).status == wire.NOT_FOUND
        assert other.ask(wire.job("get_result", body=job[2], options={"tenant": "acme"})).status == wire.UNAUTHORIZED
        for name in ("stranger", None):
            nobody = producer(name)
            nobody.send(wire.job("ping"))
            assert not nobody.socket.poll(BRIEF_MS)
        deadline = time.monotonic() + 60
        while handshakes(http, "refused") == 0:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert handshakes(http, "admitted") == 2
        keys.revoke("other")
        deadline = time.monotonic() + 60
        while other.ask(wire.job("ping")).status != wire.UNAUTHORIZED:
            assert time.monotonic() < deadline
        assert acme.ask(wire.job("ping")).status == wire.OK
    finally:
        process.kill()
        process.wait(30)
        context.destroy(linger=0)


def journal(path: Path) -> bytes:
    """Everything that is journaled, as one string of bytes."""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as store:
            return b"|".join(row[0] for row in store.execute("SELECT jobs FROM journal"))
    except sqlite3.OperationalError:
        return b""  # The worker has not made the file, or not yet its tables.


@pytest.mark.kvm
def test_a_pipelines_jobs_keep_their_keys_tenant_through_a_restart(keys, scratch):
    jobs, replies, serve = (f"tcp://127.0.0.1:{free_port()}" for _ in range(3))
    keys.curve("acme"), keys.curve("collector")
    keys.admit("acme", tenant="acme")
    keys.admit("collector")
    directory = Path(tempfile.mkdtemp(dir=scratch))
    context = zmq.Context()

    def start() -> subprocess.Popen:
        with open(directory / "log", "ab") as log:
            return subprocess.Popen(
                [os.environ["NUB_BIN"], "worker", "--jobs", jobs, "--replies", replies, "--serve", serve]
                + ["--store", str(directory / "s.db"), "--engine", ENGINE, "--lanes", "1", "--name", "one"]
                + ["--curve-secret", str(keys.directory / "server.secret"), "--authorized-keys", str(keys.authorized)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def connect(kind: int, endpoint: str, name: str) -> zmq.Socket:
        socket = context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        mdp_peers.secure(socket, keys.curve(name))
        socket.connect(endpoint)
        return socket

    process = start()
    try:
        push, pull = connect(zmq.PUSH, jobs, "acme"), connect(zmq.PULL, replies, "collector")
        # The lane is busy with the first, so the second is journaled and waits when the worker dies.
        slow = wire.call(wire.SPIN, wire.u64(2**62), options={"deadline_ms": 3_000})
        waiting = wire.call(wire.ECHO, b"mine", options={"x": 1})
        push.send_multipart(slow)
        push.send_multipart(waiting)
        direct = wire.Producer.__new__(wire.Producer)
        direct.alive, direct.socket = (lambda: True), connect(zmq.DEALER, serve, "acme")
        assert direct.ask(wire.job("ping")).status == wire.OK  # The store is there.
        deadline = time.monotonic() + 60
        while waiting[2] not in journal(directory / "s.db"):
            assert time.monotonic() < deadline
        process.kill()
        process.wait(30)
        process = start()
        got = set()
        while waiting[2] not in got:
            assert pull.poll(wire.PATIENCE_MS)
            got.add(wire.parse(pull.recv_multipart()).id)
        result = direct.ask(wire.job("get_result", body=waiting[2]))
        assert (result.status, result.body) == (wire.OK, b"mine")
    finally:
        process.kill()
        process.wait(30)
        context.destroy(linger=0)


def test_a_fleet_behind_curve(keys, broker):
    keys.curve("one"), keys.curve("client")
    keys.admit("one", role="worker")
    keys.admit("client", tenant="acme")
    broker.start()
    with open(broker.directory / "worker.log", "ab") as log:
        process = subprocess.Popen(
            [os.environ["NUB_BIN"], "worker", "--broker", broker.endpoint, "--service", "nub", "--name", "one"]
            + ["--store", str(broker.directory / "s.db"), "--engine", ENGINE, "--fleet-slots", "4"]
            + ["--curve-secret", str(keys.directory / "one.secret"), "--curve-server", str(keys.directory / "server.pub")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        client = broker.client(keys.curve("client"))
        broker.await_service(client, b"nub")
        assert client.call(b"nub", wire.call(wire.ECHO, b"hello")).body == b"hello"
    finally:
        process.kill()
        process.wait(30)
