"""Real workers on real endpoints: started, awaited by `ping`, stopped, killed and started again on the same store."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import zmq

import wire
from wire import Producer

ENGINE = os.environ.get("NUB_ENGINE", "kvm")


def pytest_report_header(config):
    return f"nub: {os.environ.get('NUB_BIN')}, engine {ENGINE}"


def pytest_collection_modifyitems(config, items):
    if ENGINE != "kvm":
        reason = f"the {ENGINE} engine does not isolate: it can neither fault nor be interrupted"
        for item in items:
            if item.get_closest_marker("kvm"):
                item.add_marker(pytest.mark.skip(reason=reason))


def failpoint_binary() -> str:
    """Failpoints are in debug builds alone."""
    return os.environ.get("NUB_CRASH_BIN") or os.environ.get("NUB_BIN", "")


needs_failpoints = pytest.mark.skipif(
    "/debug/" not in os.path.realpath(failpoint_binary()), reason="failpoints are in debug builds only: NUB_BIN or NUB_CRASH_BIN"
)


class Worker:
    """One `nub worker`: two doors, one store, any number of lives."""

    def __init__(self, directory: Path, lanes: int = 2, arguments: list[str] | None = None):
        self.directory = directory
        self.store = directory / "nub.sqlite"
        self.serve = f"ipc://{directory}/serve"
        self.jobs = f"ipc://{directory}/jobs"
        self.replies = f"ipc://{directory}/replies"
        self.lanes = lanes
        # Further options, and variables, of lives to come.
        self.arguments = arguments or []
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen | None = None
        self.context = zmq.Context()
        self._producers: list[Producer] = []
        self._lives = 0

    def start(self, wait: bool = True) -> "Worker":
        assert self.process is None or self.process.poll() is not None
        binary = os.environ.get("NUB_BIN")
        if "NUB_WORKER_FAILPOINT" in self.environment:
            binary = failpoint_binary()
        assert binary, "NUB_BIN names the nub executable (see Tests/EndToEnd/run)"
        self._lives += 1
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [binary, "worker", "--serve", self.serve, "--jobs", self.jobs, "--replies", self.replies]
                + ["--store", str(self.store), "--lanes", str(self.lanes), "--engine", ENGINE]
                + self.arguments,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            self._await_ping()
        return self

    @property
    def log(self) -> Path:
        return self.directory / f"worker-{self._lives}.log"

    def bound(self, start: str) -> str:
        """An endpoint as bound, from the log."""
        return re.search(re.escape(start) + r"\d+", self.log.read_text()).group()

    def _await_ping(self) -> None:
        """A DEALER queues the ping until the worker binds, so one ping is enough; the loop looks for an early death."""
        producer = Producer(self.context, self.serve, RECONNECT_IVL=10, RECONNECT_IVL_MAX=50)
        try:
            producer.send(wire.job("ping"))
            deadline = time.monotonic() + wire.PATIENCE_MS / 1000
            while not producer.socket.poll(100):
                if self.process.poll() is not None:
                    pytest.fail(f"the worker ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")
                if time.monotonic() > deadline:
                    pytest.fail(f"the worker did not answer a ping:\n{self.log.read_text()[-4000:]}")
            assert wire.parse(producer.socket.recv_multipart()).status == wire.OK
        finally:
            producer.close()

    def producer(self, kind: int = zmq.DEALER, **options: int) -> Producer:
        producer = Producer(self.context, self.serve, kind, **options)
        producer.alive = self.alive
        self._producers.append(producer)
        return producer

    def push(self) -> zmq.Socket:
        """The pipeline's ventilator."""
        socket = self.context.socket(zmq.PUSH)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(self.jobs)
        return socket

    def sink(self) -> Producer:
        """The pipeline's collector."""
        producer = Producer(self.context, self.replies, zmq.PULL)
        producer.alive = self.alive
        self._producers.append(producer)
        return producer

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self.process.kill()
        self.process.wait(30)

    def restart(self) -> "Worker":
        self.kill()
        return self.start()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)

    def alive(self) -> bool:
        return self.process.poll() is None

    def database(self) -> sqlite3.Connection:
        """The store, opened by the stock library, read-only."""
        return sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=30)

    def close(self) -> None:
        for producer in self._producers:
            producer.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.context.destroy(linger=0)


@pytest.fixture(scope="session")
def scratch():
    # Not pytest's tmp_path: an ipc endpoint's path must fit into 107 bytes (unix(7)).
    directory = Path(tempfile.mkdtemp(prefix="nub-e2e-"))
    yield directory
    if not os.environ.get("NUB_KEEP"):
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def _shared_worker(scratch):
    directory = scratch / "shared"
    directory.mkdir()
    worker = Worker(directory).start()
    yield worker
    worker.close()


@pytest.fixture
def worker(_shared_worker):
    """A worker that many tests share; whatever a test does to it, it must still serve afterwards."""
    if not _shared_worker.alive():
        _shared_worker.start()  # A test before this one ended it, and failed for that: once is enough.
    yield _shared_worker
    assert _shared_worker.alive(), f"the worker died:\n{_shared_worker.log.read_text()[-4000:]}"


@pytest.fixture
def producer(worker):
    producer = worker.producer()
    yield producer
    producer.close()


@pytest.fixture
def make_worker(scratch, request):
    """Workers of a test's own, to kill and restart."""
    workers: list[Worker] = []

    def make(lanes: int = 2, start: bool = True, arguments: list[str] | None = None) -> Worker:
        directory = Path(tempfile.mkdtemp(dir=scratch))
        worker = Worker(directory, lanes, arguments)
        workers.append(worker)
        return worker.start() if start else worker

    yield make
    for worker in workers:
        worker.close()
