"""`nub results` and `nub caps` on the store of a worker that runs: what they print, for people and for programs."""

import csv
import fcntl
import io
import json
import os
import pty
import select
import signal
import sqlite3
import struct
import subprocess
import termios

import pytest

import ssz
import wire
from watch import settles

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


def test_times_are_those_of_the_views_to_the_millisecond(asked):
    shown = [json.loads(line) for line in nub(asked, "results", "list", "--tenant", "asked", "--json").splitlines()]
    views = asked.database().execute("SELECT accepted, finished FROM results WHERE tenant = 'asked' ORDER BY seq DESC").fetchall()
    assert [(row["accepted"], row["finished"]) for row in shown] == views
    # And mean the same when they are given back.
    finished = shown[0]["finished"]
    since = [json.loads(line) for line in nub(asked, "results", "list", "--tenant", "asked", "--json", "--since", finished).splitlines()]
    until = [json.loads(line) for line in nub(asked, "results", "list", "--tenant", "asked", "--json", "--until", finished).splitlines()]
    assert since + until == shown and since[-1]["finished"] == finished


@pytest.mark.parametrize("command", [("list",), ("export",), ("prune", "--dry-run"), ("retry", "--dry-run")])
@pytest.mark.parametrize("time", ["2026-11-26T03:17:45Zgarbage", "2026-11-26T25:00:00Z", "2026-11-26T03:61:00Z", "2026-02-30"])
def test_what_is_no_time_is_refused_by_every_command(asked, command, time):
    done = subprocess.run(
        [NUB, "results", *command, "--until", time, "--store", str(asked.store)], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout) == (64, "") and f"{time} is not a time; use 2026-01-31T12:00:00Z" in done.stderr, done


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
    wide, _ = on_a_terminal(asked, columns, "results", "list", "--tenant", "asked", "--wide")
    piped = nub(asked, "results", "list", "--tenant", "asked", "--wide").splitlines()
    for lines in (wide, piped):
        assert any("0x" + id.hex() in line and ("a long message " * 20).rstrip() in line for line in lines), lines
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
    assert detail["referred_by"] == 1 and detail["tenants"] == ["asked"]
    detail = json.loads(nub(asked, "caps", "show", node.hex(), "--json"))
    assert detail["row"]["incomplete"] is True
    assert {one["hash"]: one["present"] for one in detail["references"]} == {leaf.hex(): True, absent.hex(): False}
    assert "no cap" in subprocess.run(
        [NUB, "caps", "show", absent.hex(), "--store", str(asked.store)], capture_output=True, text=True, timeout=60
    ).stderr


def test_every_json_has_names_of_one_style(asked):
    id, leaf, node, _ = asked.asked
    statistics = json.loads(nub(asked, "results", "stats", "--json"))
    assert statistics["jobs_by_status"]["guest_error"] >= 1 and statistics["live_workers"]
    commands = [("results", "stats"), ("results", "list"), ("results", "show", "0x" + id.hex()), ("caps", "list"), ("caps", "show", node.hex())]

    def names(value) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(names, value.values()))
        return set().union(*map(names, value)) if isinstance(value, list) else set()

    for command in commands:
        for line in nub(asked, *command, "--json").splitlines():
            assert not [name for name in names(json.loads(line)) if name != name.lower()], (command, line)


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


def test_an_id_as_the_views_print_it_is_found(asked):
    id = asked.asked[0]
    ((job, job_hex),) = asked.database().execute("SELECT job, job_hex FROM results WHERE tenant = 'asked' AND status_code = 3").fetchall()
    assert job == job_hex == id.hex()
    text_hex = b"asked-3".hex()
    for name, shown in ((job, "0x" + job), ("0x" + job, "0x" + job), (text_hex, "asked-3"), ("asked-3", "asked-3")):
        assert json.loads(nub(asked, "results", "show", name, "--json"))["job"] == shown
        assert nub(asked, "results", "forget", name, "--dry-run") == "1 would be forgotten\n"
    assert nub(asked, "results", "retry", job, "--dry-run").startswith("1 would be queued again")
    # A text is first of all what it says, whatever it may be besides.
    producer = asked.producer()
    assert producer.call(wire.ECHO, b"x", id=text_hex.encode(), options={"tenant": "hexed"}).status == wire.OK
    assert json.loads(nub(asked, "results", "show", text_hex, "--json"))["job"] == text_hex


