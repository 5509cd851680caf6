"""A soak: load at every door, guests that crash, calls that never end, bad caps, peers that come and go, SIGKILLs of the worker and of
the broker; at the end every job has taken effect once, and neither memory nor descriptors have grown.

    ops/soak                    twenty seconds
    ops/soak --minutes 60       for longer
    ops/soak --seed 7

A call has taken effect once when whoever asked, however often, over whichever door and across whichever kill, was told one thing, and
that is what the store has recorded for it, once. `counter` (function 16) gives another result each time it runs, so a second run shows.
"""

from __future__ import annotations

import collections
import random
import sqlite3
import sys
import threading
import time
from pathlib import Path

import zmq

import long_run
import mdp_peers
import watch
import wire
from conftest import ENGINE, Worker

PATIENCE = 120.0
ALLOWED_GROWTH = 64 << 20
HEARTBEAT = "500"


class Kind:
    """What a job is, and what must become of it."""

    def __init__(self, name: str, weight: int, make, statuses: set[int], body=None):
        self.name, self.weight, self.make, self.statuses, self.body = name, weight, make, statuses, body


def data(content: bytes) -> bytes:
    """A Data cap's wire form."""
    return b"\x02\x04\x00\x00\x00" + content


def kinds() -> list[Kind]:
    made = [
        Kind("echo", 60, lambda r: wire.call(wire.ECHO, r.randbytes(r.randrange(1, 400))), {wire.OK}, lambda job: job[4]),
        Kind("counter", 20, lambda r: wire.call(wire.COUNTER, b""), {wire.OK}),
        Kind("fail", 8, lambda r: wire.call(wire.FAIL, wire.u32(7) + b"no"), {wire.GUEST_ERROR}),
        Kind("unknown", 2, lambda r: wire.call(9_999, b""), {wire.UNKNOWN_FUNCTION}),
        Kind("cap", 10, lambda r: wire.job("put_cap", b"", data(r.randbytes(r.randrange(9_000)))), {wire.OK}),
        Kind("bad cap", 3, lambda r: wire.job("put_cap", b"", b"\x07" + r.randbytes(50)), {wire.CAP_INVALID}),
        Kind("wrong hash", 2, lambda r: wire.job("put_cap", r.randbytes(32), data(b"x")), {wire.HASH_MISMATCH}),
        Kind("expired", 2, lambda r: wire.call(wire.ECHO, b"", options={"expires_at_ms": 1_000}), {wire.DEADLINE_EXCEEDED}),
    ]
    if ENGINE == "kvm":
        made += [
            Kind("fault", 3, lambda r: wire.call(wire.FAULT, bytes([r.randrange(3)])), {wire.GUEST_FAULT, wire.GUEST_ERROR}),
            Kind("endless", 2, lambda r: wire.call(wire.SPIN, wire.u64(0), options={"deadline_ms": 20}), {wire.DEADLINE_EXCEEDED}),
        ]
    return made


class Line:
    """A connection to a door: how jobs get there and replies back."""

    def __init__(self, soak: "Soak"):
        self.soak = soak
        self.sockets: list[zmq.Socket] = []

    def socket(self, kind: int, endpoint: str) -> zmq.Socket:
        made = self.soak.context.socket(kind)
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.SNDTIMEO, 200)
        made.setsockopt(zmq.RECONNECT_IVL, 20)
        made.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        # Nothing waits for a peer that is gone; it is sent again anyway.
        made.setsockopt(zmq.IMMEDIATE, 1)
        made.connect(endpoint)
        self.sockets.append(made)
        return made

    def send(self, job: list[bytes]) -> bool:
        try:
            self.sockets[0].send_multipart(job)
            return True
        except zmq.Again:
            return False

    def receive(self, milliseconds: int) -> wire.Reply | None:
        return wire.parse(self.sockets[-1].recv_multipart()) if self.sockets[-1].poll(milliseconds) else None

    def close(self) -> None:
        for socket in self.sockets:
            socket.close(0)


class Direct(Line):
    def __init__(self, soak):
        super().__init__(soak)
        self.socket(zmq.DEALER, soak.worker.serve)


class Fleet(Line):
    def __init__(self, soak):
        super().__init__(soak)
        self.socket(zmq.DEALER, soak.broker.endpoint)

    def send(self, job):
        return super().send([b"", mdp_peers.CLIENT, b"nub", *job])


