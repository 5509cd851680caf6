"""Peers of RFC 7 that somebody else wrote: the package pyzmq-mdp, in an environment of its own (see test_interop.py).

    foreign_mdp.py broker ENDPOINT
    foreign_mdp.py worker ENDPOINT SERVICE     answers each request with "foreign" and the request
    foreign_mdp.py client ENDPOINT SERVICE     a request on each line of standard input, its reply on one of standard output;
                                               frames are JSON lists of hex
"""

import json
import sys
import warnings

warnings.simplefilter("ignore")

import zmq
import zmq.eventloop.ioloop
from tornado.ioloop import IOLoop


class DelayedCallback:
    """The package was written for a pyzmq that had it."""

    def __init__(self, callback, milliseconds):
        self.callback, self.milliseconds, self.handle = callback, milliseconds, None

    def start(self):
        self.handle = IOLoop.current().call_later(self.milliseconds / 1_000, self.callback)

    def stop(self):
        IOLoop.current().remove_timeout(self.handle)


zmq.eventloop.ioloop.DelayedCallback = DelayedCallback

import mdp
from mdp.client import mdp_request


class Worker(mdp.MDPWorker):
    def on_request(self, message):
        self.reply([b"foreign", *message])


role, endpoint, *service = sys.argv[1:]
service = service[0].encode() if service else b""
context = zmq.Context()
if role == "broker":
    peer = mdp.MDPBroker(context, endpoint)
    IOLoop.current().start()
elif role == "worker":
    peer = Worker(context, endpoint, service)
    IOLoop.current().start()
else:
    socket = context.socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(endpoint)
    for line in sys.stdin:
        reply = mdp_request(socket, service, [bytes.fromhex(frame) for frame in json.loads(line)], 60)
        # The service is the first frame of what it returns.
        print(json.dumps(reply and [frame.hex() for frame in reply[1:]]), flush=True)
