"""A fleet over a link that can be cut: the worker lives in a network namespace of its own, at the other end of a veth pair."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import zmq

import wire
from conftest import ENGINE
from mdp_peers import Broker

HEARTBEAT = 300
NAME = f"nub{os.getpid() % 10_000}"
HERE, THERE = "10.213.77.1", "10.213.77.2"


def ip(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True)


class Link:
    """A namespace and the cable to it."""

    def up(self) -> None:
        assert ip("link", "set", NAME, "up").returncode == 0

    def cut(self) -> None:
        assert ip("link", "set", NAME, "down").returncode == 0

    def run(self, *command: object, **more) -> subprocess.Popen:
        return subprocess.Popen(["ip", "netns", "exec", NAME, *map(str, command)], stdin=subprocess.DEVNULL, **more)


@pytest.fixture
def link():
    if shutil.which("ip") is None:
        pytest.skip("there is no ip(8)")
    made = ip("netns", "add", NAME)
    if made.returncode:
        pytest.skip(f"network namespaces are not permitted here: {made.stderr.strip()}")
    try:
        for step in (f"link add {NAME} type veth peer name {NAME}p", f"link set {NAME}p netns {NAME}",
                     f"addr add {HERE}/30 dev {NAME}", f"-n {NAME} addr add {THERE}/30 dev {NAME}p",
                     f"-n {NAME} link set {NAME}p up", f"-n {NAME} link set lo up"):
            done = ip(*step.split())
            if done.returncode:
                pytest.skip(f"ip {step}: {done.stderr.strip()}")
        link = Link()
        link.up()
        yield link
    finally:
        ip("link", "del", NAME)
        ip("netns", "del", NAME)


@pytest.fixture
def fleet(link, scratch):
    """A broker here, a worker there."""
    directory = Path(tempfile.mkdtemp(dir=scratch))
    broker = Broker(directory, "--heartbeat", str(HEARTBEAT), "--insecure", endpoint=f"tcp://{HERE}:17710").start()
    with open(directory / "worker.log", "ab") as log:
        worker = link.run(
            os.environ["NUB_BIN"], "worker", "--broker", broker.endpoint, "--service", "nub", "--name", "one", "--insecure",
            "--store", directory / "s.db", "--engine", ENGINE, "--fleet-slots", "8", "--fleet-heartbeat", HEARTBEAT,
            stdout=log, stderr=log)
    broker.store = directory / "s.db"
    try:
        broker.await_service(broker.client(), b"nub")
        yield broker
    finally:
        worker.kill()
        worker.wait(30)
        broker.close()


def ended(broker: Broker, id: bytes) -> list[tuple[int, int]]:
    with sqlite3.connect(f"file:{broker.store}?mode=ro", uri=True, timeout=30) as store:
        return store.execute("SELECT status, attempts FROM jobs WHERE job_id = ?", (id,)).fetchall()


def test_a_link_that_is_cut_in_mid_job_for_longer_than_the_heartbeat(fleet, link):
    client = fleet.client()
    # It runs for three times as long as the broker waits for a silent worker.
    job = wire.call(wire.SPIN, wire.u64(3_000 * 3 * HEARTBEAT))
    client.send(b"nub", job)
    probe = fleet.client()
    deadline = time.monotonic() + 60
    while json.loads(probe.ask(b"mmi.statistics", [b""])[0])["services"]["nub"]["idle"] == 8:
        assert time.monotonic() < deadline
    link.cut()
    # The broker gives the worker up, and says so at once: the client knows that it may ask again.
    assert wire.parse(client.receive()).status == wire.UNAVAILABLE
    fleet.await_service(probe, b"nub", b"404")
    link.up()
    fleet.await_service(probe, b"nub")
    while True:
        reply = wire.parse(client.ask(b"nub", job))
        if reply.status != wire.UNAVAILABLE:
            break
        assert time.monotonic() < deadline + 60
        time.sleep(0.1)
    assert reply.status == wire.OK
    # The job went on behind the cut, and was joined or answered from the store: it ran once.
    assert ended(fleet, job[2]) == [(wire.OK, 1)]


def test_clients_whose_jobs_are_under_way_at_a_cut_get_one_result_each(fleet, link):
    jobs = [wire.call(wire.ECHO, b"%d" % index) for index in range(200)]
    socket = fleet.context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(fleet.endpoint)
    waiting = {job[2]: job for job in jobs}
    results: dict[bytes, bytes] = {}
    deadline = time.monotonic() + 120
    cuts, again = 0, 0.0
    while waiting:
        assert time.monotonic() < deadline, f"{len(waiting)} jobs were not answered"
        if time.monotonic() >= again:
            for job in waiting.values():
                socket.send_multipart([b"", b"MDPC01", b"nub", *job])
            again = time.monotonic() + 2
        if cuts < 2 and len(results) >= 60 * cuts:
            cuts += 1
            link.cut()
            time.sleep(4 * HEARTBEAT / 1_000)
            link.up()
        if not socket.poll(100):
            continue
        reply = wire.parse(socket.recv_multipart())
        if reply.status == wire.UNAVAILABLE:
            continue
        assert reply.status == wire.OK
        assert results.setdefault(reply.id, reply.body) == reply.body
        waiting.pop(reply.id, None)
    for job in jobs:
        assert results[job[2]] == job[4]
        assert len(ended(fleet, job[2])) == 1
    socket.close(0)


def test_a_pipeline_over_a_link_that_is_cut_loses_nothing(link, scratch):
    directory = Path(tempfile.mkdtemp(dir=scratch))
    with open(directory / "worker.log", "ab") as log:
        worker = link.run(
            os.environ["NUB_BIN"], "worker", "--jobs", f">tcp://{HERE}:17711", "--replies", f">tcp://{HERE}:17712", "--insecure",
            "--store", directory / "s.db", "--engine", ENGINE, stdout=log, stderr=log)
    context = zmq.Context()
    try:
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        push.setsockopt(zmq.SNDHWM, 0)  # The sender has room for what a cut link does not take.
        push.bind(f"tcp://{HERE}:17711")
        pull.bind(f"tcp://{HERE}:17712")
        jobs = [wire.call(wire.ECHO, bytes(2_000) + b"%d" % index) for index in range(2_000)]
        seen = {}
        deadline = time.monotonic() + 120
        for index, job in enumerate(jobs):
            push.send_multipart(job)
            if index == 500:
                link.cut()
            if index == 1_500:
                time.sleep(1.5)
                link.up()
        while len(seen) < len(jobs):
            assert time.monotonic() < deadline, f"{len(seen)} of {len(jobs)} were answered"
            if pull.poll(200):
                reply = wire.parse(pull.recv_multipart())
                seen[reply.id] = reply.body
        assert seen == {job[2]: job[4] for job in jobs}
    finally:
        worker.kill()
        worker.wait(30)
        context.destroy(linger=0)
