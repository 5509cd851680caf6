"""Stores that a worker cannot use, or not now: what it says, how it ends, and that it recovers where that is promised."""

import atexit
import functools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

import ssz
import wire
from conftest import ENGINE
from test_durability import eventually, make  # noqa: F401  (make is a fixture)

NUB = os.environ.get("NUB_BIN", "nub")


@functools.cache
def program(user: int | None) -> str:
    """nub where that user may run it: the checkout may lie in a folder of somebody's own."""
    if user is None:
        return NUB
    folder = tempfile.mkdtemp(prefix="nub-for-others-")
    atexit.register(shutil.rmtree, folder, True)
    os.chmod(folder, 0o755)
    return shutil.copy(NUB, folder)


def nub(*arguments: str, store: Path, user: int | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [program(user), *arguments, "--store", str(store)], capture_output=True, text=True, timeout=120, user=user,
        stdin=subprocess.DEVNULL,
    )


def start_refused(store: Path, user: int | None = None) -> str:
    """A worker that must not start: it ends by itself, with status 1, and says why."""
    socket = tempfile.mktemp(prefix="nub-refused-")
    # Somebody else may not use /dev/kvm, and would be told that first.
    engine = ENGINE if user is None else "inprocess"
    done = subprocess.run(
        [program(user), "worker", "--store", str(store), "--serve", f"ipc://{socket}", "--engine", engine, "--lanes", "1"],
        capture_output=True, text=True, timeout=120, user=user, stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 74, (done.returncode, done.stderr)
    assert "usage" not in done.stderr.lower(), done.stderr
    return done.stderr


def company(store: Path) -> list[str]:
    """Whatever nub has put beside a store: log, locks, control directory."""
    return sorted(p.name for p in store.parent.iterdir() if p.name.startswith(store.name) and p != store)


@pytest.fixture
def filled(make):  # noqa: F811
    """A worker that has ended in good order, with a result and a cap in its store."""
    worker = make()
    producer = worker.producer()
    assert producer.call(wire.ECHO, b"kept", id=b"kept").status == wire.OK
    assert producer.put(ssz.data(b"a cap")[0]).status == wire.OK
    worker.terminate()
    assert worker.wait() == 0
    return worker


@pytest.fixture
def alone(filled, scratch):
    """A copy of that store in a folder of its own: one file, all of it."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    copy = folder / "store.db"
    subprocess.run(["sqlite3", str(filled.store), f".backup {copy}"], check=True)
    database = sqlite3.connect(copy)
    # As the original is; `.backup` copies that with the first page, but leaves no log.
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()
    assert company(copy) == []
    yield copy
    folder.chmod(0o755)


def test_a_store_of_a_newer_version_is_refused_and_left_alone(alone):
    database = sqlite3.connect(alone)
    database.execute("PRAGMA user_version=99")
    database.close()
    before = alone.read_bytes()
    said = start_refused(alone)
    assert "version 99" in said and "upgrade nub" in said, said
    listed = nub("results", "list", store=alone)
    assert listed.returncode == 1 and "upgrade nub" in listed.stderr, listed
    assert alone.read_bytes() == before and company(alone) == []


@pytest.mark.parametrize("path", [":memory:", "file:x?mode=memory", "file:nub.db", ""])
def test_what_is_no_file_is_refused_by_name_and_leaves_none(tmp_path, path):
    door = ["--serve", f"ipc://{tmp_path}/door"]
    for command in (["worker", *door], ["worker", "--print-config"], ["results"], ["caps", "list"], ["results", "prune", "--all"]):
        done = subprocess.run(
            [os.environ["NUB_BIN"], *command, "--store", path], capture_output=True, text=True, timeout=120, cwd=tmp_path,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 64, (command, done)
        assert f'"{path}" is SQLite\'s name for something else than a file' in done.stderr or "store is empty" in done.stderr, done
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_store_is_refused_and_left_alone(alone):
    os.truncate(alone, 20_000)
    before = alone.read_bytes()
    said = start_refused(alone)
    assert "truncated" in said and "backup" in said, said
    assert "truncated" in nub("caps", "list", store=alone).stderr
    assert alone.read_bytes() == before and company(alone) == []


@pytest.mark.parametrize("size", [10, 100_000])
def test_garbage_is_refused_and_left_alone(alone, size):
    alone.write_bytes(os.urandom(size))
    before = alone.read_bytes()
    said = start_refused(alone)
    assert "not a nub store" in said, said
    assert "not a nub store" in nub("results", "stats", store=alone).stderr
    assert alone.read_bytes() == before and company(alone) == []


def test_a_damaged_page_fails_what_lies_on_it_and_nothing_else(make):  # noqa: F811
    worker = make()
    producer = worker.producer()
    jobs = [wire.call(wire.ECHO, b"%200d" % number, id=b"page-%04d" % number) for number in range(400)]
    cap = ssz.data(b"a cap")[0]
    assert producer.put(cap).status == wire.OK
    assert {reply.status for reply in producer.ask_all(jobs).values()} == {wire.OK}
    worker.terminate()
    assert worker.wait() == 0
    # A leaf in the middle of the table, found as a person would, and the ids of the jobs in it.
    pages = "SELECT pageno, ncell FROM dbstat('main') WHERE name = 'jobs' AND pagetype = 'leaf' ORDER BY path"
    cells = subprocess.run(["sqlite3", str(worker.store), pages], check=True, capture_output=True, text=True).stdout.split()
    before = sum(int(line.split("|")[1]) for line in cells[:2])
    page, count = map(int, cells[2].split("|"))
    rows = worker.rows("SELECT job_id FROM jobs ORDER BY seq LIMIT ? OFFSET ?", count, before)
    lost = {bytes(row[0]) for row in rows}
    assert 0 < len(lost) < 100
    with open(worker.store, "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(random.Random(4).randbytes(4096))
    for _ in range(2):
        # It starts as ever, twice: nothing that it finds out makes it end.
        worker.start()
        producer = worker.producer()
        for id, reply in producer.ask_all(jobs).items():
            assert reply.status == (wire.INTERNAL if id in lost else wire.OK), (id, reply)
            assert reply.duplicate or id in lost, (id, reply)
        assert producer.call(wire.ECHO, b"new").status == wire.OK
        listed = nub("results", "list", "--limit", "1000", store=worker.store)
        assert listed.returncode == 1 and "damaged" in listed.stderr and ".recover" in listed.stderr, listed
        verified = nub("caps", "verify", store=worker.store)
        assert (verified.returncode, verified.stderr) == (1, ""), verified
        lines = verified.stdout.splitlines()
        assert lines[-1] == f"1 caps, {len(cap)} bytes checked; 0 damaged; the file is damaged", verified
        assert "file: the table jobs cannot be read as a whole" in lines, verified
        assert any(line.startswith("file: ") and f"age {page}" in line for line in lines), verified
        worker.kill()


def test_verify_names_the_caps_that_cannot_be_read_and_goes_on(make):  # noqa: F811
    worker = make()
    producer = worker.producer()
    for number in range(200):
        assert producer.put(ssz.data(b"%d" % number * 100)[0]).status == wire.OK
    worker.terminate()
    assert worker.wait() == 0
    whole = worker.store.read_bytes()

    def leaves(table: str) -> list[int]:
        pages = f"SELECT pageno FROM dbstat('main') WHERE name = '{table}' AND pagetype = 'leaf' ORDER BY path"
        return [int(page) for page in subprocess.run(
            ["sqlite3", str(worker.store), pages], check=True, capture_output=True, text=True).stdout.split()]

    hashes = [bytes(row[0]).hex() for row in worker.rows("SELECT hash FROM caps ORDER BY cap")]
    # A table's page in the middle, the last one, the bodies', and the index that else names what is lost.
    for table, which in [("caps", 1), ("caps", -1), ("cap_bodies", 3), ("sqlite_autoindex_caps_1", 1)]:
        page = leaves(table)[which]
        for damage in (bytes(4096), random.Random(page).randbytes(4096)):
            worker.store.write_bytes(whole[: (page - 1) * 4096] + damage + whole[page * 4096 :])
            verified = nub("caps", "verify", store=worker.store)
            assert (verified.returncode, verified.stderr) == (1, ""), (table, verified)
            lines = verified.stdout.splitlines()
            named = [line.split()[1] for line in lines if line.startswith("damaged ")]
            assert set(named) <= set(hashes) and len(set(named)) == len(named), (table, named)
            assert (0 < len(named) < 100) == (table != "sqlite_autoindex_caps_1"), (table, verified)
            assert lines[-1].startswith("200 caps, ") and lines[-1].endswith(
                f"; {len(named)} damaged; the file is damaged"), (table, verified)
            assert any(line.startswith("file: ") for line in lines), verified


def test_a_store_named_by_a_link_is_the_same_store_with_the_same_locks(make):  # noqa: F811
    worker = make()
    assert worker.producer().call(wire.ECHO, b"kept", id=b"kept").status == wire.OK
    other = make()
    other.kill()
    other.store = worker.store.parent / "link.db"
    other.store.symlink_to(worker.store)
    other.start()
    # While the first one lives: both are seen, and nobody has taken anything over.
    again = other.producer().call(wire.ECHO, b"kept", id=b"kept")
    assert (again.status, again.duplicate) == (wire.OK, True)
    assert company(other.store) == ["link.db.control"]
    assert sum(name.startswith(worker.store.name + "-worker-") for name in company(worker.store)) == 2
    assert worker.rows("SELECT count(*) FROM workers WHERE ended_ms IS NULL") == [(2,)]


def test_another_programs_database_is_refused_and_left_alone(alone):
    alone.unlink()
    database = sqlite3.connect(alone)
    database.executescript("CREATE TABLE theirs(x); INSERT INTO theirs VALUES(1)")
    database.close()
    before = alone.read_bytes()
    assert "another program" in start_refused(alone)
    assert alone.read_bytes() == before and company(alone) == []


def test_a_missing_folder_and_a_folder_in_place_of_the_file_are_said(alone):
    assert "no such file or directory" in start_refused(alone.parent / "none" / "store.db")
    assert "not a regular file" in start_refused(alone.parent)


def everything(store: Path, user: int | None) -> None:
    """What can be asked of a store without changing it."""
    listed = nub("results", "list", "--json", store=store, user=user)
    assert listed.returncode == 0 and '"job":"kept"' in listed.stdout, listed
    assert nub("results", "show", "kept", "--body", store=store, user=user).stdout == "kept"
    assert "jobs         1" in nub("results", "stats", store=store, user=user).stdout
    caps = nub("caps", "list", "--output", "csv", store=store, user=user)
    assert caps.returncode == 0 and len(caps.stdout.splitlines()) == 2, caps
    verified = nub("caps", "verify", store=store, user=user)
    assert verified.returncode == 0 and "0 damaged; the file is sound" in verified.stdout, verified


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_read_only_copy_answers_questions_and_refuses_work(alone, scratch):
    nobody = 65_534
    scratch.chmod(0o755)
    alone.chmod(0o444)
    alone.parent.chmod(0o555)
    everything(alone, nobody)
    said = start_refused(alone, nobody)
    assert "cannot be opened for writing" in said and "permissions" in said, said
    pruned = nub("results", "prune", "--all", store=alone, user=nobody)
    assert pruned.returncode == 1 and "cannot be opened for writing" in pruned.stderr, pruned
    assert company(alone) == []
    # A log that cannot be read there is part of the store: nobody is shown less than all without a word.
    alone.parent.chmod(0o755)
    (alone.parent / "store.db-wal").write_bytes(bytes(5_000))
    alone.parent.chmod(0o555)
    listed = nub("results", "list", store=alone, user=nobody)
    assert listed.returncode == 1 and "copy both" in listed.stderr, listed


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_a_copy_on_a_read_only_file_system_answers_questions_and_refuses_work(alone):
    folder = str(alone.parent)
    if subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True, capture_output=True)
        everything(alone, None)
        said = start_refused(alone)
        assert "mounted read-only" in said, said
        assert company(alone) == []
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_store_that_another_program_has_locked_at_the_start_is_waited_for(filled):
    database = sqlite3.connect(filled.store, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    socket = tempfile.mktemp(prefix="nub-waits-")
    worker = subprocess.Popen(
        [NUB, "worker", "--store", str(filled.store), "--serve", f"ipc://{socket}", "--engine", ENGINE],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    try:
        # Long enough to be waiting, by far not as long as it waits.
        time.sleep(1)
        assert worker.poll() is None
        database.execute("ROLLBACK")
        database.close()
        producer = wire.Producer(filled.context, f"ipc://{socket}")
        producer.alive = lambda: worker.poll() is None
        again = producer.call(wire.ECHO, b"kept", id=b"kept")
        assert (again.status, again.duplicate) == (wire.OK, True)
        producer.close()
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0


def test_a_store_that_stays_locked_ends_the_start_with_a_word(filled):
    database = sqlite3.connect(filled.store, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    try:
        said = start_refused(filled.store)
        assert "locked by another program" in said, said
    finally:
        database.close()


def test_jobs_pushed_while_another_program_holds_the_file_are_answered_when_it_lets_go(make):  # noqa: F811
    worker = make()
    push, sink, direct = worker.push(), worker.sink(), worker.producer()
    assert direct.call(wire.ECHO, b"before", id=b"before").status == wire.OK
    database = sqlite3.connect(worker.store, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    jobs = [wire.call(wire.ECHO, b"pushed %d" % i) for i in range(20)]
    for frames in jobs:
        push.send_multipart(frames)
    # What is known is answered: readers need no lock.
    assert direct.call(wire.ECHO, b"before", id=b"before").duplicate
    database.execute("ROLLBACK")
    database.close()
    ids = {frames[2] for frames in jobs}
    while ids:
        reply = sink.receive()
        assert reply.status == wire.OK
        ids.discard(reply.id)
    push.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_a_full_file_system_loses_nothing_acknowledged_and_serves_again_when_there_is_room(make, scratch):  # noqa: F811
    small = Path(tempfile.mkdtemp(dir=scratch))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(small)], capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    worker = None
    try:
        base = make()
        base.kill()
        base.store = small / "store.db"
        worker = base.start()
        producer = worker.producer()
        acknowledged: dict[bytes, bytes] = {}
        for number in range(2_000):
            frames = wire.call(wire.ECHO, os.urandom(30_000), id=b"%d" % number)
            reply = producer.ask(frames)
            if reply.status != wire.OK:
                break
            acknowledged[frames[2]] = frames[4]
        assert reply.status == wire.UNAVAILABLE and "no room" in reply.body.decode(), reply
        assert len(acknowledged) > 10
        again = producer.call(wire.ECHO, acknowledged[b"0"], id=b"0")
        assert (again.status, again.duplicate) == (wire.OK, True), "what is known is answered without room"
        # Killed while there is none: a start has to write a few pages. Either the commit that failed has left the log room for them, or it says
        # that it cannot.
        worker.kill()
        try:
            worker.start()
        except pytest.fail.Exception:
            said = worker.log.read_text()
            assert worker.process.returncode == 74 and "no room" in said and "free space" in said, said
        else:
            again = worker.producer().call(wire.ECHO, acknowledged[b"0"], id=b"0")
            assert (again.status, again.duplicate) == (wire.OK, True)
            worker.kill()
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True, capture_output=True)
        worker.start()
        producer = worker.producer()
        for id, body in acknowledged.items():
            again = producer.call(wire.ECHO, body, id=id)
            assert (again.status, again.body, again.duplicate) == (wire.OK, body, True), (id, again.status)
        assert producer.call(wire.ECHO, b"after").status == wire.OK
        assert worker.rows("PRAGMA integrity_check") == [("ok",)]
    finally:
        if worker is not None:
            worker.kill()
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_size_limit_that_is_reached_is_cleared_by_pruning(make):  # noqa: F811
    worker = make("--max-store", str(4 << 20))
    producer = worker.producer()
    for number in range(2_000):
        reply = producer.call(wire.ECHO, os.urandom(30_000), id=b"%d" % number)
        if reply.status != wire.OK:
            break
    assert reply.status == wire.UNAVAILABLE and "prune" in reply.body.decode(), reply
    assert nub("results", "prune", "--all", "--dry-run", store=worker.store).stdout == f"{number} would be removed\n"
    assert producer.call(wire.ECHO, b"no").status == wire.UNAVAILABLE
    assert nub("results", "prune", "--all", store=worker.store).stdout == f"{number} removed\n"
    eventually(lambda: producer.call(wire.ECHO, b"after").status == wire.OK, "it does not take work again")


def test_retention_as_told_clears_a_size_limit_by_itself(make):  # noqa: F811
    worker = make("--max-store", str(4 << 20), "--keep-results", "1s")
    producer = worker.producer()
    for number in range(2_000):
        reply = producer.call(wire.ECHO, os.urandom(30_000), id=b"%d" % number)
        if reply.status != wire.OK:
            break
    else:
        pytest.skip("retention kept up with the producer")
    eventually(lambda: producer.call(wire.ECHO, b"after").status == wire.OK, "retention makes no room")
    # A job whose result is gone is new again.
    eventually(lambda: not producer.call(wire.ECHO, b"x", id=b"again").duplicate, "kept for longer than told")


def test_ages_that_mean_nothing_are_refused_by_name(tmp_path):
    wrong = [("--keep-results", age) for age in ("7", "-1d", "0s", "1w", "999999999999d", "")]
    for option, age in wrong + [("--keep-failures", "x"), ("--keep-bodies", "x"), ("--keep-caps", "x")]:
        done = subprocess.run(
            [NUB, "worker", f"{option}={age}", "--store", str(tmp_path / "s.db")], capture_output=True, text=True,
            timeout=60, stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 64 and option in done.stderr, (option, age, done)
    assert not (tmp_path / "s.db").exists()
