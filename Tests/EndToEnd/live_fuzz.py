"""Fuzzes a live worker and a live broker: hostile peers at every door at once, and good ones that must be served all the while.

    ops/fuzz/live                        eight seconds
    ops/fuzz/live --minutes 30           for longer
    ops/fuzz/live --seed 7               the same messages again (their order across peers is the machine's)

Ends with 1 when a good job was answered wrongly or not at all, the worker or the broker ended, or its memory or descriptors grew.
"""

from __future__ import annotations

import json
import random
import socket
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
from zmtp import RawPeer

VERBS = ["call", "put_cap", "find_missing", "get_cap", "get_result", "cancel", "ping"]
# Long enough for any answer on a machine that is busy with something else.
PATIENCE = 60.0
# Memory that libzmq, the allocator and the store's cache may still take after warming up.
ALLOWED_GROWTH = 96 << 20


def mutant(random: random.Random) -> list[bytes]:
    """A valid job that something happened to, or frames that never were one."""
    choice = random.random()
    if choice < 0.15:
        return [random.randbytes(random.choice((0, 1, 4, 33, 300))) for _ in range(random.randrange(1, 12))]
    verb = random.choice(VERBS)
    function = random.choice((wire.ECHO, wire.HEAP_STATS, wire.COUNTER, wire.FAIL, wire.SHA256, wire.CAP_SHA256, 9999))
    if ENGINE == "kvm" and random.random() < 0.05:
        function = random.choice((wire.FAULT, wire.SPIN, wire.ALLOC))
    operand = {"call": wire.u32(function), "get_cap": random.randbytes(32)}.get(verb, b"")
    if verb == "put_cap" and random.random() < 0.5:
        operand = random.randbytes(32)
    body = random.randbytes(random.choice((0, 1, 8, 32, 64, 500)))
    options = random.choice((b"", b"{}", json.dumps({"priority": random.randrange(12), "tenant": random.choice("ab"),
                                                     "fresh": random.random() < 0.02, "deadline_ms": random.randrange(50)}).encode(),
                             b'{"caps":["' + random.randbytes(32).hex().encode() + b'"]}', random.randbytes(20)))
    frames = wire.job(verb, operand, body, options, id=random.choice((None, b"same", b"%d" % random.randrange(50))))
    if verb == "call" and random.random() < 0.1:
        frames += [random.randbytes(random.randrange(80)) for _ in range(random.choice((1, 3, 260)))]
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        at = random.randrange(len(frames))
        match random.randrange(8):
            case 0: del frames[at]
            case 1: frames.insert(at, frames[at])
            case 2: frames[at] = b""
            case 3: frames[at] = frames[at][: len(frames[at]) // 2]
            case 4: frames[at] += random.randbytes(random.choice((1, 64, 2_000)))
            case 5: frames.insert(at, random.randbytes(random.choice((0, 5, 1_025))))
            case 6:
                other = random.randrange(len(frames))
                frames[at], frames[other] = frames[other], frames[at]
            case 7 if frames[at]:
                flipped = bytearray(frames[at])
                flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
                frames[at] = bytes(flipped)
        frames = frames or [b""]
    return frames


class Peer(threading.Thread):
    """Somebody, for as long as it takes. What it raises ends the run."""

    def __init__(self, run: "Run", name: str, seed: int):
        super().__init__(name=name, daemon=True)
        self.the_run, self.random = run, random.Random(f"{run.seed}-{name}-{seed}")
        self.count = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.the_run.ended.is_set():
                self.turn()
        except zmq.ContextTerminated:
            pass
        except BaseException as failure:
            self.failure = failure
            self.the_run.ended.set()

    def turn(self) -> None:
        raise NotImplementedError

    def socket(self, kind: int, endpoint: str, high_water: int = 100) -> zmq.Socket:
        made = self.the_run.context.socket(kind)
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.SNDHWM, high_water)
        made.setsockopt(zmq.SNDTIMEO, 1_000)
        made.setsockopt(zmq.RECONNECT_IVL, 10)
        made.connect(endpoint)
        return made

    def send(self, socket: zmq.Socket, frames: list[bytes]) -> bool:
        try:
            socket.send_multipart(frames)
            self.count += 1
            return True
        except zmq.Again:
            return False


