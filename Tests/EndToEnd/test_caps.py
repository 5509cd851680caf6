"""Caps: put in every variant, sent along with a call, of every kind, to the limit."""

import hashlib
import json
import os
import subprocess

import pytest

import ssz
import wire

FF = b"\xff" * 32


def fresh(text: bytes = b"") -> bytes:
    return text + wire.new_id()


def test_put_with_the_right_claim(producer):
    form, root = ssz.data(fresh())
    reply = producer.put(form, root)
    assert (reply.status, reply.body) == (wire.OK, root)


def test_9_put_with_a_wrong_claim_is_a_mismatch_and_files_nothing(producer):
    form, root = ssz.data(fresh())
    wrong = ssz.sha256(fresh())
    assert producer.put(form, wrong).status == wire.HASH_MISMATCH
    assert producer.missing([wrong, root]) == [wrong, root]


def test_the_all_ff_hash_never_names_a_cap(producer):
    assert producer.put(ssz.data_wire(fresh()), FF).status != wire.OK
    assert producer.missing([FF]) == [FF]


def test_a_known_claim_needs_no_body(producer):
    form, root = ssz.data(fresh())
    assert producer.put(form).status == wire.OK
    reply = producer.put(b"", root)
    assert (reply.status, reply.body) == (wire.OK, root)


def test_7_an_unknown_claim_without_a_body_is_named_as_missing(producer):
    hash = ssz.sha256(fresh())
    reply = producer.put(b"", hash)
    assert (reply.status, reply.body) == (wire.CAP_MISSING, hash)
    assert producer.missing([hash]) == [hash]


def test_7_a_known_claim_without_a_body_is_named_as_missing_to_a_tenant_that_does_not_see_it(producer):
    form, root = ssz.data(fresh())
    assert producer.put(form, options={"tenant": "a"}).status == wire.OK
    reply = producer.put(b"", root, options={"tenant": "b"})
    assert (reply.status, reply.body) == (wire.CAP_MISSING, root)


def graph(leaves: int):
    """Data caps, two CNodes over them, and a CNode over these."""
    data = [ssz.data(fresh(b"leaf %d " % i)) for i in range(leaves)]
    half = leaves // 2
    middle = [
        ssz.cap(ssz.CNode(size_log=8, slots=[ssz.Slot(slot=i, cap=root) for i, (_, root) in enumerate(part)]))
        for part in (data[:half], data[half:])
    ]
    top = ssz.cap(ssz.CNode(size_log=1, slots=[ssz.Slot(slot=i, cap=root) for i, (_, root) in enumerate(middle)]))
    return data, middle, top


@pytest.mark.parametrize("order", ["from the store", "just put"])
def test_7_names_every_hole_of_the_graph_that_a_call_is_about(make_worker, order):
    worker = make_worker(lanes=1)
    producer = worker.producer()
    data, middle, top = graph(8)
    for form, root in [data[0], data[5], *middle, top]:
        assert producer.put(form, root).status == wire.OK
    if order == "from the store":
        worker.restart()
        producer = worker.producer()
    holes = [root for i, (_, root) in enumerate(data) if i not in (0, 5)]
    reply = producer.call(wire.CAP_SHA256, holes[0], options={"caps": [top[1].hex(), middle[0][1].hex(), middle[1][1].hex()]})
    assert reply.status == wire.CAP_MISSING
    named = wire.split_hashes(reply.body)
    assert sorted(named) == sorted(holes) and named[0] == holes[0]
    # A call that is about one cap is told of that one.
    reply = producer.call(wire.CAP_SHA256, holes[1])
    assert (reply.status, reply.body) == (wire.CAP_MISSING, holes[1])


def test_a_whole_graph_is_supplied_after_a_restart(make_worker):
    worker = make_worker(lanes=1)
    producer = worker.producer()
    data, middle, top = graph(40)
    for form, root in [*data, *middle, top]:
        assert producer.put(form, root).status == wire.OK
    worker.restart()
    producer = worker.producer()
    # Asking for the top brings everything below it: the directory then holds all of the graph.
    assert producer.call(wire.CAP_SHA256, top[1]).status == wire.GUEST_ERROR, "a CNode is no Data cap"
    stats = producer.call(wire.HEAP_STATS)
    assert int.from_bytes(stats.body[32:40], "little") == 43, "caps in the directory"
    for form, root in data:
        assert producer.call(wire.CAP_SHA256, root).body == ssz.sha256(form[5:])


def test_putting_twice_stores_once(producer, worker):
    form, root = ssz.data(fresh(b"twice "))
    for claim in (b"", root, b"", root):
        assert producer.put(form, claim).body == root
    database = worker.database()
    try:
        assert database.execute("SELECT count(*) FROM caps WHERE hash = ?", (root,)).fetchone() == (1,)
    finally:
        database.close()


def test_an_empty_data_cap_is_valid(producer):
    form, root = ssz.data(b"")
    assert producer.put(form, root).body == root
    assert producer.job("get_cap", root).body == form


