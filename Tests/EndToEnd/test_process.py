"""The process: what it tells a service manager, what it gives up, and what it leaves on disk."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

import wire
from conftest import needs_failpoints

BINARY = os.environ.get("NUB_BIN", "")
# docs/operators.md
USAGE = 64
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change users and look into every process")


class Manager:
    """Plays systemd: the socket behind NOTIFY_SOCKET."""

    def __init__(self, address: str):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self.environment = {"NOTIFY_SOCKET": address}
        self.heard: list[str] = []

    def listen(self, seconds: float) -> list[str]:
        """The lines of one message; none when none comes."""
        self.socket.settimeout(seconds)
        try:
            lines = self.socket.recv(8192).decode().split("\n")
        except TimeoutError:
            return []
        self.heard += lines
        return lines

    def until(self, line: str) -> None:
        """Waits for a line that begins so."""
        deadline = time.monotonic() + 60
        while not any(heard.startswith(line) for heard in self.listen(1)):
            assert time.monotonic() < deadline, f"no {line} among {self.heard}"

    def close(self) -> None:
        self.socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request, scratch):
    address = f"{scratch}/notify-{os.urandom(4).hex()}"
    manager = Manager(address if request.param == "path" else "@" + address)
    yield manager
    manager.close()


def start(make_worker, *arguments: str, **environment: str):
    worker = make_worker(start=False)
    worker.arguments += arguments
    worker.environment |= environment
    return worker


def test_the_service_manager_hears_ready_watchdog_and_stopping(make_worker, manager):
    worker = start(make_worker, **manager.environment, WATCHDOG_USEC="4000000").start(wait=False)
    manager.until("READY=1")
    # Ready means that its doors are open: a single attempt to connect is answered.
    assert worker.producer(RECONNECT_IVL=-1).ping()
    assert any(line.startswith("STATUS=serving: ") for line in manager.heard)
    for _ in range(3):
        manager.until("WATCHDOG=1")
    assert "STOPPING=1" not in manager.heard
    worker.terminate()
    manager.until("STOPPING=1")
    assert worker.wait() == 0
    assert manager.heard.count("READY=1") == 1


@pytest.mark.kvm
def test_a_drain_that_takes_long_keeps_the_watchdog_content(make_worker, manager):
    worker = start(make_worker, **manager.environment, WATCHDOG_USEC="2000000").start()
    producer = worker.producer()
    id = producer.send(wire.call(wire.SPIN, wire.u64(0)))
    assert producer.ping()
    worker.terminate()
    manager.until("STOPPING=1")
    manager.until("WATCHDOG=1")
    manager.until("WATCHDOG=1")
    assert worker.producer().job("cancel", b"", id).status == wire.OK
    assert producer.receive().id == id
    assert worker.wait() == 0


@needs_failpoints
def test_a_thread_that_stands_still_silences_the_watchdog(make_worker, manager, scratch):
    hold = scratch / f"hold-{os.urandom(4).hex()}"
    hold.touch()
    worker = start(
        make_worker, "--stall-timeout", "1", **manager.environment, WATCHDOG_USEC="2000000", NUB_WORKER_FAILPOINT=f"1:1:{hold}"
    ).start()
    manager.until("WATCHDOG=1")
    producer = worker.producer()
    id = producer.send(wire.call(wire.ECHO, b"held"))
    manager.until("STATUS=serving: no progress: doors")
    # Silent for longer than systemd would wait, and for as long as the thread stands.
    deadline = time.monotonic() + 4
    while (left := deadline - time.monotonic()) > 0:
        assert "WATCHDOG=1" not in manager.listen(left)
    hold.unlink()
    manager.until("WATCHDOG=1")
    assert producer.receive().id == id


def test_a_watchdog_that_waits_for_another_process_is_not_fed(make_worker, manager):
    worker = start(make_worker, **manager.environment, WATCHDOG_USEC="1000000", WATCHDOG_PID="1").start()
    manager.until("READY=1")
    worker.terminate()
    manager.until("STOPPING=1")
    assert worker.wait() == 0
    assert "WATCHDOG=1" not in manager.heard


def test_a_manager_that_is_gone_is_no_reason_to_end(make_worker, scratch):
    worker = start(make_worker, NOTIFY_SOCKET=f"{scratch}/nobody", WATCHDOG_USEC="2000000").start()
    assert worker.producer().ping()
    worker.terminate()
    assert worker.wait() == 0
    assert worker.log.read_text().count("does not hear") == 1


@pytest.mark.parametrize("address", ["vsock:2:1234", "relative", "/" + "x" * 200])
def test_an_address_that_cannot_be_used_ends_the_start(make_worker, address):
    worker = start(make_worker, NOTIFY_SOCKET=address).start(wait=False)
    assert worker.wait() == USAGE
    assert "NOTIFY_SOCKET" in worker.log.read_text()


def reloads(manager: Manager, process: subprocess.Popen) -> None:
    """SIGHUP: the manager hears when a reload begins, on which clock, and when it has ended (sd_notify(3))."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    process.send_signal(signal.SIGHUP)
    manager.until("RELOADING=1")
    begun = [line for line in manager.heard if line.startswith("MONOTONIC_USEC=")]
    assert len(begun) == 1 and before <= int(begun[0].split("=")[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    manager.until("READY=1")
    assert manager.heard.count("READY=1") == 2 and manager.heard.count("RELOADING=1") == 1
    assert process.poll() is None


def test_a_reload_is_announced_and_ends_nothing(make_worker, manager):
    worker = start(make_worker, **manager.environment, WATCHDOG_USEC="4000000").start(wait=False)
    manager.until("READY=1")
    reloads(manager, worker.process)
    assert worker.producer().call(wire.ECHO, b"x").body == b"x"
    manager.until("WATCHDOG=1")
    worker.terminate()
    manager.until("STOPPING=1")
    assert worker.wait() == 0


def test_the_broker_speaks_to_its_manager_too(manager, scratch):
    process = subprocess.Popen(
        [BINARY, "broker", "--bind", f"ipc://{scratch}/notify-broker", "--heartbeat", "60000"],
        env=os.environ | manager.environment | {"WATCHDOG_USEC": "4000000"},
    )
    try:
        manager.until("READY=1")
        for _ in range(3):
            manager.until("WATCHDOG=1")
        reloads(manager, process)
        process.terminate()
        manager.until("STOPPING=1")
        assert process.wait(60) == 0
    finally:
        process.kill()


def status_of(pid: int) -> list[str]:
    """/proc/PID/status of each thread."""
    return [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]


def test_no_thread_may_gain_rights_and_each_has_the_filter(make_worker):
    worker = make_worker()
    for status in status_of(worker.process.pid):
        assert re.search(r"^NoNewPrivs:\s*1$", status, re.M)
        assert re.search(r"^Seccomp:\s*2$", status, re.M)


def test_the_filter_can_be_left_out(make_worker):
    worker = start(make_worker, "--no-seccomp").start()
    assert all(re.search(r"^Seccomp_filters:\s*0$", status, re.M) for status in status_of(worker.process.pid))
    assert worker.producer().call(wire.ECHO, b"x").body == b"x"


@needs_root
@pytest.mark.skipif(not shutil.which("gdb"), reason="there is no gdb")
def test_who_takes_the_process_over_is_refused_what_matters(make_worker):
    worker = make_worker()
    # gdb makes the running worker ask: what an attacker would do from inside. execve, unshare, ptrace, mount, bpf, mmap of memory to
    # write and run, a socket of AF_VSOCK; and getpid, to see that asking works.
    calls = {
        "execve": "59,0,0,0", "unshare": "272,0x10000000", "ptrace": "101,0,0,0,0", "mount": "165,0,0,0,0,0", "bpf": "321,0,0,0",
        "mmap": "9,0,4096,7,0x22,-1,0", "fork": "57", "socket": "41,40,1,0", "getpid": "39",
    }
    script = [f"-ex=printf \"%s=%ld\\n\", \"{name}\", ((long(*)(long,...))syscall)({numbers})" for name, numbers in calls.items()]
    done = subprocess.run(
        ["gdb", "-nx", "--batch", "-iex", "set auto-load off", "-p", str(worker.process.pid), *script],
        capture_output=True, text=True, timeout=150,
    )
    answers = dict(re.findall(r"^(\w+)=(-?\d+)$", done.stdout, re.M))
    assert answers.pop("getpid", None) == str(worker.process.pid), done.stdout + done.stderr
    assert answers == {name: "-1" for name in calls if name != "getpid"}
    assert worker.producer().call(wire.ECHO, b"goes on").body == b"goes on"


@pytest.mark.kvm
def test_a_fault_is_dumped_under_the_filter_for_the_owner_alone(make_worker, scratch):
    dumps = scratch / f"dumps-{os.urandom(4).hex()}"
    dumps.mkdir()
    worker = start(make_worker, "--crash-dumps", str(dumps)).start()
    assert worker.producer().call(wire.FAULT, b"\x00").status == wire.GUEST_FAULT
    files = [path for path in dumps.rglob("*") if path.is_file()]
    assert files and all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)


@pytest.mark.parametrize("umask", [0o000, 0o277])
def test_the_store_is_its_owners_alone_whatever_the_umask(make_worker, umask):
    before = os.umask(umask)
    try:
        worker = start(make_worker)
        worker.directory.chmod(0o700)
        worker.start(wait=False)
    finally:
        os.umask(before)
    worker._await_ping()
    assert worker.producer().call(wire.ECHO, b"x").body == b"x"
    files = [path for path in worker.directory.glob("nub.sqlite*") if path.is_file()]
    assert (worker.directory / "nub.sqlite.control").stat().st_mode & 0o077 == 0
    assert len(files) >= 3
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in files}
    assert modes == {path.name: "0o700" if path.is_dir() else "0o600" for path in files}


