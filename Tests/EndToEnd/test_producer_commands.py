"""`nub ping`, `put` and `call` as somebody at a terminal uses them: with keys, and where there is no worker."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import ENGINE
from test_curve import Keys, free_port


def nub(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NUB_")}
    return subprocess.run(
        [os.environ["NUB_BIN"], *arguments], env=clean | environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def guarded(scratch):
    """A worker that asks for keys: its endpoint, and keys."""
    directory = Path(tempfile.mkdtemp(dir=scratch))
    keys = Keys(directory)
    keys.make("acme"), keys.make("stranger")
    keys.admit("acme", tenant="acme")
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with open(directory / "log", "ab") as log:
        process = subprocess.Popen(
            [os.environ["NUB_BIN"], "worker", "--serve", endpoint, "--store", str(directory / "s.db"), "--engine", ENGINE]
            + ["--curve-secret", str(keys.directory / "server.secret"), "--authorized-keys", str(keys.authorized)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    yield endpoint, keys.directory
    process.kill()
    process.wait(30)


def test_commands_take_keys(guarded, tmp_path):
    endpoint, keys = guarded
    flags = ["--endpoint", endpoint, "--curve-secret", str(keys / "acme.secret"), "--curve-server", str(keys / "server.pub")]
    assert '"worker"' in nub("ping", "--wait", "60", *flags).stdout
    assert nub("call", "echo", "--data", "hello", *flags).stdout == "hello"
    file = tmp_path / "file"
    file.write_text("content")
    assert " stored " in nub("put", str(file), *flags).stdout
    assert " known " in nub("put", str(file), *flags).stdout


def test_keys_come_from_the_environment_and_the_servers_may_be_printed(guarded):
    endpoint, keys = guarded
    printed = next(
        line.split(" = ")[1] for line in (keys / "server.pub").read_text().splitlines() if line.startswith("public-key"))
    done = nub("call", "echo", "--data", "x", NUB_ENDPOINT=endpoint, NUB_CURVE_SECRET=str(keys / "acme.secret"),
               NUB_CURVE_SERVER=printed)
    assert (done.returncode, done.stdout) == (0, "x"), done.stderr
    other = nub("call", "echo", "--tenant", "other", NUB_ENDPOINT=endpoint, NUB_CURVE_SECRET=str(keys / "acme.secret"),
                NUB_CURVE_SERVER=printed)
    assert other.returncode == 1 and "tenant" in other.stderr


@pytest.mark.parametrize("who", ["nobody", "stranger"])
def test_a_door_that_does_not_admit_says_what_may_be_wrong(guarded, who):
    endpoint, keys = guarded
    flags = ["--endpoint", endpoint]
    if who == "stranger":
        flags += ["--curve-secret", str(keys / "stranger.secret"), "--curve-server", str(keys / "server.pub")]
    done = nub("ping", "--wait", "3", *flags)
    assert done.returncode == 1 and done.stdout == ""
    assert f"waiting for a worker at {endpoint}" in done.stderr
    assert ("--curve-secret" in done.stderr) if who == "nobody" else ("does not admit this key" in done.stderr)


@pytest.mark.parametrize("command", [("ping",), ("call", "1"), ("call", "echo"), ("put", "/etc/hostname")])
def test_a_worker_that_is_not_there(command):
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    done = nub(*command, "--endpoint", endpoint, "--timeout", "3")
    assert done.returncode == 1 and done.stdout == ""
    assert f"waiting for a worker at {endpoint}" in done.stderr
    assert "nub worker --serve" in done.stderr and "Traceback" not in done.stderr


def test_a_ping_of_a_broker_says_that_it_may_be_one(tmp_path):
    port = free_port()
    broker = subprocess.Popen(
        [os.environ["NUB_BIN"], "broker", "--bind", f"tcp://127.0.0.1:{port}"], stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    try:
        assert any("serving" in line for line in broker.stderr)
        done = nub("ping", "--wait", "1", "--endpoint", f"tcp://127.0.0.1:{port}")
        assert done.returncode == 1 and "a broker (nub broker) does not answer this command" in done.stderr, done
    finally:
        broker.kill()
        broker.wait(30)
        broker.stderr.close()


@pytest.mark.parametrize(
    "command",
    [("ping", "--wait", "-1"), ("ping", "--timeout", "-1"), ("call", "1", "--deadline", "-5"), ("call", "1", "--priority", "-1"),
     ("results", "list", "--limit", "-3"), ("results", "stats", "--minutes", "-2"), ("bench", "--rounds", "-1"), ("bench", "--scale", "-1")],
)
def test_a_negative_number_is_refused_with_what_is_allowed(command):
    done = nub(*command)
    assert (done.returncode, done.stdout) == (64, "") and f"{command[-2]} is {command[-1]}" in done.stderr, done


@pytest.mark.parametrize("command", [("ping",), ("call", "1"), ("put", "/etc/hostname")])
@pytest.mark.parametrize("endpoint", ["inproc://x", "tcp://127.0.0.1", "nowhere", "udp://127.0.0.1:1", "tcp://127.0.0.1:99999"])
def test_an_endpoint_that_is_none_is_a_wrong_command_line(command, endpoint):
    done = nub(*command, "--endpoint", endpoint)
    assert (done.returncode, done.stdout) == (64, "") and endpoint in done.stderr, done


def test_keys_that_make_no_sense_are_refused_by_name(guarded, tmp_path):
    endpoint, keys = guarded
    secret = ["--curve-secret", str(keys / "acme.secret")]
    for flags, other in ((secret, "--curve-server"), (["--curve-server", str(keys / "server.pub")], "--curve-secret")):
        done = nub("ping", *flags)
        assert done.returncode == 64 and other in done.stderr, done
    assert "cannot open" in nub("ping", "--curve-secret", str(tmp_path / "none"), "--curve-server", str(keys / "server.pub")).stderr
    loose = tmp_path / "loose.secret"
    loose.write_text((keys / "acme.secret").read_text())
    loose.chmod(0o644)
    done = nub("ping", "--curve-secret", str(loose), "--curve-server", str(keys / "server.pub"))
    assert done.returncode == 1 and "chmod 600" in done.stderr


def test_a_cap_of_every_kind_is_made_by_hand_as_the_guide_says(tmp_path):
    guide = (Path(__file__).resolve().parents[2] / "docs" / "caps.md").read_text()
    blocks = [part.split("```")[0] for part in guide.split("```sh\n")[1:]]
    assert len(blocks) == 1
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "nub").symlink_to(os.environ["NUB_BIN"])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", blocks[0]], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PATH": f"{binaries}:{os.environ['PATH']}"})
    assert done.returncode == 0, done
    assert sorted(path.name for path in tmp_path.glob("*.cap")) == [
        "cnode.cap", "data.cap", "image.cap", "instance.cap", "type.cap"]
