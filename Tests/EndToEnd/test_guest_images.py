"""`nub guest` and `nub worker --guest`: images of one's own, those that are none, and gdb and core files on a worker."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

import wire

pytestmark = pytest.mark.kvm
ROOT = Path(__file__).resolve().parents[2]
NUB = os.environ.get("NUB_BIN", "nub")


def nub(*arguments: object, timeout: int = 120) -> subprocess.CompletedProcess:
    return subprocess.run([NUB, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture(scope="session")
def image(scratch) -> Path:
    if not shutil.which("swiftc"):
        pytest.skip("there is no swiftc to build a guest with")
    output = scratch / "base64.elf"
    built = nub("guest", "build", ROOT / "Examples/base64", "-o", output, timeout=600)
    assert built.returncode == 0, built.stderr
    assert "310 base64_encode" in built.stdout
    return output


def put(data: bytes, at: int, form: str, *values: int) -> bytes:
    size = struct.calcsize(form)
    return data[:at] + struct.pack(form, *values) + data[at + size :]


def damage(name: str, elf: bytes) -> bytes:
    programs = struct.unpack_from("<Q", elf, 32)[0]
    match name:
        case "empty":
            return b""
        case "a text":
            return b"#!/bin/sh\necho hello\n" * 100
        case "truncated":
            return elf[: len(elf) // 2]
        case "foreign":
            return put(elf, 18, "<H", 183)
        case "32 bits":
            return put(elf, 4, "<B", 1)
        case "not an executable":
            return put(elf, 16, "<H", 1)
        case "oversized":
            return elf + bytes(64 << 20)
        case "overlapping":
            first = struct.unpack_from("<Q", elf, programs + 16)[0]
            return put(elf, programs + 56 + 16, "<Q", first)
        case "writable code":
            return put(elf, programs + 4, "<I", 7)
        case "outside":
            return put(elf, programs + 16, "<Q", 0x2000_0000)
        case "no entry":
            return put(elf, 24, "<Q", 0)
        case "no functions":
            return elf.replace(b"nub_functions\0", b"nub_functionz\0")
    raise AssertionError(name)


DAMAGES = {
    "empty": "too few for an ELF header",
    "a text": "does not begin with",
    "truncated": "lie beyond the file",
    "foreign": "an image is x86-64",
    "32 bits": "not a 64-bit little-endian ELF",
    "not an executable": "not an executable",
    "oversized": "at most 67108864 are taken",
    "overlapping": "share a page",
    "writable code": "writable and executable",
    "outside": "lies outside",
    "no entry": "entry point",
    "no functions": "no function table",
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_no_image_is_refused_with_the_reason(name, image, scratch):
    file = scratch / "damaged.elf"
    file.write_bytes(damage(name, image.read_bytes()))
    for command in (["guest", "inspect", file], ["guest", "list", file], worker_with(file, scratch)):
        refused = nub(*command)
        assert refused.returncode != 0, command
        assert DAMAGES[name] in refused.stderr, refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
        assert "Fatal error" not in refused.stderr and refused.stdout == ""


def worker_with(file: Path, scratch: Path) -> list[object]:
    return [
        "worker", "--guest", file, "--serve", f"ipc://{scratch}/refused", "--store", scratch / "refused.sqlite",
        "--log-level", "critical",
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["/nonexistent.elf", "/", "/dev/zero", "/dev/null"])
def test_what_is_no_file_is_refused(path, scratch):
    for command in (["guest", "inspect", path], worker_with(Path(path), scratch)):
        refused = nub(*command)
        assert refused.returncode != 0
        assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr


def test_an_image_of_ones_own_is_inspected_and_run(image, make_worker):
    shown = nub("guest", "inspect", image)
    assert shown.returncode == 0
    for word in ("base64_encode", "segments", ".text", "r-x", "bytes shared by all sandboxes"):
        assert word in shown.stdout
    listed = nub("guest", "list", image).stdout.splitlines()
    assert listed[0] == "310\tbase64_encode"
    worker = make_worker(arguments=["--guest", str(image)])
    answer = nub("call", "base64_encode", "--endpoint", worker.serve, "--data", "foobar")
    assert (answer.returncode, answer.stdout.strip()) == (0, "Zm9vYmFy")
    producer = worker.producer()
    assert producer.call(311, b"Zm9vYg==").body == b"foob"
    refused = producer.call(311, b"Zg=")
    assert refused.status == wire.GUEST_ERROR


def test_a_fault_leaves_a_core_file_that_gdb_opens(image, make_worker, scratch):
    gdb = shutil.which("gdb")
    if not gdb:
        pytest.skip("gdb is not installed")
    dumps = scratch / "dumps"
    dumps.mkdir()
    worker = make_worker(arguments=["--guest", str(image), "--crash-dumps", str(dumps)])
    assert worker.producer().call(wire.FAULT, b"\x02").status == wire.GUEST_FAULT
    # Twice, because a fault counts only in a fresh sandbox.
    cores = sorted(dumps.glob("nub-guest-*.core"))
    assert len(cores) == 2
    said = subprocess.run(
        [gdb, "-nx", "-batch", "-ex", "bt", "-ex", "info registers rip", "-ex", "x/i $rip", str(image), str(cores[0])],
        capture_output=True, text=True, timeout=120, check=False,
    ).stdout  # fmt: skip
    assert "SIGSEGV" in said
    assert "nub_fn_18_fault" in said
    assert "movb" in said


def test_gdb_reaches_the_sandbox_of_every_lane(image, make_worker):
    gdb = shutil.which("gdb")
    if not gdb:
        pytest.skip("gdb is not installed")
    worker = make_worker(arguments=["--guest", str(image), "--gdb", "0"], lanes=2)
    ports = re.findall(r"127\.0\.0\.1:(\d+)", worker.log.read_text())
    assert len(set(ports)) == 2
    commands = ["break *nub_fn_16_counter", "continue", "x/i $rip", "bt", "delete", "detach"]
    said: dict[str, str] = {}

    def debug(port: str) -> None:
        arguments = [gdb, "-nx", "-batch", "-ex", f"target remote 127.0.0.1:{port}"]
        for command in commands:
            arguments += ["-ex", command]
        run = subprocess.run(
            [*arguments, str(image)], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False
        )
        said[port] = run.stdout + run.stderr

    threads = [threading.Thread(target=debug, args=(port,)) for port in ports]
    for thread in threads:
        thread.start()
    producer = worker.producer()
    # Two tenants at once, again and again, until each sandbox has come to its breakpoint.
    asked = 0
    deadline = time.monotonic() + 110
    while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
        for tenant in ("a", "b"):
            producer.send(wire.call(wire.COUNTER, options={"tenant": tenant}))
            asked += 1
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    for port in ports:
        assert "Breakpoint 1, " in said[port], said
        assert "<nub_fn_16_counter>" in said[port], said
    # Nobody holds them any more.
    for _ in range(asked):
        assert wire.parse(producer.socket.recv_multipart()).status == wire.OK
