"""Runs each peer with as many workers as there are cores and prints jobs per second, as records of `nub bench --json`."""

import json
import os
import shutil
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


def record(name, values):
    return {"name": name, "value": statistics.median(values), "unit": "jobs/s", "baseline": None, "ratio": None,
            "low": min(values), "high": max(values)}


def end(processes):
    for process in processes:
        process.terminate()
    for process in processes:
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


def celery_peer(count, scratch):
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


def main():
    results, failures = [], []
    for name, measure in [
        ("celery", lambda: celery_peer(1_000, sys.argv[1])),
        ("bubblewrap", lambda: zmq_peer("bubblewrap", 200)),
        ("wasmtime", lambda: zmq_peer("wasmtime", 2_000)),
    ]:
        print(f"peer: {name}", file=sys.stderr)
        try:
            results.append(measure())
        except Exception as error:
            failures.append(name)
            print(f"peer {name}: {error!r}", file=sys.stderr)
    json.dump({"results": results, "failures": failures}, sys.stdout)


main()
