"""ZMTP 3.0 with the NULL mechanism, on a plain socket (RFC 23): what libzmq would not send, such as half of a message."""

from __future__ import annotations

import socket
import struct
import time


class RawPeer:
    def __init__(self, endpoint: str, kind: str):
        """`endpoint` is tcp:// or ipc://, `kind` the socket type that it says to be: DEALER, PUSH."""
        transport, address = endpoint.split("://")
        self._shake_hands(self._connect(transport, address), kind)

    @classmethod
    def accepted(cls, connection: socket.socket, kind: str) -> RawPeer:
        """The peer of somebody who has connected to a listening socket."""
        peer = cls.__new__(cls)
        connection.settimeout(5)
        peer._shake_hands(connection, kind)
        return peer

    def _shake_hands(self, connection: socket.socket, kind: str) -> None:
        self.socket = connection
        self.socket.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31))
        properties = b"".join(
            bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
            for name, value in ((b"Socket-Type", kind.encode()), (b"Identity", b"")))
        self.socket.sendall(self.command(b"READY", properties))
        # Theirs: the greeting, and one command of a short size.
        self._read(64)
        self._read(self._read(2)[1])

    @staticmethod
    def _connect(transport: str, address: str) -> socket.socket:
        """As libzmq does, again and again: a door may be about to open."""
        deadline = time.monotonic() + 30
        while True:
            try:
                if transport == "tcp":
                    host, port = address.rsplit(":", 1)
                    return socket.create_connection((host, int(port)), timeout=5)
                made = socket.socket(socket.AF_UNIX)
                made.settimeout(5)
                made.connect(address)
                return made
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @staticmethod
    def command(name: bytes, data: bytes) -> bytes:
        body = bytes([len(name)]) + name + data
        return b"\x04" + bytes([len(body)]) + body

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError("the peer hung up")
            data += part
        return data

    def send(self, frame: bytes, more: bool) -> None:
        if len(frame) < 256:
            head = bytes([more, len(frame)])
        else:
            head = bytes([2 | more]) + struct.pack(">Q", len(frame))
        self.socket.sendall(head + frame)

    def close(self) -> None:
        self.socket.close()
