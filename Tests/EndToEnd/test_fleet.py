"""`nub broker` between clients and workers that were written from RFC 7 alone, and `nub worker` as a member of its fleet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
import zmq

import mdp_peers
import wire
from conftest import ENGINE
from mdp_peers import Broker

FAST = ("--heartbeat", "300")


@pytest.fixture
def make_broker(scratch):
    brokers: list[Broker] = []

    def make(*options: str, **more) -> Broker:
        broker = Broker(Path(tempfile.mkdtemp(dir=scratch)), *options, **more)
        brokers.append(broker)
        return broker.start()

    yield make
    for broker in brokers:
        broker.close()


class FleetWorker:
    """A `nub worker` whose only door is a broker."""

    def __init__(self, broker: Broker, name: str, *options: str, store: Path | None = None):
        self.name = name
        self.command = [os.environ["NUB_BIN"], "worker", "--broker", broker.endpoint, "--service", "nub"]
        self.command += ["--name", name, "--store", str(store or broker.directory / f"{name}.db"), "--engine", ENGINE]
        self.command += ["--lanes", "2", "--fleet-slots", "4", *options]
        self.log = broker.directory / f"{name}.log"
        self.start()

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)


@pytest.fixture
def make_worker_in():
    workers: list[FleetWorker] = []

    def make(broker: Broker, name: str, *options: str, **more) -> FleetWorker:
        workers.append(FleetWorker(broker, name, *options, **more))
        return workers[-1]

    yield make
    for worker in workers:
        if worker.process.poll() is None:
            worker.kill()


# Peers from the RFC's text alone


def test_client_and_worker_of_the_rfc_meet(make_broker):
    broker = make_broker()
    worker = broker.worker(b"echo", lambda body: [b"did", *body])
    client = broker.client()
    for index in range(200):
        assert client.ask(b"echo", [b"%d" % index, b""]) == [b"did", b"%d" % index, b""]
        assert client.service == b"echo"
    assert len(worker.requests) == 200


def test_management_services(make_broker):
    broker = make_broker()
    client = broker.client()
    assert client.ask(b"mmi.service", [b"echo"]) == [b"404"]
    broker.worker(b"echo")
    broker.await_service(client, b"echo")
    assert client.ask(b"mmi.unheard-of", [b""]) == [b"501"]
    statistics = json.loads(client.ask(b"mmi.statistics", [b""])[0])
    assert statistics["services"]["echo"]["workers"] == 1


def test_a_thousand_waiting_clients_are_all_answered_once(make_broker):
    broker = make_broker()
    clients = [broker.client() for _ in range(1_000)]
    for index, client in enumerate(clients):
        client.send(b"echo", [b"%d" % index])
    workers = [broker.worker(b"echo") for _ in range(3)]
    for index, client in enumerate(clients):
        assert client.receive() == [b"%d" % index]
    assert sum(len(worker.requests) for worker in workers) == 1_000


def test_broker_killed_and_restarted(make_broker):
    broker = make_broker(*FAST)
    broker.worker(b"echo", heartbeat=0.3)
    client = broker.client()
    assert client.ask(b"echo", [b"1"]) == [b"1"]
    broker.kill()
    client.send(b"echo", [b"lost"])
    broker.start()
    client._open()
    assert client.ask_again(b"echo", [b"2"]) == [b"2"]


def test_worker_that_dies_with_a_request_does_not_take_it_along(make_broker):
    broker = make_broker(*FAST)
    dying = broker.worker(b"echo", lambda body: None, heartbeat=0.3)
    client = broker.client()
    broker.await_service(client, b"echo")
    client.send(b"echo", [b"precious"])
    assert dying.silent.wait(60)
    broker.worker(b"echo", heartbeat=0.3)
    assert client.receive() == [b"precious"]


def test_call_of_a_dead_worker_is_given_back(make_broker):
    broker = make_broker(*FAST)
    dying = broker.worker(b"echo", lambda body: None, heartbeat=0.3)
    other = broker.worker(b"other", heartbeat=0.3)
    client = broker.client()
    broker.await_service(client, b"echo")
    client.send(b"echo", wire.call(wire.ECHO, b"x"))
    assert dying.silent.wait(60)
    reply = wire.parse(client.receive())
    assert reply.status == wire.UNAVAILABLE
    assert reply.meta["retry_after_ms"] > 0
    assert not other.requests


def test_link_cut_for_longer_than_the_heartbeat(make_broker):
    broker = make_broker(*FAST)
    worker = broker.worker(b"echo", heartbeat=0.3)
    client = broker.client()
    assert client.ask(b"echo", [b"1"]) == [b"1"]
    worker.linked.clear()
    broker.await_service(client, b"echo", b"404")
    worker.linked.set()
    assert client.ask_again(b"echo", [b"2"]) == [b"2"]
    assert worker.conversations >= 2


def test_garbage_neither_ends_nor_stalls_the_broker(make_broker):
    broker = make_broker()
    broker.worker(b"echo")
    client = broker.client()
    hostile = broker.context.socket(zmq.DEALER)
    hostile.setsockopt(zmq.LINGER, 0)
    hostile.connect(broker.endpoint)
    words = [b"", b"MDPC01", b"MDPW01", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05", b"echo", b"NUB1", b"\xff" * 300]
    value = 12345
    for _ in range(20_000):
        frames = []
        value = (value * 1103515245 + 12345) % 2**31
        for shift in range(value % 9 + 1):
            value = (value * 1103515245 + 12345) % 2**31
            frames.append(words[(value >> 8) % len(words)])
        hostile.send_multipart(frames)
    hostile.send_multipart([b"", b"MDPC01", b"echo"] + [b"x"] * 5_000)
    # Half a message, for ever.
    hostile.send(b"", zmq.SNDMORE)
    for index in range(50):
        assert client.ask(b"echo", [b"%d" % index]) == [b"%d" % index]
    assert broker.alive()
    hostile.close(0)


def test_sigterm_gives_waiting_jobs_back_and_delivers_what_is_in_hand(make_broker):
    broker = make_broker()
    gate = threading.Event()

    def work(body):
        gate.wait(60)
        return body

    worker = broker.worker(b"echo", work)
    first, second = broker.client(), broker.client()
    first.send(b"echo", [b"in hand"])
    deadline = time.monotonic() + 60
    while not worker.requests:
        assert time.monotonic() < deadline
        worker.join(0.01)
    second.send(b"echo", wire.call(wire.ECHO))
    third = broker.client()
    while json.loads(third.ask(b"mmi.statistics", [b""])[0])["waiting"] == 0:
        assert time.monotonic() < deadline
    broker.process.send_signal(signal.SIGTERM)
    assert wire.parse(second.receive()).status == wire.UNAVAILABLE
    gate.set()
    assert first.receive() == [b"in hand"]
    assert broker.process.wait(60) == 0


# nub's own worker in the fleet


def test_nub_worker_serves_behind_the_broker(make_broker, make_worker_in):
    broker = make_broker()
    make_worker_in(broker, "one")
    client = broker.client()
    broker.await_service(client, b"nub")
    reply = client.call(b"nub", wire.call(wire.ECHO, b"hello"))
    assert (reply.status, reply.body, reply.meta["worker"]) == (wire.OK, b"hello", "one")
    broker.await_service(client, b"nub.one")
    again = client.call(b"nub.one", wire.job("get_result", body=reply.id))
    assert (again.status, again.body) == (wire.OK, b"hello")
    assert client.call(b"nub", wire.job("call")).status == wire.BAD_REQUEST
    # Without a readable id MDP still gets its one reply, and the slot is free again.
    for _ in range(10):
        assert client.ask(b"nub", [b"NUB1"])[:3] == [b"NUB1", b"reply", b""]
    assert client.call(b"nub", wire.call(wire.ECHO, b"x" * 1_000_000)).body == b"x" * 1_000_000


def test_nub_worker_comes_back_to_a_restarted_broker(make_broker, make_worker_in):
    broker = make_broker(*FAST)
    worker = make_worker_in(broker, "one", "--fleet-heartbeat", "300")
    client = broker.client()
    job = wire.call(wire.ECHO, b"once")
    first = wire.parse(client.ask_again(b"nub", job))
    broker.kill()
    broker.start()
    client._open()
    second = wire.parse(client.ask_again(b"nub", job))
    assert (first.status, second.status, second.duplicate) == (wire.OK, wire.OK, True)
    assert "the broker fell silent" in worker.log.read_text()


@pytest.mark.kvm
def test_nub_worker_killed_in_mid_job(make_broker, make_worker_in):
    broker = make_broker(*FAST)
    worker = make_worker_in(broker, "one", "--fleet-heartbeat", "300")
    client = broker.client()
    broker.await_service(client, b"nub")
    job = wire.call(wire.SPIN, wire.u64(2**62), options={"deadline_ms": 50_000})
    client.send(b"nub", job)
    probe = broker.client()
    deadline = time.monotonic() + 60
    while json.loads(probe.ask(b"mmi.statistics", [b""])[0])["services"]["nub"]["idle"] == 4:
        assert time.monotonic() < deadline
    worker.kill()
    assert wire.parse(client.receive()).status == wire.UNAVAILABLE
    worker.start()
    reply = wire.parse(client.ask_again(b"nub", wire.call(wire.ECHO, b"alive")))
    assert (reply.status, reply.body) == (wire.OK, b"alive")
    assert "fell silent" in broker.log.read_text()


def test_nub_worker_leaves_the_fleet_on_sigterm(make_broker, make_worker_in):
    broker = make_broker()
    worker = make_worker_in(broker, "one")
    client = broker.client()
    broker.await_service(client, b"nub")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(60) == 0
    broker.await_service(client, b"nub", b"404")


def test_clients_that_send_again_get_one_result(make_broker, make_worker_in):
    broker = make_broker()
    make_worker_in(broker, "one")
    jobs = [wire.call(wire.ECHO, b"%d" % index) for index in range(50)]
    clients = [broker.client() for _ in range(100)]
    broker.await_service(clients[0], b"nub")
    for index, client in enumerate(clients):
        client.send(b"nub", jobs[index % 50])
    replies = [wire.parse(client.receive()) for client in clients]
    assert all(reply.status == wire.OK and reply.body == b"%d" % (index % 50) for index, reply in enumerate(replies))