class Mutants(Peer):
    """Messages on a connection of its own, most of them wrong, some of their replies read; then the next connection."""

    def __init__(self, run, name, seed, kind, endpoint, wrap=lambda random, frames: frames):
        super().__init__(run, name, seed)
        self.kind, self.endpoint, self.wrap = kind, endpoint, wrap

    def turn(self) -> None:
        socket = self.socket(self.kind, self.endpoint)
        try:
            for _ in range(self.random.randrange(1, 400)):
                if self.the_run.ended.is_set() or not self.send(socket, self.wrap(self.random, mutant(self.random))):
                    break
                while self.kind != zmq.PUSH and self.random.random() < 0.9 and socket.poll(0):
                    socket.recv_multipart()
        finally:
            socket.close(0)


class Large(Mutants):
    """Frames up to the limit and over it, and messages of very many frames."""

    def turn(self) -> None:
        socket = self.socket(self.kind, self.endpoint, 4)
        size = self.random.choice((100_000, wire.BODY_LIMIT, wire.BODY_LIMIT + 1, 20 << 20))
        frames = self.random.choice((wire.call(wire.ECHO, bytes(size)), wire.job("put_cap", b"", bytes(size)),
                                     wire.job("ping", b"", b"", b"x" * 70_000), [b"x"] * 20_000,
                                     wire.call(wire.ECHO, b"", caps=[bytes(300_000)] * 250)))
        self.send(socket, self.wrap(self.random, frames))
        if self.kind != zmq.PUSH and socket.poll(300):
            socket.recv_multipart()
        socket.close(0)


class Halves(Mutants):
    """Messages that are never finished. libzmq keeps those back, so this speaks ZMTP itself."""

    def turn(self) -> None:
        peers = [RawPeer(self.endpoint, "PUSH" if self.kind == zmq.PUSH else "DEALER") for _ in range(4)]
        for peer in peers:
            try:
                for frame in self.wrap(self.random, mutant(self.random))[: self.random.randrange(1, 6)]:
                    peer.send(frame, more=True)
                if self.random.random() < 0.3:
                    peer.socket.sendall(b"\x03" + (1 << 20).to_bytes(8, "big") + bytes(self.random.randrange(100_000)))
                self.count += 1
            except OSError:
                pass
        self.the_run.ended.wait(self.random.random() / 4)
        for peer in peers:
            peer.close()


class Flood(Mutants):
    """Good and cheap messages as fast as they go, whose replies nobody reads."""

    def turn(self) -> None:
        socket = self.socket(self.kind, self.endpoint, 1_000)
        for _ in range(3_000):
            frames = wire.job("ping") if self.random.random() < 0.5 else wire.call(wire.ECHO, b"flood")
            if self.the_run.ended.is_set() or not self.send(socket, self.wrap(self.random, frames)):
                break
        socket.close(0)
        self.the_run.ended.wait(0.2)


class RawBytes(Peer):
    """A TCP connection that does not speak ZMTP, or stops in the middle of it."""

    # RFC 23: signature, version, mechanism, as-server, filler.
    GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
    READY = b"\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"

    def turn(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self.the_run.port), timeout=5)
        data = bytearray(self.GREETING + self.READY + b"\x01\x00" + self.random.randbytes(200))
        match self.random.randrange(4):
            case 0: data = bytearray(self.random.randbytes(self.random.randrange(2_000)))
            case 1: data = data[: self.random.randrange(len(data))]
            case 2: data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
            # A frame that announces more than there will ever be.
            case 3: data[len(self.GREETING + self.READY):] = b"\x03" + b"\x7f" + b"\xff" * 7
        try:
            connection.sendall(data)
            if self.random.random() < 0.5:
                connection.settimeout(0.2)
                connection.recv(1_000)
        except OSError:
            pass
        connection.close()
        self.count += 1


