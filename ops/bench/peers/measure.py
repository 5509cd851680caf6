"""Runs each peer with as many workers as there are cores and prints jobs per second, as records of `nub bench --json`."""

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PAYLOAD = b"x" * 64
CORES = os.cpu_count() or 1
ROUNDS = 3
# The longest that one peer may take, start and end included.
LIMIT_SECONDS = 300


def record(name, values):
    return {"name": name, "value": statistics.median(values), "unit": "jobs/s", "baseline": None, "ratio": None,
            "low": min(values), "high": max(values)}


def end(processes):
    """One after the other: a worker that loses its queue first would wait for it to come back."""
    for process in processes:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def zmq_peer(kind, count):
    import zmq

    folder = tempfile.mkdtemp(prefix="nub-peers.")
    jobs, replies = f"ipc://{folder}/jobs", f"ipc://{folder}/replies"
    context = zmq.Context()
    push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    push.bind(jobs)
    pull.bind(replies)
    pull.RCVTIMEO = 60_000
    workers = [subprocess.Popen([sys.executable, os.path.join(HERE, "zmq_workers.py"), kind, jobs, replies])
               for _ in range(CORES)]
    try:
        def run(number):
            sent = received = 0
            while received < number:
                while sent < number and sent - received < 256:
                    push.send_multipart([sent.to_bytes(16, "big"), PAYLOAD])
                    sent += 1
                if pull.recv_multipart()[1] != PAYLOAD:
                    raise RuntimeError(f"{kind}: a wrong answer")
                received += 1

        # The workers are up and warm before the clock runs.
        run(max(8, count // 10))
        values = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            run(count)
            values.append(count / (time.monotonic() - began))
        return record(f"peer_pyzmq_{kind}", values)
    finally:
        end(workers)
        context.destroy(linger=0)
        shutil.rmtree(folder, ignore_errors=True)


def celery_peer(count):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="nub-peers.")
    # Redis as it comes: it does not wait for the disk, nub does.
    redis = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""],
                             stdout=subprocess.DEVNULL)
    os.environ["PEER_REDIS"] = f"redis://127.0.0.1:{port}/0"
    sys.path.insert(0, HERE)
    time.sleep(0.5)
    workers = [subprocess.Popen([sys.executable, "-m", "celery", "-A", "echo_app", "worker", "-c", str(CORES), "-l", "error",
                                 "--without-gossip", "--without-mingle", "--without-heartbeat"],
                                cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
    try:
        from echo_app import echo

        payload = PAYLOAD.decode()

        def run(number):
            from celery import group

            answers = group(echo.s(payload) for _ in range(number)).apply_async().get(timeout=120)
            if answers != [payload] * number:
                raise RuntimeError("celery: a wrong answer")

        run(100)
        values = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            run(count)
            values.append(count / (time.monotonic() - began))
        return record("peer_celery_redis", values)
    finally:
        end(workers + [redis])
        shutil.rmtree(folder, ignore_errors=True)


PEERS = {
    "celery": lambda: celery_peer(1_000),
    "bubblewrap": lambda: zmq_peer("bubblewrap", 200),
    "wasmtime": lambda: zmq_peer("wasmtime", 2_000),
}


def measure_apart(name):
    """In a process group of its own, which ends with the measurement: a peer's library may keep threads and children that would
    not."""
    process = subprocess.Popen([sys.executable, __file__, name], stdout=subprocess.PIPE, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=LIMIT_SECONDS)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    return json.loads(output)


def main():
    if len(sys.argv) == 2:
        print(json.dumps(PEERS[sys.argv[1]]()), flush=True)
        # Not through the interpreter's end: Celery's threads would be waited for.
        os._exit(0)
    results, failures = [], []
    for name in PEERS:
        print(f"peer: {name}", file=sys.stderr)
        try:
            results.append(measure_apart(name))
        except Exception as error:
            failures.append(name)
            print(f"peer {name}: {error!r}", file=sys.stderr)
    json.dump({"results": results, "failures": failures}, sys.stdout)


main()
