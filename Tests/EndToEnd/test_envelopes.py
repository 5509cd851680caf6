"""Routing envelopes: frames before the first NUB1 come back in front of the reply."""

import threading

import pytest
import zmq

import wire


@pytest.mark.parametrize(
    "envelope",
    [
        [],
        [b""],
        [b"hop"],
        [b"hop 1", b"hop 2", b""],
        [b"\x00\x01\x02", b"nub1", b"NUB", b"NUB11", b""],
        [b"%d" % i for i in range(7)],
        [b"x" * 255, b"", b"", b""],
    ],
)
def test_an_envelope_comes_back_unchanged(producer, envelope):
    frames = wire.call(wire.ECHO, b"wrapped")
    producer.send(envelope + frames)
    reply = producer.receive()
    assert reply.envelope == envelope
    assert (reply.id, reply.status, reply.body) == (frames[2], wire.OK, b"wrapped")


def test_an_envelope_comes_back_with_errors_too(producer):
    producer.send([b"hop", b""] + wire.job("dance"))
    reply = producer.receive()
    assert (reply.status, reply.envelope) == (wire.BAD_REQUEST, [b"hop", b""])


def test_the_same_magic_in_operand_and_body_is_content(producer):
    reply = producer.call(wire.ECHO, b"NUB1", id=b"NUB1" + wire.new_id())
    assert reply.body == b"NUB1"


def test_an_envelope_of_too_many_frames_is_dropped_and_the_worker_serves_on(producer):
    producer.send([b"hop"] * 9 + wire.call(wire.ECHO, b"lost"))
    producer.send([b"hop"] * 100 + wire.call(wire.ECHO, b"lost"))
    assert producer.ping()
    assert producer.nothing_more()


class Proxy:
    """zmq_proxy between a ROUTER and a DEALER, as in the ZeroMQ guide's broker."""

    def __init__(self, worker):
        self.context = worker.context
        self.endpoint = f"ipc://{worker.directory}/proxy-{wire.new_id().hex()}"
        self.front, self.back = self.context.socket(zmq.ROUTER), self.context.socket(zmq.DEALER)
        self.control = self.context.socket(zmq.PAIR)
        name = f"inproc://{wire.new_id().hex()}"
        self.control.bind(name)
        self.stop = self.context.socket(zmq.PAIR)
        self.stop.connect(name)
        for socket in (self.front, self.back, self.control, self.stop):
            socket.setsockopt(zmq.LINGER, 0)
        self.front.bind(self.endpoint)
        self.back.connect(worker.serve)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        zmq.proxy_steerable(self.front, self.back, None, self.control)

    def close(self):
        self.stop.send(b"TERMINATE")
        self.thread.join()
        for socket in (self.front, self.back, self.control, self.stop):
            socket.close()


@pytest.fixture
def proxy(worker):
    proxy = Proxy(worker)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.REQ], ids=["DEALER", "REQ"])
def test_a_proxy_in_between_is_invisible(worker, proxy, kind):
    producers = [wire.Producer(worker.context, proxy.endpoint, kind) for _ in range(5)]
    try:
        for round in range(10):
            sent = [producer.send(wire.call(wire.ECHO, b"%d" % round)) for producer in producers]
            for producer, id in zip(producers, sent):
                reply = producer.receive()
                assert (reply.id, reply.body) == (id, b"%d" % round)
    finally:
        for producer in producers:
            producer.close()


def test_two_proxies_in_a_row(worker, proxy):
    class Hop:
        context, serve, directory = worker.context, proxy.endpoint, worker.directory

    outer = Proxy(Hop)
    producer = wire.Producer(worker.context, outer.endpoint, zmq.REQ)
    try:
        assert producer.call(wire.SHA256, b"far").body == __import__("hashlib").sha256(b"far").digest()
    finally:
        producer.close()
        outer.close()