class Pipeline(Line):
    """A ventilator and the one collector that there is."""

    def __init__(self, soak):
        super().__init__(soak)
        self.socket(zmq.PUSH, soak.worker.jobs)
        self.socket(zmq.PULL, soak.worker.replies)


class Producer(threading.Thread):
    """Keeps a window of jobs under way, sends again what is not answered, looks at every answer, and sometimes connects anew."""

    WINDOW = 32

    def __init__(self, soak: "Soak", line: type[Line], number: int):
        super().__init__(name=f"{line.__name__.lower()} {number}", daemon=True)
        self.soak, self.line_type = soak, line
        self.random = random.Random(f"{soak.seed}-{self.name}")
        self.kinds = kinds()
        self.tenant = self.random.choice(("red", "green", "blue"))
        # By job id: what it is, its frames, since when, and when to send it (again).
        self.under_way: dict[bytes, tuple[Kind, list[bytes], float, float]] = {}
        self.answered: collections.Counter = collections.Counter()
        self.reconnects = -1
        self.failure: BaseException | None = None
        self.line: Line | None = None

    def run(self) -> None:
        try:
            while not self.soak.ended.is_set() or self.under_way:
                self.turn()
        except BaseException as failure:
            self.failure = failure
            self.soak.ended.set()
        finally:
            if self.line is not None:
                self.line.close()

    def turn(self) -> None:
        if self.line is None or (self.random.random() < 0.005 and self.line_type is not Pipeline):
            if self.line is not None:
                self.line.close()
            self.line = self.line_type(self.soak)
            self.reconnects += 1
        now = time.monotonic()
        while len(self.under_way) < self.WINDOW and not self.soak.ended.is_set():
            kind = self.random.choices(self.kinds, [kind.weight for kind in self.kinds])[0]
            job = kind.make(self.random)
            if job[1] != b"call":
                self.soak.ledger.puts.add(job[2])
            if len(job) == 5:
                job.append(b'{"tenant":"%s"}' % self.tenant.encode())
            self.under_way[job[2]] = (kind, job, now, 0.0)
        for id, (kind, job, begun, due) in list(self.under_way.items()):
            assert now - begun < PATIENCE, f"{self.name}: {kind.name} was not answered in {PATIENCE:g} s"
            if now >= due:
                if not self.line.send(job):
                    break
                self.under_way[id] = (kind, job, begun, now + 2.0 + self.random.random())
        reply = self.line.receive(20)
        while reply is not None:
            self.take(reply)
            reply = self.line.receive(0)

    def take(self, reply: wire.Reply) -> None:
        if reply.id not in self.under_way:
            # A second answer to what was sent twice.
            return self.soak.ledger.note(reply)
        kind, job, begun, _ = self.under_way[reply.id]
        if reply.status == wire.UNAVAILABLE:
            pause = min(1.0, reply.meta.get("retry_after_ms", 100) / 1_000)
            self.under_way[reply.id] = (kind, job, begun, time.monotonic() + pause)
            return
        self.soak.ledger.note(reply)
        # Quarantine needs three kills while a job runs alone: chance, here.
        if reply.status != wire.QUARANTINED or self.soak.kills < 3:
            assert reply.status in kind.statuses, f"{self.name}: {kind.name}: status {reply.status}, {reply.body[:200]!r}"
            assert kind.body is None or reply.body == kind.body(job), f"{self.name}: {kind.name}: another result"
        del self.under_way[reply.id]
        self.answered[kind.name] += 1
        if self.random.random() < 0.05:
            self.line.send(job)


