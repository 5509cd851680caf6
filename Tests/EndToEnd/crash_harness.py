"""Kills a worker under load, again and again, and holds it to what it has promised.

The harness knows from the side what was acknowledged: every reply that it has seen. Each life of the worker ends by SIGKILL, at a
random moment or, with a debug build, at a failpoint of the store or the worker. After each restart on the same file:

- a job that was acknowledged is answered with the same bytes, `duplicate`, and its row is the row that it had;
- a cap that was acknowledged is there;
- a job that was in the journal is there still, or has its result;
- `PRAGMA integrity_check` says ok, and the start needed nobody.

The long form, from the repository's root (a debug build has the failpoints, a release build has none):

    swift build --product nub
    NUB_BIN=.build/debug/nub NUB_CRASHES=500 Tests/EndToEnd/run test_crashes.py -s

It takes about five minutes on two cores and prints what it did so far with every ten kills. `NUB_SEED` repeats the choices of a run (not the scheduler's), `NUB_KEEP=1` leaves
the store and the worker's log where they are.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import zmq

import ssz
import wire

# Sources/NubStore/SQLite/Failpoint.swift and Sources/NubWorker/Concurrency/WorkerFailpoint.swift; others than these need idle times
# that the harness does not give.
POINTS = [("NUB_STORE_FAILPOINT", point) for point in range(1, 22)] + [
    ("NUB_WORKER_FAILPOINT", point) for point in range(1, 11)
]
# Points that a life passes only once, or only at its start.
EARLY = {("NUB_STORE_FAILPOINT", point) for point in (18, 19, 20, 21)} | {
    ("NUB_WORKER_FAILPOINT", point) for point in (8, 9)
}
PATIENCE = 120
# So small that a life which writes anything at all moves its log, and comes by the points of a checkpoint. Debug builds know it.
CHECKPOINT_BYTES = 64 << 10


class Lost(AssertionError):
    """A promise was broken."""


@dataclass
class Tally:
    kills: Counter = field(default_factory=Counter)
    # Deaths at each failpoint.
    points: Counter = field(default_factory=Counter)
    acknowledged: int = 0
    caps: int = 0
    inherited: int = 0
    checked: int = 0
    quarantined: int = 0
    statuses: Counter = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{sum(self.kills.values())} kills ({dict(self.kills)}), at {len(self.points)} of {len(POINTS)} failpoints, "
            f"{self.acknowledged} replies and {self.caps} caps acknowledged, {self.inherited} jobs found in a dead worker's "
            f"journal, {self.checked} answers compared, {self.quarantined} quarantined, statuses {dict(self.statuses)}"
        )


class Harness:
    def __init__(self, directory: Path, seed: int, engine: str, binary: str):
        self.directory = directory
        self.random = random.Random(seed)
        self.engine = engine
        self.binary = binary
        self.store = directory / "nub.sqlite"
        self.serve = f"ipc://{directory}/serve"
        self.jobs = f"ipc://{directory}/jobs"
        self.replies = f"ipc://{directory}/replies"
        self.context = zmq.Context()
        self.process: subprocess.Popen | None = None
        self.tally = Tally()
        # What was acknowledged: id -> (frames, status, body).
        self.known: dict[bytes, tuple[list[bytes], int, bytes]] = {}
        # The rows of those, once seen: id -> (seq, run_us, attempts).
        self.rows: dict[bytes, tuple] = {}
        self.caps: dict[bytes, bytes] = {}
        # Sent and not answered yet.
        self.asked: dict[bytes, list[bytes]] = {}
        self.pushed: dict[bytes, list[bytes]] = {}
        # Seen in the journal of a dead worker: they must be answered some time.
        self.owed: dict[bytes, list[bytes]] = {}
        self.life = 0
        # The failpoints that have not had their turn.
        self.plan: list[tuple[str, int]] = []
        self.has_failpoints = self.start(("NUB_STORE_FAILPOINT", "1:1")) is False
        self.kill()

    # The worker

    def start(self, failpoint: tuple[str, str] | None) -> bool:
        """Starts a worker; false if it died on the way, as a failpoint may want."""
        environment = os.environ | {"NUB_STORE_CHECKPOINT": str(CHECKPOINT_BYTES)}
        if failpoint:
            environment[failpoint[0]] = failpoint[1]
        self.life += 1
        with open(self.directory / "worker.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "worker", "--serve", self.serve, "--jobs", self.jobs, "--replies", self.replies]
                + ["--store", str(self.store), "--lanes", "2", "--engine", self.engine],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            )
        probe = self.socket(zmq.DEALER, self.serve)
        probe.send_multipart(wire.job("ping"))
        deadline = time.monotonic() + PATIENCE
        try:
            while not probe.poll(20):
                code = self.process.poll()
                if code is not None:
                    if code != -signal.SIGKILL:
                        raise Lost(f"life {self.life}: the start failed with {code}:\n{self.log()}")
                    return False
                if time.monotonic() > deadline:
                    raise Lost(f"life {self.life}: no answer to a ping:\n{self.log()}")
            return True
        finally:
            probe.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def log(self) -> str:
        return (self.directory / "worker.log").read_text()[-3000:]

    def socket(self, kind: int, endpoint: str) -> zmq.Socket:
        socket = self.context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 5)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 50)
        socket.connect(endpoint)
        return socket

    # Load

    def make_job(self) -> list[bytes]:
        choice = self.random.random()
        content = b"%d " % self.life + self.random.randbytes(self.random.choice((8, 40, 400, 20_000)))
        tenant = self.random.choice((None, None, {"tenant": "a"}))
        if choice < 0.40:
            return wire.call(wire.ECHO, content, options=tenant)
        if choice < 0.60:
            # Its answer depends on what ran before: a second run would hardly give the same.
            return wire.call(wire.COUNTER, options=tenant)
        if choice < 0.65:
            return wire.call(wire.FAIL, wire.u32(7) + b"refused", options=tenant)
        if choice < 0.70:
            return wire.call(wire.SPIN, wire.u64(self.random.choice((100, 2_000, 30_000))))
        if choice < 0.71 and self.engine == "kvm":
            return wire.call(wire.FAULT, b"\x00")
        form, root = ssz.data(content)
        if choice < 0.80:
            return wire.call(wire.CAP_SHA256, root, caps=[form])
        return wire.job("put_cap", root if choice < 0.9 else b"", form)

    def load(self, until: float) -> None:
        """Keeps some jobs in flight at both doors until the worker is dead, or the time has come."""
        dealer, push = self.socket(zmq.DEALER, self.serve), self.socket(zmq.PUSH, self.jobs)
        pull = self.socket(zmq.PULL, self.replies)
        window = self.random.choice((1, 8, 64, 200))
        poller = zmq.Poller()
        poller.register(dealer, zmq.POLLIN)
        poller.register(pull, zmq.POLLIN)
        # Askers ask again with the same ids; what a pipeline lost in its sockets is pushed again.
        for frames in list(self.asked.values()):
            dealer.send_multipart(frames)
        for id, frames in list(self.pushed.items()):
            if id not in self.owed:
                self.try_push(push, frames)
        try:
            while time.monotonic() < until and self.process.poll() is None:
                while len(self.asked) < window:
                    frames = self.make_job()
                    self.asked[frames[2]] = frames
                    dealer.send_multipart(frames)
                while len(self.pushed) < window:
                    frames = self.make_job()
                    if not self.try_push(push, frames):
                        break
                    self.pushed[frames[2]] = frames
                for socket, _ in poller.poll(10):
                    self.drain(socket)
            # What was sent before the death is acknowledged, if it arrives.
            if self.process.poll() is None:
                self.kill()
            self.tally.kills["failpoint" if time.monotonic() < until else "random"] += 1
            while poller.poll(20):
                for socket, _ in poller.poll(0):
                    self.drain(socket)
        finally:
            for socket in (dealer, push, pull):
                socket.close()

    @staticmethod
    def try_push(push: zmq.Socket, frames: list[bytes]) -> bool:
        try:
            push.send_multipart(frames, zmq.NOBLOCK)
            return True
        except zmq.Again:
            return False

    def drain(self, socket: zmq.Socket) -> None:
        for _ in range(1000):
            try:
                self.note(wire.parse(socket.recv_multipart(zmq.NOBLOCK)))
            except zmq.Again:
                return

    def note(self, reply: wire.Reply) -> None:
        """A reply was seen: from now on it is a promise."""
        frames = self.asked.pop(reply.id, None) or self.pushed.pop(reply.id, None)
        owed = self.owed.pop(reply.id, None)
        frames = frames or owed
        if frames is None:
            if reply.id in self.known:
                self.compare(reply)
            return
        self.pushed.pop(reply.id, None)
        self.tally.statuses[reply.status] += 1
        if reply.status == wire.UNAVAILABLE:
            return
        self.tally.acknowledged += 1
        if reply.status == wire.QUARANTINED:
            # Three deaths during its solo runs: rare, and right, for a put as for a call.
            self.tally.quarantined += 1
        if frames[1] == b"put_cap":
            if reply.status == wire.QUARANTINED:
                return
            if reply.status != wire.OK or reply.body != ssz_root(frames[4]):
                raise Lost(f"a put was answered with {reply}")
            self.caps[reply.body] = frames[4]
            self.tally.caps += 1
            return
        self.judge(frames, reply)
        self.known[reply.id] = (frames, reply.status, reply.body)
        if len(frames) > 6:
            self.caps[frames[4]] = frames[6]

    def judge(self, frames: list[bytes], reply: wire.Reply) -> None:
        """Whether this can be the answer to that."""
        function = int.from_bytes(frames[3], "little")
        if reply.status == wire.QUARANTINED:
            return
        wanted = {wire.FAIL: wire.GUEST_ERROR, wire.FAULT: wire.GUEST_FAULT}.get(function, wire.OK)
        if reply.status != wanted:
            raise Lost(f"life {self.life}: function {function} was answered with {reply}")
        if function == wire.ECHO and reply.body != frames[4]:
            raise Lost(f"life {self.life}: another job's answer: {reply}")

    def compare(self, reply: wire.Reply) -> None:
        _, status, body = self.known[reply.id]
        self.tally.checked += 1
        if (reply.status, reply.body) != (status, body):
            raise Lost(f"life {self.life}: acknowledged as {status} {body[:80]!r}, now {reply}")
        if not reply.duplicate:
            raise Lost(f"life {self.life}: run again after its reply: {reply}")

    # What the file says

    def read(self, query: str, *arguments) -> list[tuple]:
        for _ in range(100):
            try:
                database = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=30)
                try:
                    return database.execute(query, arguments).fetchall()
                finally:
                    database.close()
            except sqlite3.OperationalError as error:
                # Killed before the file was made, or before it had a table.
                if "unable to open" in str(error) or "no such table" in str(error):
                    return []
                time.sleep(0.01)
        raise Lost("the file cannot be read")

    def look_at_the_journal(self) -> None:
        """After a death: the jobs in the journal are owed."""
        blobs = b"".join(row[0] for row in self.read("SELECT jobs FROM journal"))
        for id, frames in list(self.pushed.items()):
            if id in blobs and id not in self.owed:
                self.owed[id] = frames
                self.tally.inherited += 1

    def settle(self) -> None:
        """The journal of the dead is worked off, by result or by cap; nobody may be needed for that."""
        pull = self.socket(zmq.PULL, self.replies)
        deadline = time.monotonic() + PATIENCE
        try:
            while self.process.poll() is None:
                self.drain(pull)
                if not self.owed or not self.forget_recorded():
                    return
                if time.monotonic() > deadline:
                    raise Lost(f"life {self.life}: {len(self.owed)} journaled jobs have no result:\n{self.log()}")
                pull.poll(50)
        finally:
            pull.close()

    def forget_recorded(self) -> bool:
        """Owed jobs whose result is in the file, but whose reply died on the way, are answered all the same (`get_result`)."""
        for id, frames in list(self.owed.items()):
            if frames[1] == b"put_cap":
                done = self.read("SELECT 1 FROM caps WHERE hash = ?", ssz_root(frames[4]))
            else:
                done = self.read("SELECT 1 FROM jobs WHERE job_id = ?", id)
            if done:
                self.owed.pop(id)
                self.pushed.pop(id, None)
        return bool(self.owed)

    def verify(self, everything: bool) -> None:
        """Holds the worker to its promises."""
        answer = self.read("PRAGMA integrity_check")
        if answer != [("ok",)]:
            raise Lost(f"life {self.life}: integrity_check: {answer}")
        ids = list(self.known)
        if not everything:
            recent = ids[-100:]
            ids = recent + self.random.sample(ids, min(50, len(ids)))
        dealer = self.socket(zmq.DEALER, self.serve)
        try:
            for start in range(0, len(ids), 256):
                self.verify_calls(dealer, set(ids[start : start + 256]))
            hashes = list(self.caps)
            if not everything:
                hashes = hashes[-500:]
            for start in range(0, len(hashes), 1000):
                part = hashes[start : start + 1000]
                # Those put for tenant `a` are `a`'s.
                for tenant in (None, {"tenant": "a"}):
                    reply = self.ask(dealer, wire.job("find_missing", b"", b"".join(part), options=tenant))
                    if reply is None:
                        return
                    part = wire.split_hashes(reply.body)
                if part:
                    raise Lost(f"life {self.life}: {len(part)} acknowledged caps are lost")
        finally:
            dealer.close()

    def ask(self, dealer: zmq.Socket, frames: list[bytes]) -> wire.Reply | None:
        """nil: the worker died."""
        dealer.send_multipart(frames)
        deadline = time.monotonic() + PATIENCE
        while not dealer.poll(50):
            if self.process.poll() is not None:
                return None
            if time.monotonic() > deadline:
                raise Lost(f"life {self.life}: no answer:\n{self.log()}")
        return wire.parse(dealer.recv_multipart())

    def verify_calls(self, dealer: zmq.Socket, ids: set[bytes]) -> None:
        for id in ids:
            dealer.send_multipart(self.known[id][0])
        waiting = set(ids)
        deadline = time.monotonic() + PATIENCE
        while waiting:
            if not dealer.poll(50):
                if self.process.poll() is not None:
                    return
                if time.monotonic() > deadline:
                    raise Lost(f"life {self.life}: {len(waiting)} acknowledged jobs are not answered:\n{self.log()}")
                continue
            reply = wire.parse(dealer.recv_multipart())
            self.compare(reply)
            waiting.discard(reply.id)
        # The row of an acknowledged job is written once.
        marks = ",".join("?" * len(ids))
        rows = self.read(f"SELECT job_id, seq, run_us, attempts FROM jobs WHERE job_id IN ({marks})", *ids)
        if {bytes(row[0]) for row in rows} != ids or len(rows) != len(ids):
            raise Lost(f"life {self.life}: {len(ids)} acknowledged jobs have {len(rows)} rows")
        for id, *row in rows:
            if self.rows.setdefault(bytes(id), tuple(row)) != tuple(row):
                raise Lost(f"life {self.life}: {id.hex()} was recorded again")

    # A run

    def choose(self, failpoints: bool) -> tuple[str, str] | None:
        """A third of the lives ends at random; the others take turns at the failpoints."""
        if not failpoints or not self.has_failpoints or self.random.random() < 0.35:
            return None
        if not self.plan:
            self.plan = self.random.sample(POINTS, len(POINTS))
        chosen = self.plan.pop()
        # The first passage is nearly always the start's, and the surest; later ones are under load.
        is_new = self.tally.points[chosen] == 0
        passage = 1 if chosen in EARLY or is_new else self.random.choice((2, 3, 5, 8, 13, 30))
        return chosen[0], f"{chosen[1]}:{passage}"

    def run(self, kills: int, failpoints: bool = True, progress: bool = False) -> Tally:
        while sum(self.tally.kills.values()) < kills:
            failpoint = self.choose(failpoints)
            deaths = self.tally.kills["failpoint"] + self.tally.kills["at the start"]
            if self.start(failpoint):
                self.settle()
                if self.process.poll() is None:
                    self.verify(everything=False)
                self.load(time.monotonic() + self.random.choice((0.0, 0.02, 0.1, 0.3)) + self.random.random() * 0.3)
            else:
                self.tally.kills["at the start"] += 1
            self.process.wait(PATIENCE)
            if failpoint and self.tally.kills["failpoint"] + self.tally.kills["at the start"] > deaths:
                self.tally.points[(failpoint[0], int(failpoint[1].split(":")[0]))] += 1
            self.look_at_the_journal()
            if progress and sum(self.tally.kills.values()) % 10 == 0:
                print(self.tally, flush=True)
        while not self.start(None):
            pass
        self.settle()
        if self.owed:
            raise Lost(f"{len(self.owed)} journaled jobs were never answered")
        self.verify(everything=True)
        self.process.terminate()
        if self.process.wait(PATIENCE) != 0:
            raise Lost("the last worker did not end in good order")
        left = self.read("SELECT count(*) FROM journal")
        if left != [(0,)]:
            raise Lost(f"the journal is not empty in the end: {left}")
        return self.tally

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.context.destroy(linger=0)


def ssz_root(form: bytes) -> bytes:
    return ssz.data_root(form[5:])


def crash(kills: int, progress: bool = False) -> Tally:
    seed = int(os.environ.get("NUB_SEED", time.time_ns() & 0xFFFFFFFF))
    print(f"crash harness: {kills} kills, NUB_SEED={seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="nub-crash-"))
    binary = os.environ.get("NUB_CRASH_BIN") or os.environ["NUB_BIN"]
    harness = Harness(directory, seed, os.environ.get("NUB_ENGINE", "kvm"), binary)
    try:
        if not harness.has_failpoints:
            print("crash harness: a build without failpoints, so all kills are at random", flush=True)
        began = time.monotonic()
        tally = harness.run(kills, progress=progress)
        print(f"{tally}, {time.monotonic() - began:.0f} s", flush=True)
        missed = [point for point in POINTS if not tally.points[point]]
        # Then each had its turn several times, and one at which nobody died is not on the way of a commit any more.
        if harness.has_failpoints and kills >= 5 * len(POINTS) and missed:
            raise Lost(f"nobody died at {missed}")
        return tally
    finally:
        harness.close()
        if not os.environ.get("NUB_KEEP"):
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    crash(int(sys.argv[1]) if len(sys.argv) > 1 else 500, progress=True)