DATA = ssz.data_wire(b"abc")
SLOT = ssz.Slot(slot=1, cap=bytes([7]) * 32)
CNODE = ssz.cap(ssz.CNode(size_log=4, slots=[SLOT]))[0]


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(b"\x02", id="selector alone"),
        pytest.param(b"\x02\x04\x00\x00", id="offset cut off"),
        pytest.param(b"\x02\x05\x00\x00\x00abc", id="offset with a gap"),
        pytest.param(b"\x02\x03\x00\x00\x00abc", id="offset into itself"),
        pytest.param(b"\x02\xff\xff\xff\xff", id="offset far outside"),
        pytest.param(b"\x05" + DATA[1:], id="unknown selector"),
        pytest.param(b"\xff" + DATA[1:], id="selector 255"),
        pytest.param(CNODE + b"\x00", id="trailing byte"),
        pytest.param(CNODE[:-1], id="last byte missing"),
        pytest.param(b"\x04" + bytes(31), id="Type of 31 bytes"),
        pytest.param(b"\x04" + bytes(33), id="Type of 33 bytes"),
        pytest.param(b"\x00" + bytes(40), id="Instance of zeros"),
        pytest.param(b"\x01" + bytes(300), id="Image of zeros"),
        pytest.param(ssz.cap(ssz.CNode(size_log=17))[0], id="size_log 17"),
        pytest.param(ssz.cap(ssz.CNode(size_log=0, slots=[SLOT]))[0], id="slot beyond size_log"),
        pytest.param(ssz.cap(ssz.CNode(size_log=4, slots=[SLOT, SLOT]))[0], id="slot twice"),
        pytest.param(
            ssz.cap(ssz.CNode(size_log=4, slots=[ssz.Slot(slot=2, cap=SLOT.cap), SLOT]))[0], id="slots descending"
        ),
        pytest.param(ssz.cap(ssz.CNode(size_log=4, slots=[ssz.Slot(slot=1)]))[0], id="slot with a zero hash"),
        pytest.param(ssz.cap(ssz.Instance(regs=[1] + [0] * 31))[0], id="regs[0] not zero"),
        pytest.param(ssz.cap(ssz.Image(isa=2))[0], id="unknown isa"),
        pytest.param(
            ssz.cap(ssz.Image(isa=1, endpoints=[ssz.Endpoint(name=b"a"), ssz.Endpoint(name=b"a")]))[0],
            id="endpoint name twice",
        ),
        pytest.param(
            ssz.cap(ssz.Image(isa=1, endpoints=[ssz.Endpoint(name=b"\xff\xfe")]))[0], id="endpoint name not UTF-8"
        ),
        pytest.param(
            ssz.cap(
                ssz.Image(isa=1, mappings=[ssz.Mapping(start=0, size=8192), ssz.Mapping(start=4096, size=4096)])
            )[0],
            id="mappings overlap",
        ),
        pytest.param(
            ssz.cap(ssz.Image(isa=1, mappings=[ssz.Mapping(start=2**64 - 4096, size=8192)]))[0], id="mapping wraps"
        ),
    ],
)
def test_8_an_invalid_cap_is_refused(producer, form):
    reply = producer.put(form)
    assert reply.status == wire.CAP_INVALID
    assert reply.body, "the message says what is wrong"


def test_8_a_put_of_nothing(producer):
    assert producer.put(b"").status in (wire.CAP_INVALID, wire.BAD_REQUEST)