class Good(Peer):
    """A producer that counts on its answers."""

    def __init__(self, run, name, seed, ask):
        super().__init__(run, name, seed)
        self.ask = ask
        self.longest = 0.0

    def turn(self) -> None:
        payload = self.random.randbytes(self.random.randrange(1, 2_000))
        begun = time.monotonic()
        reply = self.ask(self, wire.call(wire.ECHO, payload, options={"tenant": "good", "priority": 9}))
        if reply is None:
            return  # The run is over.
        assert (reply.status, reply.body) == (wire.OK, payload), f"{self.name}: {reply.status} {reply.body[:200]!r}"
        self.count += 1
        self.longest = max(self.longest, time.monotonic() - begun)


def asker(kind: int, send, receive):
    """Asks until there is an answer other than "later", as the protocol tells producers to."""

    def ask(peer: Good, job: list[bytes]) -> wire.Reply | None:
        deadline = time.monotonic() + PATIENCE
        while True:
            send(peer, job)
            again = time.monotonic() + 5
            while time.monotonic() < min(again, deadline):
                reply = receive(peer)
                if reply is None or reply.id != job[2]:
                    if peer.the_run.ended.is_set():
                        return None
                    continue
                if reply.status != wire.UNAVAILABLE:
                    return reply
                time.sleep(reply.meta.get("retry_after_ms", 100) / 1_000)
                break
            assert time.monotonic() < deadline, f"{peer.name}: a good job was not answered in {PATIENCE:g} s"

    return ask


def parsed(frames: list[bytes]) -> wire.Reply | None:
    return wire.parse(frames) if len(frames) > 2 else None