def test_a_store_that_others_may_read_is_said(make_worker):
    worker = make_worker()
    worker.terminate()
    assert worker.wait() == 0
    worker.store.chmod(0o644)
    worker.start()
    assert f"chmod 600 {worker.store}" in worker.log.read_text()


@needs_root
def test_root_is_given_up_by_every_thread_before_the_store_is_made(make_worker):
    import pwd

    nobody = pwd.getpwnam("nobody")
    worker = start(make_worker, "--user", "nobody")
    os.chown(worker.directory, nobody.pw_uid, nobody.pw_gid)
    worker.directory.parent.chmod(0o711)
    worker.start()
    assert worker.producer().call(wire.ECHO, b"x").body == b"x"
    for status in status_of(worker.process.pid):
        assert re.search(rf"^Uid:(\s+{nobody.pw_uid}){{4}}$", status, re.M), status
        assert re.search(rf"^Gid:(\s+{nobody.pw_gid}){{4}}$", status, re.M)
        assert re.search(r"^CapEff:\s+0+$", status, re.M) and re.search(r"^CapPrm:\s+0+$", status, re.M)
    assert worker.store.stat().st_uid == nobody.pw_uid
    # Not dumpable: what is in memory is not even its own user's to read (proc(5)).
    assert os.stat(f"/proc/{worker.process.pid}/environ").st_uid == 0
    worker.terminate()
    assert worker.wait() == 0
    worker.arguments.append("--core-dumps")
    worker.start()
    assert os.stat(f"/proc/{worker.process.pid}/environ").st_uid == nobody.pw_uid