KINDS = {
    "Type": lambda salt: ssz.Type(image_hash_chain=salt),
    "CNode": lambda salt: ssz.CNode(
        size_log=16, slots=[ssz.Slot(slot=i * 3, cap=ssz.sha256(salt + bytes([i]))) for i in range(200)]
    ),
    "Image": lambda salt: ssz.Image(
        isa=1,
        code_base=0x10000,
        code=salt * 100,
        endpoints=[
            ssz.Endpoint(name="grüße".encode(), entry_pc=0x10000, stack_top=0x7FFF0000, initial_regs=[0, 1] + [9] * 30),
            ssz.Endpoint(name=b"second", arg_cnode_slot=3, arg_cnode_size=4),
        ],
        mappings=[
            ssz.Mapping(start=0x20000, size=0x1000, source_path=[1, 2, 3]),
            ssz.Mapping(start=0x30000, size=0x1000),
        ],
        pinned=[ssz.Slot(slot=1, cap=salt), ssz.Slot(slot=2, cap=salt)],
        initial=[ssz.Slot(slot=7, cap=salt)],
        yield_marker_slot=[5],
    ),
    "Instance": lambda salt: ssz.Instance(
        image_hash_chain=salt,
        image_hash=salt,
        root_cnode=ssz.sha256(salt),
        rw_overlays=[ssz.Overlay(start=4096, bytes=salt), ssz.Overlay(start=65536, bytes=salt * 3)],
        mem_size=1 << 20,
        regs=[0] + [11] * 31,
        pc=0x10000,
        gas_remaining=2**63,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_hashes_as_an_independent_library_says(producer, kind):
    form, root = ssz.cap(KINDS[kind](ssz.sha256(fresh())))
    reply = producer.put(form, root)
    assert (reply.status, reply.body) == (wire.OK, root), reply.body
    assert producer.job("get_cap", root).body == form


def test_a_cnode_may_come_before_what_it_refers_to(producer):
    form, root = ssz.cap(ssz.CNode(size_log=1, slots=[ssz.Slot(slot=0, cap=ssz.sha256(fresh()))]))
    assert producer.put(form).body == root


@pytest.mark.parametrize("size", [1 << 20, 16 << 20])
def test_large_caps_to_the_limit(producer, size):
    content = hashlib.shake_128(wire.new_id()).digest(size)
    form, root = ssz.data(content)
    reply = producer.put(form, root)
    assert (reply.status, reply.body) == (wire.OK, root)
    got = producer.job("get_cap", root)
    assert got.status == wire.OK
    assert got.body == form


def test_10_a_cap_over_the_limit_is_refused(producer):
    form = ssz.data_wire(bytes(wire.BODY_LIMIT))
    assert producer.put(form).status == wire.TOO_LARGE


def test_caps_sent_along_make_a_call_self_contained(producer):
    contents = [fresh(b"along %d " % i) for i in range(3)]
    forms, roots = zip(*map(ssz.data, contents))
    reply = producer.call(wire.CAP_SHA256, roots[1], caps=list(forms))
    assert (reply.status, reply.body) == (wire.OK, ssz.sha256(contents[1]))
    assert producer.missing(list(roots)) == [], "filed as by put_cap"


def test_256_caps_sent_along_and_not_one_more(producer):
    forms = [ssz.data_wire(fresh(b"%d " % i)) for i in range(257)]
    assert producer.call(wire.ECHO, b"x", caps=forms[:256]).status == wire.OK
    assert producer.call(wire.ECHO, b"x", caps=forms).status in (wire.BAD_REQUEST, wire.TOO_LARGE)


def test_an_invalid_cap_sent_along_is_refused_and_the_id_is_free(producer):
    id = wire.new_id()
    assert producer.call(wire.ECHO, b"x", caps=[b"\x05garbage"], id=id).status == wire.CAP_INVALID
    assert producer.call(wire.ECHO, b"x", id=id).status == wire.OK


def test_a_thousand_caps_are_all_found_again(producer):
    caps = {root: form for form, root in (ssz.data(fresh(b"%d " % i)) for i in range(1000))}
    replies = producer.ask_all([wire.job("put_cap", root, form) for root, form in caps.items()])
    assert {reply.status for reply in replies.values()} == {wire.OK}
    assert producer.missing(list(caps)) == []
    asked = {tuple(frames): root for root in caps for frames in [wire.job("get_cap", root)]}
    answers = producer.ask_all([list(frames) for frames in asked])
    for frames, root in asked.items():
        assert answers[frames[2]].body == caps[root]


def test_one_cap_put_by_many_at_once(worker):
    form, root = ssz.data(fresh(b"everybody's ") * 5000)
    producers = [worker.producer() for _ in range(10)]
    for producer in producers:
        for claim in (b"", root, b""):
            producer.send(wire.job("put_cap", claim, form))
    for producer in producers:
        for _ in range(3):
            assert producer.receive().body == root


def test_a_full_directory_lets_the_least_recently_used_go_and_nothing_breaks(make_worker):
    worker = make_worker(lanes=1)
    producer = worker.producer()
    caps = [ssz.data(fresh(b"%d " % i)) for i in range(4_300)]
    replies = producer.ask_all([wire.job("put_cap", root, form) for form, root in caps])
    assert {reply.status for reply in replies.values()} == {wire.OK}
    stats = producer.call(wire.HEAP_STATS)
    assert int.from_bytes(stats.body[32:40], "little") <= 4_096, "caps in the directory"
    # The first ones have gone from there, not from the store.
    for form, root in caps[:50] + caps[-50:]:
        assert producer.call(wire.CAP_SHA256, root).body == ssz.sha256(form[5:])


def nub_cap(*arguments: str, given: bytes) -> bytes:
    done = subprocess.run(
        [os.environ["NUB_BIN"], "cap", *arguments, "-"], input=given, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_person_reads_and_writes_caps_of_every_kind_as_json(kind):
    form, root = ssz.cap(KINDS[kind](ssz.sha256(fresh())))
    description = nub_cap("decode", given=form)
    assert json.loads(description)["kind"] == kind.lower()
    assert nub_cap("encode", given=description) == form
    assert nub_cap("hash", given=description).decode().strip() == root.hex()
    assert nub_cap("hash", "--wire", given=form).decode().strip() == root.hex()


def test_what_is_no_cap_is_said_to_be_none():
    for command, given in (("decode", b"\x02\x05\x00\x00\x00abc"), ("encode", b'{"kind": "heap"}'), ("encode", b"{")):
        done = subprocess.run(
            [os.environ["NUB_BIN"], "cap", command, "-"], input=given, capture_output=True, timeout=60
        )
        assert done.returncode != 0 and done.stdout == b"" and done.stderr.strip(), (command, done)
