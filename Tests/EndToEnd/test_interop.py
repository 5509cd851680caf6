"""`nub broker` and `nub worker` with an implementation of RFC 7 that is not ours: pyzmq-mdp, from PyPI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import zmq

import mdp_peers
import wire
from conftest import ENGINE
from mdp_peers import Broker

ENVIRONMENT = Path(__file__).parents[2] / ".build/foreign-mdp-venv"
# pyzmq-mdp is of 2013: it is installed as that time did it, which takes Python below 3.13 (lib2to3) and an old setuptools.
STEPS = [["setuptools<58", "wheel", "pyzmq>=26,<28", "tornado>=6,<7"], ["--no-build-isolation", "--no-deps", "pyzmq-mdp==0.2"]]


@pytest.fixture(scope="module")
def python():
    """The interpreter that has the package."""
    python = ENVIRONMENT / "bin/python"
    if subprocess.run([python, "-c", "import mdp.util"], capture_output=True).returncode if python.exists() else True:
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        for step in STEPS:
            done = subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", *step],
                                  capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"pyzmq-mdp cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
    return python


@pytest.fixture
def start(python):
    """Starts foreign peers, and ours, and ends them."""
    processes: list[subprocess.Popen] = []

    def start(*arguments: object, foreign: bool = True, **more) -> subprocess.Popen:
        command = [python, Path(__file__).with_name("foreign_mdp.py")] if foreign else [os.environ["NUB_BIN"]]
        processes.append(subprocess.Popen(
            [*map(str, command), *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, **more))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait(30)


def ask(client: subprocess.Popen, frames: list[bytes]) -> list[bytes] | None:
    client.stdin.write(json.dumps([frame.hex() for frame in frames]) + "\n")
    client.stdin.flush()
    reply = json.loads(client.stdout.readline())
    return reply and [bytes.fromhex(frame) for frame in reply]


@pytest.fixture
def directory(scratch):
    return Path(tempfile.mkdtemp(dir=scratch))


@pytest.fixture
def our_broker(directory):
    broker = Broker(directory, "--heartbeat", "1000").start()
    yield broker
    broker.close()


def our_worker(start, endpoint: str, directory: Path) -> None:
    start("worker", "--broker", endpoint, "--service", "nub", "--name", "one", "--store", directory / "s.db", "--engine", ENGINE,
          "--fleet-slots", "3", "--fleet-heartbeat", "1000", foreign=False)


def test_a_foreign_worker_and_client_meet_at_our_broker(our_broker, start):
    start("worker", our_broker.endpoint, "echo")
    our_broker.await_service(our_broker.client(), b"echo")
    client = start("client", our_broker.endpoint, "echo")
    for index in range(50):
        assert ask(client, [b"%d" % index, b"more"]) == [b"foreign", b"%d" % index, b"more"]
    # Longer than it may be silent: it lives by its heartbeats.
    time.sleep(4)
    assert ask(client, [b"later"]) == [b"foreign", b"later"]
    assert ask(start("client", our_broker.endpoint, "mmi.service"), [b"echo"]) == [b"200"]
    assert ask(start("client", our_broker.endpoint, "mmi.service"), [b"nobody"]) == [b"404"]


def test_a_foreign_worker_comes_back_to_our_broker(our_broker, start):
    start("worker", our_broker.endpoint, "echo")
    our_broker.await_service(our_broker.client(), b"echo")
    our_broker.kill()
    our_broker.start()
    # A REQ socket that waits for the old broker's reply is stuck, so the one that asks is new.
    client = our_broker.client()
    our_broker.await_service(client, b"echo")
    assert client.ask_again(b"echo", [b"again"]) == [b"foreign", b"again"]


def test_a_foreign_client_calls_our_worker_by_our_broker(our_broker, start, directory):
    our_worker(start, our_broker.endpoint, directory)
    our_broker.await_service(our_broker.client(), b"nub")
    client = start("client", our_broker.endpoint, "nub")
    job = wire.call(wire.ECHO, b"hello")
    first, second = (wire.parse(ask(client, job)) for _ in range(2))
    assert (first.status, first.body, first.duplicate) == (wire.OK, b"hello", False)
    assert (second.status, second.body, second.duplicate) == (wire.OK, b"hello", True)


def test_our_worker_serves_by_a_foreign_broker(start, directory):
    endpoint = f"ipc://{directory}/foreign"
    start("broker", endpoint)
    our_worker(start, endpoint, directory)
    context = zmq.Context()
    mmi = mdp_peers.Client(context, endpoint)
    deadline = time.monotonic() + 60
    while mmi.ask_again(b"mmi.service", [b"nub"]) != [b"200"]:
        assert time.monotonic() < deadline
    client = start("client", endpoint, "nub")
    for index in range(50):
        reply = wire.parse(ask(client, wire.call(wire.ECHO, b"%d" % index)))
        assert (reply.status, reply.body) == (wire.OK, b"%d" % index)
    # Past its patience of five seconds: our heartbeats keep us registered.
    time.sleep(7)
    assert wire.parse(ask(client, wire.job("ping"))).status == wire.OK
    mmi.close()
    context.destroy(linger=0)