@needs_root
@pytest.mark.parametrize(
    "user, says", [("nobody", "chown nobody "), ("no-such-user", "no-such-user"), ("root", "gives nothing up")]
)
def test_a_user_that_cannot_work_is_refused_with_what_to_do(make_worker, user, says):
    worker = start(make_worker, "--user", user)
    worker.directory.chmod(0o755)
    worker.directory.parent.chmod(0o711)
    worker.start(wait=False)
    assert worker.wait() == USAGE
    assert says in worker.log.read_text()
    assert not worker.store.exists()


def test_keys_that_cannot_be_used_end_the_start(scratch):
    # One looks for the secret first, the other for the folder.
    for keys, says in ((["no.secret", "none"], "no.secret|none"), (["open.secret", "keys"], "open.secret")):
        secret, authorized = scratch / keys[0], scratch / keys[1]
        if keys[0] == "open.secret":
            subprocess.run([BINARY, "keygen", "--name", "open", str(scratch)], check=True, capture_output=True)
            secret.chmod(0o644)
            authorized.mkdir()
        place = ["--curve-secret", str(secret), "--authorized-keys", str(authorized)]
        store = ["--store", str(scratch / "keys.db"), "--engine", os.environ["NUB_ENGINE"], "--serve", "tcp://127.0.0.1:0"]
        for command in (["broker", "--bind", "tcp://127.0.0.1:0"], ["worker", *store]):
            done = subprocess.run([BINARY, *command, *place], capture_output=True, text=True, timeout=60)
            assert done.returncode == USAGE, (command, done.returncode, done.stderr)
            assert re.search(says, done.stderr), done.stderr


def test_a_fault_of_the_process_itself_ends_it_at_once_and_leaves_no_core(make_worker, monkeypatch):
    import resource

    worker = start(make_worker)
    monkeypatch.chdir(worker.directory)
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (limits[1], limits[1]))
    worker.start()
    before = time.monotonic()
    worker.process.send_signal(signal.SIGABRT)
    assert worker.wait() == -signal.SIGABRT
    assert time.monotonic() - before < 30
    assert not list(worker.directory.glob("core*"))


def test_connections_that_say_nothing_are_closed_and_stall_nobody(make_worker, monkeypatch):
    """More half-open connections than the process has descriptors: who is connected is served, and so is who comes later."""
    import resource

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    worker = start(make_worker, "--serve", f"tcp://127.0.0.1:{port}", "--max-sandboxes", "2")
    worker.lanes = 1
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The worker inherits it; the test itself needs more.
    worker.preexec = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **more: popen(*a, **more, preexec_fn=worker.preexec))
    worker.start()
    monkeypatch.undo()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    connected = worker.producer()
    assert connected.call(wire.ECHO, b"before").body == b"before"
    silent = []
    for _ in range(300):
        half = socket.socket()
        half.setblocking(False)
        half.connect_ex(("127.0.0.1", port))
        silent.append(half)
    deadline = time.monotonic() + 60
    while len(os.listdir(f"/proc/{worker.process.pid}/fd")) < 120:
        assert time.monotonic() < deadline, "the worker has not run out of descriptors"
        time.sleep(0.05)
    assert connected.call(wire.ECHO, b"meanwhile").body == b"meanwhile"
    # Ten seconds each, then the next of those that wait in the backlog.
    closed = 0
    while closed < 100 and time.monotonic() < deadline + 60:
        closed = 0
        for half in silent:
            try:
                while data := half.recv(4096):
                    pass
                closed += 1
            except BlockingIOError:
                pass
            except OSError:
                closed += 1
        time.sleep(0.2)
    assert closed >= 100, "half-open connections stay"
    for half in silent:
        half.close()
    late = wire.Producer(worker.context, f"tcp://127.0.0.1:{port}")
    try:
        late.alive = worker.alive
        assert late.call(wire.ECHO, b"after").body == b"after"
    finally:
        late.close()
