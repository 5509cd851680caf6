"""RFC 7 (MDP/0.1) from its text alone, with pyzmq: a client and a worker that know nothing of nub's broker."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable

import zmq

import wire

CLIENT = b"MDPC01"
WORKER = b"MDPW01"
READY, REQUEST, REPLY, HEARTBEAT, DISCONNECT = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"


def secure(socket: zmq.Socket, curve: tuple[bytes, bytes, bytes] | None) -> None:
    """Server's public key, own public key, own secret key."""
    if curve:
        socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = curve


class Client:
    """A REQ client, as RFC 7 recommends it: the delimiter is the socket's business."""

    def __init__(self, context: zmq.Context, endpoint: str, curve=None):
        self.context, self.endpoint, self.curve = context, endpoint, curve
        self.socket = None
        self._open()

    def _open(self) -> None:
        if self.socket is not None:
            self.socket.close(0)
        self.socket = self.context.socket(zmq.REQ)
        self.socket.setsockopt(zmq.LINGER, 0)
        secure(self.socket, self.curve)
        self.socket.connect(self.endpoint)

    def send(self, service: bytes, body: list[bytes]) -> None:
        self.socket.send_multipart([CLIENT, service, *body])

    def receive(self, timeout_ms: int = wire.PATIENCE_MS) -> list[bytes]:
        assert self.socket.poll(timeout_ms), f"no reply within {timeout_ms} ms"
        header, self.service, *body = self.socket.recv_multipart()
        assert header == CLIENT
        return body

    def ask(self, service: bytes, body: list[bytes]) -> list[bytes]:
        self.send(service, body)
        return self.receive()

    def ask_again(self, service: bytes, body: list[bytes], every_ms: int = 1_000) -> list[bytes]:
        """The RFC's strategy for a broker that does not answer: a new socket and the same request, until it does."""
        deadline = time.monotonic() + wire.PATIENCE_MS / 1000
        while True:
            self.send(service, body)
            if self.socket.poll(every_ms):
                return self.receive()
            assert time.monotonic() < deadline, "no reply however often it was asked"
            self._open()

    def call(self, service: bytes, job: list[bytes]) -> wire.Reply:
        return wire.parse(self.ask(service, job))

    def close(self) -> None:
        self.socket.close(0)


class Worker(threading.Thread):
    """A worker by the letter of RFC 7; `work` makes a reply's body of a request's, or returns None to fall silent."""

    def __init__(
        self, context: zmq.Context, endpoint: str, service: bytes, work: Callable[[list[bytes]], list[bytes] | None],
        heartbeat: float = 2.5, curve=None,
    ):
        super().__init__(daemon=True)
        self.context, self.endpoint, self.service, self.work = context, endpoint, service, work
        self.heartbeat, self.curve = heartbeat, curve
        self.requests: list[list[bytes]] = []
        self.conversations = 0
        self._ended = threading.Event()
        # While clear, the worker neither reads nor writes: a link that is cut.
        self.linked = threading.Event()
        self.linked.set()
        self.silent = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._ended.is_set():
            self._converse()

    def _converse(self) -> None:
        socket = self.context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        secure(socket, self.curve)
        socket.connect(self.endpoint)
        self.conversations += 1
        try:
            socket.send_multipart([b"", WORKER, READY, self.service])
            heard = sent = time.monotonic()
            while not self._ended.is_set():
                if not self.linked.wait(0.02):
                    continue
                now = time.monotonic()
                if now - heard > 3 * self.heartbeat:
                    return
                if now - sent > self.heartbeat:
                    socket.send_multipart([b"", WORKER, HEARTBEAT])
                    sent = now
                if not socket.poll(20):
                    continue
                empty, header, command, *rest = socket.recv_multipart()
                assert (empty, header) == (b"", WORKER)
                heard = time.monotonic()
                if command == DISCONNECT:
                    return
                if command == REQUEST:
                    client, delimiter, *body = rest
                    assert delimiter == b"" and body
                    self.requests.append(body)
                    reply = self.work(body)
                    if reply is None:
                        self.silent.set()
                        self._ended.wait()
                        return
                    socket.send_multipart([b"", WORKER, REPLY, client, b"", *reply])
                    sent = time.monotonic()
            socket.setsockopt(zmq.LINGER, 500)
            socket.send_multipart([b"", WORKER, DISCONNECT])
        finally:
            socket.close()

    def stop(self) -> None:
        self._ended.set()
        self.join(30)


class Broker:
    """One `nub broker`, any number of lives."""

    def __init__(self, directory: Path, *options: str, endpoint: str | None = None):
        self.directory, self.options = directory, options
        self.endpoint = endpoint or f"ipc://{directory}/broker"
        self.context = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, 8_192)
        self.process: subprocess.Popen | None = None
        self.workers: list[Worker] = []
        self.clients: list[Client] = []

    @property
    def log(self) -> Path:
        return self.directory / "broker.log"

    def start(self) -> "Broker":
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.environ["NUB_BIN"], "broker", "--bind", self.endpoint, "--log-level", "debug", *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def alive(self) -> bool:
        return self.process.poll() is None

    def client(self, curve=None) -> Client:
        self.clients.append(Client(self.context, self.endpoint, curve))
        return self.clients[-1]

    def worker(self, service: bytes, work=lambda body: body, **more) -> Worker:
        self.workers.append(Worker(self.context, self.endpoint, service, work, **more))
        return self.workers[-1]

    def await_service(self, client: Client, service: bytes, code: bytes = b"200") -> None:
        deadline = time.monotonic() + wire.PATIENCE_MS / 1000
        while client.ask_again(b"mmi.service", [service]) != [code]:
            assert self.alive(), self.log.read_text()[-4000:]
            assert time.monotonic() < deadline, f"{service!r} is not {code!r}:\n{self.log.read_text()[-4000:]}"

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for worker in self.workers:
            worker.linked.set()
            worker.stop()
        if self.process is not None and self.alive():
            self.kill()
        self.context.destroy(linger=0)