class Ledger:
    """What askers were told about calls that are recorded, by job id."""

    RECORDED = {wire.OK, wire.GUEST_ERROR, wire.GUEST_FAULT, wire.DEADLINE_EXCEEDED, wire.CANCELLED, wire.QUARANTINED}

    def __init__(self):
        self._lock = threading.Lock()
        self._told: dict[bytes, tuple[int, bytes]] = {}
        # Puts have ids, too, and are not recorded.
        self.puts: set[bytes] = set()
        self.duplicates = 0
        self.problems: list[str] = []

    def note(self, reply: wire.Reply) -> None:
        if reply.status not in self.RECORDED or reply.id in self.puts or reply.meta.get("engine") == "broker":
            return  # A broker records nothing.
        with self._lock:
            self.duplicates += reply.duplicate
            told = self._told.setdefault(reply.id, (reply.status, reply.body))
            if told != (reply.status, reply.body):
                self.problems.append(f"job {reply.id.hex()} was answered {told}, and then {(reply.status, reply.body)}")

    def compare(self, store: Path) -> list[str]:
        problems = list(self.problems)
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=30) as database:
            rows = database.execute("SELECT job_id, status, result FROM jobs").fetchall()
            left = database.execute("SELECT coalesce(sum(count), 0) FROM journal").fetchone()[0]
        recorded: dict[bytes, list] = collections.defaultdict(list)
        for id, status, result in rows:
            recorded[bytes(id)].append((status, result))
        for id, (status, body) in self._told.items():
            # A message is kept as text, a result as it is.
            matches = [row for row in recorded[id] if row[0] == status and (status != wire.OK or (row[1] or b"") == body)]
            if len(recorded[id]) != 1 or len(matches) != 1:
                problems.append(f"job {id.hex()} was answered {(status, body[:60])}; recorded is {recorded[id]}")
        if left:
            problems.append(f"{left} jobs are left in the journal")
        print(f"{len(self._told)} calls were answered, {self.duplicates} times from the store; {len(rows)} are recorded, {len(recorded)} ids")
        return problems[:20]


class Soak:
    def __init__(self, seconds: float, seed: int, directory: Path):
        self.seconds, self.seed = seconds, seed
        self.random = random.Random(f"{seed}-chaos")
        self.ended = threading.Event()
        self.context = zmq.Context()
        self.ledger = Ledger()
        self.kills = 0
        self.broker = mdp_peers.Broker(directory, "--heartbeat", HEARTBEAT, "--log-level", "critical").start()
        self.worker = Worker(directory, 2, [
            "--broker", self.broker.endpoint, "--service", "nub", "--name", "one", "--fleet-slots", "16",
            "--fleet-heartbeat", HEARTBEAT, "--log-level", "error"]).start()

    def pause(self, seconds: float) -> None:
        self.ended.wait(seconds)

    def chaos(self, seconds: float) -> None:
        """Kills the worker and the broker, again and again."""
        end = time.monotonic() + seconds
        step = max(0.3, min(10.0, seconds / 12))
        while time.monotonic() < end and not self.ended.is_set():
            self.pause(step * (0.5 + self.random.random()))
            if self.random.random() < 0.65:
                self.kills += 1
                self.worker.restart()
            else:
                self.broker.kill()
                self.pause(self.random.random())
                self.broker.start()

    def execute(self) -> list[str]:
        producers = [Producer(self, line, number) for line in (Direct, Fleet) for number in range(3)]
        producers.append(Producer(self, Pipeline, 0))
        for producer in producers:
            producer.start()
        self.chaos(self.seconds / 2)
        watches = {"worker": watch.Watch(self.worker.process.pid), "broker": watch.Watch(self.broker.process.pid)}
        self.pause(self.seconds / 2)
        self.ended.set()
        problems = []
        for producer in producers:
            producer.join(PATIENCE)
            if producer.failure is not None:
                problems.append(f"{type(producer.failure).__name__}: {producer.failure}")
            elif producer.is_alive():
                problems.append(f"{producer.name} does not end: {len(producer.under_way)} jobs are under way")
        for name, process in (("worker", self.worker.process), ("broker", self.broker.process)):
            looked = watches[name].stop()
            print(f"{name}: {looked.summary()}")
            memory, files = looked.growth()
            if process.poll() is not None:
                problems.append(f"the {name} ended with {process.returncode}")
            elif memory > ALLOWED_GROWTH or files > 12:
                problems.append(f"the {name} grows: {looked.summary()}")
        answered = sum((producer.answered for producer in producers), collections.Counter())
        print(f"{self.kills} kills of the worker, {sum(producer.reconnects for producer in producers)} reconnects; answered: "
              + ", ".join(f"{name} {count}" for name, count in sorted(answered.items())))
        # What nobody waits for any more may still be in the journal for a moment.
        self.worker.terminate()
        if self.worker.wait(60) != 0:
            problems.append(f"the worker's end was {self.worker.process.returncode}")
        return problems + self.ledger.compare(self.worker.store)

    def close(self) -> None:
        self.worker.close()
        self.broker.close()
        self.context.destroy(linger=0)


def soak(seconds: float, seed: int) -> list[str]:
    """Soaks, and returns what was wrong."""
    return long_run.in_folder("soak", lambda directory: Soak(seconds, seed, directory))


if __name__ == "__main__":
    sys.exit(long_run.command("ops/soak", "Load, faults, kills and reconnects, for as long as you like.", 20, soak))
