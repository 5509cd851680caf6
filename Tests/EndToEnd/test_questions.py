"""`nub results` and `nub caps` on the store of a worker that runs: what they print, for people and for programs."""

import csv
import fcntl
import io
import json
import os
import pty
import select
import sqlite3
import struct
import subprocess
import termios

import pytest

import ssz
import wire

NUB = os.environ.get("NUB_BIN", "nub")


@pytest.fixture(scope="module")
def asked(_shared_worker):
    """A worker with jobs and caps of a tenant of these tests' own."""
    producer = _shared_worker.producer()
    tenant = {"tenant": "asked"}
    for number in range(7):
        body = b"%d" % number
        assert producer.call(wire.ECHO, body, id=b"asked-" + body, options=tenant).status == wire.OK
    id = bytes(range(16)) + wire.new_id()[6:] * 3
    reply = producer.ask(wire.call(wire.FAIL, wire.u32(7) + b"a long message " * 20, id=id, options=tenant))
    assert reply.status == wire.GUEST_ERROR
    leaf = ssz.data(b"leaf" + wire.new_id())
    absent = ssz.sha256(wire.new_id())
    node = ssz.cap(ssz.CNode(size_log=2, slots=[ssz.Slot(slot=0, cap=leaf[1]), ssz.Slot(slot=3, cap=absent)]))
    for form, root in (leaf, node):
        assert producer.put(form, root, options=tenant).body == root
    _shared_worker.asked = (id, leaf[1], node[1], absent)
    return _shared_worker


def nub(worker, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [NUB, *arguments, "--store", str(worker.store)], capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, done
    return done.stdout


def on_a_terminal(worker, columns: int, *arguments: str) -> tuple[list[str], str]:
    """Standard output's lines, and all of standard error, of a command that has a terminal of so many columns."""
    ends = [pty.openpty(), pty.openpty()]
    for _, inner in ends:
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [NUB, *arguments, "--store", str(worker.store)], stdin=subprocess.DEVNULL, stdout=ends[0][1], stderr=ends[1][1]
    )
    for _, inner in ends:
        os.close(inner)
    texts = {outer: b"" for outer, _ in ends}
    open_ends = set(texts)
    while open_ends:
        for outer in select.select(list(open_ends), [], [], 120)[0]:
            try:
                part = os.read(outer, 65_536)
            except OSError:  # EIO: the other end is closed.
                part = b""
            if part:
                texts[outer] += part
            else:
                open_ends.discard(outer)
    assert process.wait(60) == 0, texts
    out, err = (texts[outer].decode() for outer, _ in ends)
    for outer, _ in ends:
        os.close(outer)
    return out.replace("\r\n", "\n").splitlines(), err


def test_the_three_forms_of_output_say_the_same(asked):
    id = asked.asked[0]
    rows = [json.loads(line) for line in nub(asked, "results", "list", "--tenant", "asked", "--json").splitlines()]
    table = nub(asked, "results", "list", "--tenant", "asked").splitlines()
    sheet = list(csv.DictReader(io.StringIO(nub(asked, "results", "list", "--tenant", "asked", "--output", "csv"))))
    assert [row["job"] for row in rows] == ["0x" + id.hex()] + [f"asked-{n}" for n in reversed(range(7))]
    assert [row["job"] for row in sheet] == [row["job"] for row in rows]
    assert len(table) == 9 and all(row["job"] in line for row, line in zip(rows, table[1:])), table
    assert rows[0]["status"] == "guest_error" and rows[0]["guest_status"] == 7
    assert rows[0]["message"] == ("a long message " * 20)


def test_filters_and_cursors_take_a_list_apart_and_together_again(asked):
    one = [json.loads(line) for line in nub(asked, "results", "list", "--tenant", "asked", "--json", "--failed").splitlines()]
    assert [row["status"] for row in one] == ["guest_error"]
    assert one == [json.loads(nub(asked, "results", "list", "--tenant", "asked", "--json", "--status", "guest_error"))]
    assert nub(asked, "results", "list", "--tenant", "asked", "--since", "2999-01-01", "--json") == ""
    seen: list[str] = []
    after: list[str] = []
    while True:
        done = subprocess.run(
            [NUB, "results", "list", "--tenant", "asked", "--json", "--limit", "3", *after, "--store", str(asked.store)],
            capture_output=True, text=True, timeout=120,
        )
        seen += [json.loads(line)["job"] for line in done.stdout.splitlines()]
        if "more: --after" not in done.stderr:
            break
        after = ["--after", done.stderr.split()[-1]]
    assert len(seen) == len(set(seen)) == 8
    exported = nub(asked, "results", "export", "--tenant", "asked").splitlines()
    assert [json.loads(line)["job"] for line in exported] == seen


