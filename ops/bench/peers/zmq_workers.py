"""Workers in Python behind pyzmq: each job in a bubblewrap sandbox of its own, or in a new WebAssembly instance.

    zmq_workers.py bubblewrap|wasmtime JOBS_ENDPOINT REPLIES_ENDPOINT
"""

import subprocess
import sys

import zmq

MODULE = """
(module
  (memory (export "memory") 2)
  (func (export "echo") (param $size i32) (result i32)
    (memory.copy (i32.const 65536) (i32.const 0) (local.get $size))
    (local.get $size)))
"""


def bubblewrap():
    command = ["bwrap", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
    command += ["--symlink", "usr/bin", "/bin", "--unshare-all", "--die-with-parent", "/bin/cat"]

    def run(payload):
        return subprocess.run(command, input=payload, stdout=subprocess.PIPE, check=True).stdout

    return run


def webassembly():
    import wasmtime

    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, MODULE)

    def run(payload):
        # A new instance for each job: what one job leaves behind, no other sees.
        store = wasmtime.Store(engine)
        instance = wasmtime.Instance(store, module, [])
        exports = instance.exports(store)
        memory = exports["memory"]
        memory.write(store, payload, 0)
        size = exports["echo"](store, len(payload))
        return bytes(memory.read(store, 65536, 65536 + size))

    return run


def main():
    kind, jobs, replies = sys.argv[1:]
    run = {"bubblewrap": bubblewrap, "wasmtime": webassembly}[kind]()
    context = zmq.Context()
    pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    pull.connect(jobs)
    push.connect(replies)
    while True:
        job, payload = pull.recv_multipart()
        push.send_multipart([job, run(payload)])


main()