def complaint(worker, *arguments: str) -> str:
    done = subprocess.run(
        [NUB, *arguments, "--store", str(worker.store)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 1, done
    return done.stdout + done.stderr


def test_a_retry_of_one_job_says_why_it_is_none(make_worker):
    worker = make_worker(lanes=1)
    producer = worker.producer()
    assert producer.call(wire.ECHO, b"x", id=b"fine").status == wire.OK
    assert producer.ask(wire.call(wire.FAIL, wire.u32(9) + b"no", id=b"failed")).status == wire.GUEST_ERROR
    for dry in ([], ["--dry-run"]):
        assert "there is no finished job nope\n" in complaint(worker, "results", "retry", "nope", *dry)
        assert "there is no finished job failed\n" in complaint(worker, "results", "retry", "failed", "--tenant", "other", *dry)
        assert "job fine has succeeded; only failed jobs are run again" in complaint(worker, "results", "retry", "fine", *dry)
    worker.terminate()
    worker.wait()
    assert nub(worker, "results", "retry", "failed") == "1 queued again; 0 have no request that was kept\n"
    for command in ("show", "retry"):
        assert "there is no finished job failed: it is queued to run again" in complaint(worker, "results", command, "failed")
        assert "there is no finished job faile\u0301\n" in complaint(worker, "results", command, "faile\u0301")
    worker.start()
    database = worker.database()
    settles(lambda: 1 - database.execute("SELECT count(*) FROM results WHERE job = 'failed'").fetchone()[0], 0)
    database.close()
    assert json.loads(nub(worker, "results", "show", "failed", "--json"))["status"] == "guest_error"


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


# Clears the screen, sets a title, turns the direction of writing, and does the first again with a control of the second set.
CONTROLS = "\x1b[2J\x1b]0;owned\x07\u202e\x9b2J"


def test_nothing_that_a_producer_or_a_guest_says_controls_a_terminal(make_worker):
    worker = make_worker(lanes=1)
    producer = worker.producer()
    tenant = "t" + CONTROLS
    id = ("id" + CONTROLS).encode()
    message = f"m{CONTROLS}\r\nstatus       ok, \"quoted\""
    reply = producer.ask(wire.call(wire.FAIL, wire.u32(7) + message.encode(), id=id, options={"tenant": tenant}))
    assert reply.status == wire.GUEST_ERROR
    form, root = ssz.data(b"a cap" + wire.new_id())
    assert producer.put(form, root, options={"tenant": tenant}).body == root
    commands = [("results", "list", "--wide"), ("results", "list"), ("results", "list", "--json"), ("results", "list", "--output", "csv"),
                ("results", "show", "0x" + id.hex()), ("results", "show", "--json", "0x" + id.hex()), ("results", "stats"),
                ("results", "export", "--output", "csv"), ("caps", "show", root.hex()), ("caps", "show", "--json", root.hex())]
    for command in commands:
        lines, err = on_a_terminal(worker, 200, *command)
        # What a progress line begins with is ours.
        text = "\n".join(lines) + err.replace("\r\x1b[K", "")
        text = text.replace("\r\n", "\n")
        assert not set(text) & set("\x1b\x07\r\u202e\x9b"), (command, text)
    shown, _ = on_a_terminal(worker, 200, "results", "show", "0x" + id.hex())
    assert [line for line in shown if line.startswith("status ")] == ["status       guest_error"], "no field is made up"
    # Programs get what was said, whole.
    row = json.loads(nub(worker, "results", "list", "--json"))
    # As bytes: reading it as text would turn the message's \r\n into \n.
    command = [NUB, "results", "list", "--output", "csv", "--store", str(worker.store)]
    printed = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.decode()
    (sheet,) = csv.DictReader(io.StringIO(printed, newline=""))
    assert row["message"] == sheet["message"] == message
    assert row["tenant"] == sheet["tenant"] == tenant and row["job"] == "0x" + id.hex()


def test_a_sheet_holds_whatever_a_producer_says(make_worker):
    worker = make_worker(lanes=1)
    producer = worker.producer()
    # An accent behind a comma or a quotation mark makes one character of the two, for those who read by characters.
    texts = ["plain", "a,b", 'q"q', ",\u0301", '"\u0301', "\r\n", "\r", "\n\u0301", '"', ",", '",\u20dd"', "\u2028,\u0301\u200d", ""]
    for number, text in enumerate(texts):
        reply = producer.ask(
            wire.call(wire.FAIL, wire.u32(7) + f"m{text}".encode(), id=b"sheet-%d" % number, options={"tenant": f"t{text}"})
        )
        assert reply.status == wire.GUEST_ERROR
    for command in (["list"], ["export"]):
        printed = subprocess.run(
            [NUB, "results", *command, "--output", "csv", "--store", str(worker.store)], check=True, capture_output=True, timeout=60
        ).stdout.decode()
        rows = list(csv.DictReader(io.StringIO(printed, newline=""), strict=True))
        assert [(row["tenant"], row["message"], None in row) for row in rows] == [(f"t{t}", f"m{t}", False) for t in reversed(texts)]
    lines = nub(worker, "results", "list", "--json").split("\n")[:-1]
    assert [json.loads(line)["message"] for line in lines] == [f"m{text}" for text in reversed(texts)]


def test_wide_characters_keep_a_table_straight(make_worker):
    worker = make_worker(lanes=1)
    producer = worker.producer()
    for tenant in ("東京", "ascii", "e\u0301te\u0301"):
        assert producer.call(wire.ECHO, b"x", options={"tenant": tenant}).status == wire.OK
    lines = nub(worker, "results", "list").splitlines()

    def columns(text: str) -> int:
        return sum(2 if c in "東京" else 0 if c == "\u0301" else 1 for c in text)

    assert {columns(line[: line.index("echo")]) for line in lines[1:]} == {lines[0].index("function")}


@pytest.mark.parametrize("command", [("results", "export"), ("results", "list", "--json", "--limit", "10000"), ("results", "list", "--limit", "10000")])
def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word(asked, command):
    producer = asked.producer()
    replies = producer.ask_all([wire.call(wire.ECHO, b"x", options={"tenant": "much"}) for _ in range(1_000)])
    assert {reply.status for reply in replies.values()} == {wire.OK}
    process = subprocess.Popen(
        [NUB, *command, "--tenant", "much", "--store", str(asked.store)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline()
    process.stdout.close()
    complaints = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) in (0, -signal.SIGPIPE) and complaints == b""


@pytest.mark.parametrize(
    "filters, count",
    [
        (["--status", "guest_error"], 1), (["--status", "3"], 1), (["--status", "0"], 7), (["--status", "ok", "--status", "3"], 8),
        (["--state", "failed"], 1), (["--state", "succeeded"], 7), (["--state", "quarantined"], 0), (["--verb", "call"], 8),
        (["--verb", "put_cap"], 0), (["--function", "echo"], 7), (["--function", str(wire.ECHO)], 7), (["--worker", "nobody"], 0),
        (["--since", "1h"], 8), (["--until", "1h"], 0), (["--since", "2999-12-31T23:59:59Z"], 0), (["--until", "2999-01-01"], 8),
        (["--failed", "--function", "echo"], 0),
    ],
)
def test_each_filter_keeps_its_rows(asked, filters, count):
    rows = [json.loads(line) for line in nub(asked, "results", "list", "--tenant", "asked", "--json", *filters).splitlines()]
    assert len(rows) == count, rows
    exported = nub(asked, "results", "export", "--tenant", "asked", *filters).splitlines()
    assert [json.loads(line) for line in exported] == rows


@pytest.mark.parametrize(
    "filters, word",
    [(["--status", "fine"], "guest_error"), (["--state", "gone"], "quarantined"), (["--state", "9"], "quarantined"),
     (["--verb", "dance"], "find_missing"), (["--verb", ""], "find_missing"),
     (["--since", "soon"], "not a time"), (["--sort", "best"], "slowest"), (["--limit", "0"], "10000"), (["--after", "-3"], "-3 is not a cursor"),
     (["--after", "9223372036854775807", "--sort", "oldest"], "cursor")],
)
def test_a_filter_that_means_nothing_is_said(asked, filters, word):
    done = subprocess.run(
        [NUB, "results", "list", *filters, "--store", str(asked.store)], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 64 and filters[0] in done.stderr and word in done.stderr and done.stdout == "", done


@pytest.mark.parametrize("option, value", [("--kind", "foo"), ("--unused-since", "soon"), ("--limit", "x"), ("--after", "y")])
def test_a_filter_of_caps_that_means_nothing_is_a_wrong_command_line(asked, option, value):
    done = subprocess.run(
        [NUB, "caps", "list", option, value, "--store", str(asked.store)], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout) == (64, "") and option in done.stderr, done


def test_each_order_is_the_order(asked):
    def listed(order: str) -> list[dict]:
        return [json.loads(line) for line in nub(asked, "results", "list", "--tenant", "asked", "--json", "--sort", order).splitlines()]

    newest = listed("newest")
    assert listed("oldest") == newest[::-1]
    for order, column in (("slowest", "run_us"), ("longest-queued", "queued_us")):
        values = [row[column] for row in listed(order)]
        assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("order", ["slowest", "longest-queued"])
def test_a_ranking_is_one_page(asked, order):
    done = subprocess.run(
        [NUB, "results", "list", "--tenant", "asked", "--sort", order, "--limit", "3", "--store", str(asked.store)], capture_output=True,
        text=True, timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "") and len(done.stdout.splitlines()) == 4
    done = subprocess.run(
        [NUB, "results", "list", "--sort", order, "--after", "3", "--store", str(asked.store)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (64, "") and "a ranking is one page" in done.stderr


def test_a_put_of_what_is_not_whole_is_accepted_and_said_to_be_incomplete(make_worker, tmp_path):
    worker = make_worker(lanes=1)
    producer = worker.producer()
    leaves = [ssz.data(b"leaf" + wire.new_id()) for _ in range(2)]
    node, root = ssz.cap(ssz.CNode(size_log=2, slots=[ssz.Slot(slot=i, cap=leaf[1]) for i, leaf in enumerate(leaves)]))
    reply = producer.put(node, root)
    assert (reply.status, reply.body, reply.meta["missing_refs"]) == (wire.OK, root, 2)
    assert [json.loads(line)["hash"] for line in nub(worker, "caps", "list", "--incomplete", "--json").splitlines()] == [root.hex()]
    assert nub(worker, "caps", "show", root.hex()).count("MISSING") == 2
    for form, hash in leaves:
        reply = producer.put(form, hash)
        assert reply.status == wire.OK and "missing_refs" not in reply.meta
    assert nub(worker, "caps", "list", "--incomplete", "--json") == ""
    # A person is told, too.
    other, hash = ssz.cap(ssz.CNode(size_log=0, slots=[ssz.Slot(slot=0, cap=ssz.sha256(wire.new_id()))]))
    (tmp_path / "other").write_bytes(other)
    done = subprocess.run(
        [NUB, "put", "--wire", str(tmp_path / "other"), "--endpoint", worker.serve], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0 and done.stdout.startswith(f"{hash.hex()} stored "), done
    assert "lacks 1 of the caps" in done.stderr, done