@pytest.mark.parametrize("columns", [70, 120])
def test_a_table_fits_a_terminal_and_shows_the_beginnings(asked, columns):
    id, leaf, node, _ = asked.asked
    lines, _ = on_a_terminal(asked, columns, "caps", "list", "--tenant", "asked")
    assert all(len(line) <= columns for line in lines), lines
    if columns == 70:
        assert any(line.startswith(node.hex()[:15]) and "…" in line for line in lines), lines
    lines, _ = on_a_terminal(asked, 132, "results", "list", "--tenant", "asked")
    assert all(len(line) <= 132 for line in lines), lines
    assert any("0x" + id.hex()[:10] in line for line in lines)
    wide, _ = on_a_terminal(asked, columns, "caps", "list", "--tenant", "asked", "--wide")
    assert any(line.startswith(leaf.hex()) for line in wide), wide
    # Programs get everything, whatever the terminal.
    lines, _ = on_a_terminal(asked, 40, "caps", "list", "--tenant", "asked", "--json")
    assert {json.loads(line)["hash"] for line in lines} == {leaf.hex(), node.hex()}


def test_verify_hashes_everything_with_a_bar_on_a_terminal_and_silently_elsewhere(asked):
    count = asked.database().execute("SELECT count(*) FROM caps").fetchone()[0]
    lines, progress = on_a_terminal(asked, 80, "caps", "verify")
    assert f"[{'#' * 30}] {count}/{count} caps" in progress, progress
    assert lines[-1].startswith(f"{count} caps, ") and lines[-1].endswith("0 damaged; the file is sound")
    done = subprocess.run([NUB, "caps", "verify", "--store", str(asked.store)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_cap_is_shown_with_what_it_refers_to_and_what_of_that_is_missing(asked):
    _, leaf, node, absent = asked.asked
    shown = nub(asked, "caps", "show", node.hex())
    assert f"refers to   {leaf.hex()}\n" in shown and f"refers to   {absent.hex()}  MISSING" in shown
    detail = json.loads(nub(asked, "caps", "show", leaf.hex(), "--json"))
    assert detail["referredBy"] == 1 and detail["tenants"] == ["asked"]
    assert "no cap" in subprocess.run(
        [NUB, "caps", "show", absent.hex(), "--store", str(asked.store)], capture_output=True, text=True, timeout=60
    ).stderr


def test_dry_runs_say_what_would_go_and_remove_nothing(make_worker):
    worker = make_worker(lanes=1)
    producer = worker.producer()
    for number in range(5):
        assert producer.call(wire.ECHO, b"x", id=b"dry-%d" % number).status == wire.OK
    assert producer.ask(wire.call(wire.FAIL, wire.u32(9) + b"no", id=b"dry-failed")).status == wire.GUEST_ERROR
    leaf = ssz.data(b"leaf" + wire.new_id())
    node = ssz.cap(ssz.CNode(size_log=0, slots=[ssz.Slot(slot=0, cap=leaf[1])]))
    for form, _ in (leaf, node):
        assert producer.put(form).status == wire.OK
    both = [
        (("results", "prune", "--status", "ok"), "5 would be removed\n", "5 removed\n"),
        (("results", "retry", "dry-failed"), "1 would be queued again; 0 have no request that was kept\n", None),
        (("results", "forget", "dry-failed"), "1 would be forgotten\n", "1 forgotten\n"),
        # From the top down: the CNode goes, then what only it referred to.
        (("caps", "gc", "--unused-since", "0s"), f"2 caps, {len(leaf[0]) + len(node[0])} bytes would be removed\n",
         f"2 caps, {len(leaf[0]) + len(node[0])} bytes removed\n"),
    ]
    database = worker.database()
    state = "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM caps), (SELECT count(*) FROM cap_refs), (SELECT count(*) FROM journal)"
    before = database.execute(state).fetchone()
    for command, would, _ in both:
        assert nub(worker, *command, "--dry-run") == would
    assert database.execute(state).fetchone() == before == (6, 2, 1, 0)
    for command, _, does in both:
        if does is not None:
            assert nub(worker, *command) == does
    assert database.execute(state).fetchone() == (0, 0, 0, 0)
    database.close()
    assert producer.missing([leaf[1], node[1]]) == [leaf[1], node[1]]
    again = producer.call(wire.ECHO, b"x", id=b"dry-0")
    assert (again.status, again.duplicate) == (wire.OK, False), "an id whose result is gone is new again"


def test_a_reader_that_stays_neither_blocks_nor_breaks_the_worker(make_worker):
    worker = make_worker()
    producer = worker.producer()
    assert producer.call(wire.ECHO, b"before").status == wire.OK
    reader = sqlite3.connect(f"file:{worker.store}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM results").fetchone() == (1,)
    replies = producer.ask_all([wire.call(wire.ECHO, os.urandom(20_000)) for _ in range(1_500)])
    assert {reply.status for reply in replies.values()} == {wire.OK}
    assert reader.execute("SELECT count(*) FROM results").fetchone() == (1,), "one state for as long as it reads"
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM results").fetchone() == (1_501,)
    reader.close()
    assert nub(worker, "caps", "verify").endswith("the file is sound\n")