class Run:
    def __init__(self, seconds: float, seed: int, directory: Path):
        self.seconds, self.seed = seconds, seed
        self.ended = threading.Event()
        self.context = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, 8_192)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.broker = mdp_peers.Broker(directory, "--log-level", "critical").start()
        # A job may take 200 ms and no more, or endless ones would be all that the lanes do.
        self.worker = Worker(directory, 2, [
            "--serve", f"tcp://127.0.0.1:{self.port}", "--broker", self.broker.endpoint, "--service", "nub", "--name", "one",
            "--fleet-slots", "16", "--max-run", "200", "--log-level", "critical"]).start()
        self.sink = self.worker.sink()
        # Its slots, 32 of them, connect one by one.
        self.broker.await_service(self.broker.client(), b"nub.one")
        self.collected: dict[bytes, wire.Reply] = {}
        self.good: list[Good] = []
        self.bad: list[Peer] = []

    def make_peers(self) -> None:
        worker, broker = self.worker, self.broker

        def client(random: random.Random, frames: list[bytes]) -> list[bytes]:
            head = [b"", mdp_peers.CLIENT, random.choice((b"nub", b"nub", b"nub", b"nub.one", b"mmi.service", b"nobody", b""))]
            if random.random() < 0.05:
                head = head[random.randrange(3):]
            return head + frames

        def member(random: random.Random, frames: list[bytes]) -> list[bytes]:
            command = bytes([random.randrange(7)])
            rest = [b"echo"] if command == mdp_peers.READY else [random.randbytes(5), b"", *frames]
            return [b"", mdp_peers.WORKER, command, *rest][: random.choice((2, 3, 4, 99))]

        tcp = f"tcp://127.0.0.1:{self.port}"
        for seed in range(2):
            self.bad += [
                Mutants(self, "direct", seed, zmq.DEALER, worker.serve),
                Mutants(self, "pipeline", seed, zmq.PUSH, worker.jobs),
                Mutants(self, "fleet", seed, zmq.DEALER, broker.endpoint, client),
            ]
        self.bad += [
            Mutants(self, "false worker", 0, zmq.DEALER, broker.endpoint, member),
            Mutants(self, "request", 0, zmq.DEALER, tcp, lambda random, frames: [b"", *frames]),
            Large(self, "large direct", 0, zmq.DEALER, tcp), Large(self, "large pipeline", 0, zmq.PUSH, worker.jobs),
            Large(self, "large fleet", 0, zmq.DEALER, broker.endpoint, client),
            Halves(self, "half direct", 0, zmq.DEALER, tcp), Halves(self, "half pipeline", 0, zmq.PUSH, worker.jobs),
            Halves(self, "half fleet", 0, zmq.DEALER, broker.endpoint, client),
            Flood(self, "flood direct", 0, zmq.DEALER, worker.serve), Flood(self, "flood pipeline", 0, zmq.PUSH, worker.jobs),
            Flood(self, "flood fleet", 0, zmq.DEALER, broker.endpoint, client),
            RawBytes(self, "raw bytes", 0),
        ]

        def poll(socket: zmq.Socket) -> wire.Reply | None:
            return parsed(socket.recv_multipart()) if socket.poll(100) else None

        direct = self.context.socket(zmq.DEALER)
        direct.connect(worker.serve)
        fleet = self.context.socket(zmq.DEALER)
        fleet.connect(broker.endpoint)
        push = self.context.socket(zmq.PUSH)
        push.connect(worker.jobs)

        def collect(peer: Good) -> wire.Reply | None:
            # The sink gets everybody's; the good one's are looked for.
            if self.sink.socket.poll(100):
                return parsed(self.sink.socket.recv_multipart())
            return None

        self.good = [
            Good(self, "good direct", 0, asker(0, lambda _, job: direct.send_multipart(job), lambda _: poll(direct))),
            Good(self, "good fleet", 0, asker(
                0, lambda _, job: fleet.send_multipart([b"", mdp_peers.CLIENT, b"nub", *job]), lambda _: poll(fleet))),
            Good(self, "good pipeline", 0, asker(0, lambda _, job: push.send_multipart(job), collect)),
        ]

    def descriptors_left(self, pid: int) -> int:
        """Producers that have left keep their connections until what they sent is read, which a pipeline without a collector is not."""
        while self.sink.socket.poll(0):
            self.sink.socket.recv_multipart()
        return watch.descriptors(pid)

    def execute(self) -> list[str]:
        before = watch.descriptors(self.worker.process.pid), watch.descriptors(self.broker.process.pid)
        self.make_peers()
        watches = {name: watch.Watch(process.pid)
                   for name, process in (("worker", self.worker.process), ("broker", self.broker.process))}
        for peer in self.good + self.bad:
            peer.start()
        self.ended.wait(self.seconds)
        self.ended.set()
        problems = []
        for peer in self.good + self.bad:
            peer.join(PATIENCE)
            if peer.failure is not None:
                problems.append(f"{peer.name}: {type(peer.failure).__name__}: {peer.failure}")
            if peer.count == 0:
                problems.append(f"{peer.name}: nothing was sent, or answered")
        for name, process, files in zip(watches, (self.worker.process, self.broker.process), before):
            looked = watches[name].stop()
            print(f"{name}: {looked.summary()}")
            if process.poll() is not None:
                problems.append(f"the {name} ended with {process.returncode}")
                continue
            if self.seconds >= 60 and looked.growth()[0] > ALLOWED_GROWTH:
                problems.append(f"the {name}'s memory grows: {looked.summary()}")
            left = watch.settles(lambda: self.descriptors_left(process.pid), files + 40)
            if left > files + 40:
                problems.append(f"the {name} had {files} descriptors and has {left}")
        for peer in self.good:
            print(f"{peer.name}: {peer.count} jobs, each answered, the slowest in {peer.longest * 1_000:.0f} ms")
        print("hostile messages: " + ", ".join(f"{peer.name} {peer.count}" for peer in self.bad))
        if not problems:
            # Alone again, everything is as before.
            producer = self.worker.producer()
            if producer.call(wire.ECHO, b"after").body != b"after":
                problems.append("the worker does not work any more")
            producer.close()
        return problems

    def close(self) -> None:
        self.worker.close()
        self.broker.close()
        self.context.destroy(linger=0)


def fuzz(seconds: float, seed: int) -> list[str]:
    """Runs, and returns what was wrong."""
    return long_run.in_folder("live", lambda directory: Run(seconds, seed, directory))


if __name__ == "__main__":
    sys.exit(long_run.command("ops/fuzz/live", "Fuzz a live worker and broker, at every door.", 8, fuzz))
