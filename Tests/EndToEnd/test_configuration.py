"""`--print-config`: what a worker or broker would run with, where each value came from, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess

import pytest


def nub(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NUB_")}
    return subprocess.run(
        [os.environ["NUB_BIN"], *arguments], env=clean | environment, capture_output=True, text=True, timeout=60
    )


def settings(*arguments: str, **environment: str) -> dict:
    done = nub("worker", "--print-config", "--json", *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_value_says_where_it_came_from(tmp_path):
    file = tmp_path / "worker.json"
    file.write_text(json.dumps({"lanes": 3, "max-run": 5000, "serve": ["ipc:///tmp/a"]}))
    found = settings("--config", str(file), "--lanes", "1", NUB_MAX_RUN="7000", NUB_STORE="/tmp/x.db")
    assert found["lanes"] == {"value": 1, "source": "flag --lanes"}
    assert found["max-run"] == {"value": 7000, "source": "environment NUB_MAX_RUN"}
    assert found["store"] == {"value": "/tmp/x.db", "source": "environment NUB_STORE"}
    assert found["serve"] == {"value": ["ipc:///tmp/a"], "source": f'file {file}, "serve"'}
    assert found["durability"] == {"value": "full", "source": "default"}
    assert found["fleet-heartbeat"] == {"value": 2500, "source": "default"}
    assert settings(NUB_CONFIG=str(file))["lanes"]["value"] == 3


def test_every_setting_is_an_option_in_the_help():
    for command in ("worker", "broker"):
        help_text = nub(command, "--help").stdout
        printed = nub(command, "--print-config", "--json")
        for name in json.loads(printed.stdout):
            assert f"--{name}" in help_text


def test_the_table_for_people_has_a_line_for_each_setting():
    lines = nub("worker", "--print-config", "--lanes", "5").stdout.splitlines()
    assert len(lines) == len(settings())
    assert any(line.split() == ["lanes", "5", "flag", "--lanes"] for line in lines)


def test_secrets_are_not_printed(tmp_path):
    assert nub("keygen", "--name", "k", str(tmp_path)).returncode == 0
    secret = (tmp_path / "k.secret").read_text().split('"')
    printed = nub("worker", "--print-config", "--curve-secret", str(tmp_path / "k.secret")).stdout
    assert str(tmp_path / "k.secret") in printed
    assert not any(part in printed for part in secret if len(part) == 40)


@pytest.mark.parametrize(
    "arguments, environment, message",
    [
        (["--lanes", "0"], {}, "lanes is 0; 1 to 1024 is allowed (flag --lanes)"),
        (["--lanes", "-1"], {}, "lanes is -1; 1 to 1024 is allowed (flag --lanes)"),
        (["--drain-timeout", "-5"], {}, "drain-timeout is -5; 0 to 3600 is allowed"),
        (["--lanes", "--seccomp"], {}, 'lanes is "--seccomp", not a whole number (flag --lanes)'),
        (["--serve", "tcp://127.0.0.1"], {}, "tcp://127.0.0.1 has no port: expected tcp://HOST:PORT"),
        (["--serve", "tcp://[::1]"], {}, "tcp://[::1] has no port"),
        (["--serve", "tcp://127.0.0.1:"], {}, 'has the port ""; 0 to 65535, or *, is allowed'),
        (["--serve", "tcp://127.0.0.1:+80"], {}, 'has the port "+80"; 0 to 65535'),
        (["--serve", "inproc://x"], {}, "inproc://x is inside this process alone"),
        (["--jobs", "@inproc://x", "--replies", "ipc:///tmp/r"], {}, "@inproc://x is inside this process alone"),
        ([], {"NUB_LANES": "many"}, "lanes is not a whole number (environment NUB_LANES)"),
        ([], {"NUB_LANE": "1"}, "NUB_LANE is unknown; did you mean NUB_LANES?"),
        ([], {"NUB_ENGINE": "xen"}, "engine is xen; one of kvm, inprocess is allowed"),
        (["--drain-timeout", "3601"], {}, "drain-timeout is 3601; 0 to 3600 is allowed"),
        (["--jobs", "ipc:///tmp/a"], {}, "--jobs and --replies go together"),
        (["--serve", "udp://1"], {}, "is not an endpoint"),
        (["--authorized-keys", "/tmp"], {}, "need --curve-secret"),
        (["--config", "/nonexistent"], {}, "/nonexistent cannot be read"),
    ],
)
def test_what_cannot_work_is_refused_by_name_with_status_64(arguments, environment, message):
    for flags in (["--print-config"], []):
        done = nub("worker", *flags, *arguments, **environment)
        assert done.returncode == 64, done.stderr
        assert message in done.stderr


def test_an_unknown_key_in_the_file_is_refused_by_name(tmp_path):
    file = tmp_path / "worker.json"
    file.write_text('{"lane": 1}')
    done = nub("worker", "--config", str(file))
    assert done.returncode == 64
    assert f'"lane" in the file {file} is unknown; did you mean lanes?' in done.stderr


@pytest.mark.parametrize("bytes", ["1099511627776", "17179869185", "17181966336", "3000000", "1048576", "0"])
def test_the_guests_heap_is_what_a_sandbox_can_have(bytes):
    done = nub("worker", "--print-config", "--guest-heap", bytes)
    assert done.returncode == 64
    assert f"guest-heap is {bytes}; 2097152 to 17179869184 in steps of 2097152 is allowed" in done.stderr
    assert settings("--guest-heap", "17179869184")["guest-heap"]["value"] == 16 << 30


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"insecure": 0.5}', "insecure is 0.5, not true or false"),
        ('{"lanes": true}', "lanes is true, not a whole number"),
        ('{"max-store": null}', "max-store is null, not a whole number"),
        ('{"lanes": 1, "lanes": 2}', 'line 1: "lanes" occurs twice'),
        ('{"lanes": 1,\n}', "line 2: not a JSON object: a key was expected"),
    ],
)
def test_a_file_is_taken_by_its_letter(tmp_path, text, message):
    file = tmp_path / "worker.json"
    file.write_text(text)
    done = nub("worker", "--print-config", "--config", str(file))
    assert done.returncode == 64 and message in done.stderr and str(file) in done.stderr, done


def test_variables_of_tools_and_of_kubernetes_do_not_matter():
    settings(NUB_BIN="x", NUB_LONG_TESTS="1", NUB_CRASHES="3", NUB_WORKER_SERVICE_HOST="10.0.0.1")
