#!/usr/bin/env python3
"""Makes caps.json: caps, their wire forms and hashes, by an SSZ implementation that is not ours.

    python3 -m venv /tmp/vectors && /tmp/vectors/bin/pip install remerkleable==0.1.28
    /tmp/vectors/bin/python Tests/Vectors/make_vectors.py

What the file holds (all bytes as hexadecimal text):

  valid      {name, cap, wire, root}: `cap` is the JSON description that `nub cap encode` takes.
  generated  {name, shape, ..., wire_size, wire_sha256, root}: caps too big to spell out. `payload(seed, n)` below makes
             their payloads, the functions in `shapes` the rest.
  invalid    {name, code, wire}: bytes that are no cap, and the error code that says why.

Roots are computed twice, by the library's Union and by mixing the selector into the root of the value by hand, and have
to agree.
"""
import hashlib
import json
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "EndToEnd"))
from ssz import Cap, CNode, Data, Endpoint, Image, Instance, Mapping, Overlay, Slot, Type  # noqa: E402

KINDS = {Instance: 0, Image: 1, Data: 2, CNode: 3, Type: 4}


def payload(seed, n):
    """n bytes of SplitMix64 from `seed`, each output as 8 bytes little-endian."""
    out, state = bytearray(), seed
    while len(out) < n:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        out += struct.pack("<Q", z ^ z >> 31)
    return bytes(out[:n])


def name(seed):
    return payload(seed, 32)


def serialize(value):
    selector = KINDS[type(value)]
    wire = bytes([selector]) + value.encode_bytes()
    by_hand = hashlib.sha256(bytes(value.hash_tree_root()) + selector.to_bytes(32, "little")).digest()
    union = Cap(selector=selector, value=value)
    assert union.encode_bytes() == wire
    assert bytes(union.hash_tree_root()) == by_hand
    return wire, by_hand


# JSON descriptions

def number(n):
    return n if n < 2**53 else hex(n)


def text(b):
    return "hex:" + bytes(b).hex()


def slots(list_):
    return [{"slot": int(s.slot), "cap": bytes(s.cap).hex()} for s in list_]


def describe(v):
    if isinstance(v, Data):
        return {"kind": "data", "bytes": text(v.bytes)}
    if isinstance(v, CNode):
        return {"kind": "cnode", "size_log": int(v.size_log), "slots": slots(v.slots)}
    if isinstance(v, Type):
        return {"kind": "type", "image_hash_chain": bytes(v.image_hash_chain).hex()}
    if isinstance(v, Image):
        d = {
            "kind": "image", "isa": int(v.isa), "code_base": number(int(v.code_base)), "code": text(v.code),
            "endpoints": [{
                "name": bytes(e.name).decode(), "entry_pc": number(int(e.entry_pc)),
                "stack_top": number(int(e.stack_top)), "arg_cnode_slot": int(e.arg_cnode_slot),
                "arg_cnode_size": int(e.arg_cnode_size), "initial_regs": [number(int(r)) for r in e.initial_regs],
            } for e in v.endpoints],
            "mappings": [{
                "start": number(int(m.start)), "size": number(int(m.size)),
                "source_path": [int(p) for p in m.source_path],
            } for m in v.mappings],
            "pinned": slots(v.pinned), "initial": slots(v.initial),
        }
        if len(v.yield_marker_slot):
            d["yield_marker_slot"] = int(v.yield_marker_slot[0])
        return d
    return {
        "kind": "instance", "image_hash_chain": bytes(v.image_hash_chain).hex(),
        "image_hash": bytes(v.image_hash).hex(), "root_cnode": bytes(v.root_cnode).hex(),
        "rw_overlays": [{"start": int(o.start), "bytes": text(o.bytes)} for o in v.rw_overlays],
        "mem_size": int(v.mem_size), "regs": [number(int(r)) for r in v.regs], "pc": number(int(v.pc)),
        "gas_remaining": number(int(v.gas_remaining)),
    }


# Valid caps

def regs(seed):
    return [0] + list(struct.unpack("<31Q", payload(seed, 248)))


def endpoint(n, seed):
    return Endpoint(
        name=n, entry_pc=seed * 0x1001, stack_top=2**64 - 1 - seed, arg_cnode_slot=seed, arg_cnode_size=seed % 256,
        initial_regs=regs(seed))


def small_image(**fields):
    base = dict(isa=1, code_base=0x1000, code=b"\x13\x00\x00\x00")
    return Image(**{**base, **fields})


def small_instance(**fields):
    base = dict(image_hash_chain=name(1), image_hash=name(2), root_cnode=name(3))
    return Instance(**{**base, **fields})


def slot_list(count, seed, step=1, first=0):
    return [Slot(slot=first + i * step, cap=name(seed + i)) for i in range(count)]


def valid():
    for n in (0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257):
        yield f"data, {n} bytes", Data(bytes=payload(n, n))
    yield "data, 100 zero bytes", Data(bytes=bytes(100))
    yield "data, text", Data(bytes="Größe 32 ✓\n".encode())

    yield "cnode, no slots", CNode(size_log=0, slots=[])
    yield "cnode, its only slot", CNode(size_log=0, slots=slot_list(1, 10))
    yield "cnode, the largest, empty", CNode(size_log=16, slots=[])
    for n in (1, 2, 3, 4, 5, 8):
        yield f"cnode, {n} slots of 16", CNode(size_log=4, slots=slot_list(n, 20, step=2))
    yield "cnode, first and last slot", CNode(
        size_log=16, slots=[Slot(slot=0, cap=name(5)), Slot(slot=65535, cap=b"\xff" * 32)])

    yield "type", Type(image_hash_chain=name(7))
    yield "type, zero", Type(image_hash_chain=bytes(32))

    yield "image, nothing in it", Image(isa=1)
    yield "image, code", small_image()
    for n in (31, 32, 33, 65):
        yield f"image, {n} bytes of code", small_image(code=payload(n, n))
    yield "image, one endpoint without a name", small_image(endpoints=[endpoint(b"", 1)])
    yield "image, names of every UTF-8 length", small_image(
        endpoints=[endpoint(n.encode(), i) for i, n in enumerate(
            ["a", "\u00df", "\u0800\uffff", "\U0001f600\U0010ffff", "x" * 64])])
    yield "image, name of 33 bytes", small_image(endpoints=[endpoint(b"n" * 33, 5)])
    yield "image, a mapping without a path", small_image(mappings=[Mapping(start=0, size=2**64 - 1)])
    yield "image, mappings that touch, in any order", small_image(mappings=[
        Mapping(start=0x3000, size=0x1000, source_path=[1, 2, 3, 4, 5, 6, 7, 2**32 - 1]),
        Mapping(start=0x1000, size=0x1000, source_path=[9]),
        Mapping(start=0x2000, size=0x1000, source_path=[]),
        Mapping(start=0x2800, size=0, source_path=[4]),
    ])
    yield "image, pinned", small_image(pinned=slot_list(3, 30, step=7))
    yield "image, initial", small_image(initial=slot_list(2, 40, first=2**32 - 2))
    yield "image, yield marker", small_image(yield_marker_slot=[0])
    yield "image, every field", Image(
        isa=1, code_base=2**63, code=payload(50, 70), endpoints=[endpoint(b"main", 1), endpoint(b"tick", 2)],
        mappings=[Mapping(start=1, size=2, source_path=[3, 4])], pinned=slot_list(2, 60), initial=slot_list(3, 70),
        yield_marker_slot=[2**32 - 1])

    yield "instance, nothing in it", Instance()
    yield "instance, every field", small_instance(
        rw_overlays=[Overlay(start=0, bytes=b""), Overlay(start=4096, bytes=payload(80, 33))], mem_size=2**32 - 1,
        regs=regs(81), pc=2**64 - 1, gas_remaining=2**53)
    yield "instance, no image", small_instance(image_hash=bytes(32))
    yield "instance, no root", small_instance(root_cnode=bytes(32))
    yield "instance, three overlays", small_instance(
        rw_overlays=[Overlay(start=i, bytes=payload(i, i)) for i in range(3)])


# Caps that a rule makes from few numbers. Tests/NubCapTests/Vectors.swift has the same rules.

shapes = {
    "data": lambda size, seed: Data(bytes=payload(seed, size)),
    "zeros": lambda size: Data(bytes=bytes(size)),
    "cnode": lambda size_log, count, step, seed: CNode(size_log=size_log, slots=slot_list(count, seed, step)),
    "image": lambda code, endpoints, mappings, pinned, initial, seed: Image(
        isa=1, code_base=seed, code=payload(seed, code),
        endpoints=[endpoint(f"endpoint {i}".encode(), i) for i in range(endpoints)],
        mappings=[
            Mapping(start=i * 4096, size=4096, source_path=list(range(i % 9))) for i in range(mappings)],
        pinned=slot_list(pinned, seed), initial=slot_list(initial, seed + 1000, 3), yield_marker_slot=[seed]),
    "instance": lambda overlays, size, seed: Instance(
        image_hash_chain=name(seed), image_hash=name(seed + 1), root_cnode=name(seed + 2),
        rw_overlays=[Overlay(start=i * 4096, bytes=payload(seed + i, size)) for i in range(overlays)],
        mem_size=seed, regs=regs(seed), pc=seed + 3, gas_remaining=seed + 4),
}


def generated():
    for n in (4095, 4096, 4097, 8191, 8192, 8193, 12288, 65536, 100_000, 2**20 - 1, 2**20, 2**20 + 1, 5_000_001):
        yield "data", dict(size=n, seed=n)
    for n in (4096, 4097, 2**20):
        yield "zeros", dict(size=n)
    for count, step in ((63, 1), (64, 2), (65, 3), (127, 1), (128, 1), (129, 1), (1000, 65), (65535, 1), (65536, 1)):
        yield "cnode", dict(size_log=16, count=count, step=step, seed=count)
    yield "image", dict(code=4097, endpoints=64, mappings=64, pinned=65, initial=129, seed=9)
    yield "image", dict(code=2**24, endpoints=1, mappings=1, pinned=1, initial=1, seed=10)
    yield "image", dict(code=0, endpoints=33, mappings=17, pinned=2**16, initial=0, seed=11)
    yield "instance", dict(overlays=1024, size=33, seed=12)
    yield "instance", dict(overlays=1, size=2**24, seed=13)
    yield "instance", dict(overlays=3, size=4096, seed=14)


# Bytes that are no cap: each differs from a valid one in one respect.

def put(wire, at, fmt, value):
    b = bytearray(wire)
    struct.pack_into(fmt, b, at, value)
    return bytes(b)


def invalid():
    wire = lambda v: serialize(v)[0]
    yield "no bytes", "truncated", b""
    for selector in (5, 127, 128, 255):
        yield f"selector {selector}", "unknownKind", bytes([selector]) + bytes(40)
    for selector, fixed in ((0, 376), (1, 33), (2, 4), (3, 5), (4, 32)):
        yield f"kind {selector}, selector alone", "truncated", bytes([selector])
        yield f"kind {selector}, one byte short", "truncated", bytes([selector]) + bytes(fixed - 1)

    data = wire(Data(bytes=b"abc"))
    for offset in (0, 3, 5, 7, 8, 2**31, 2**32 - 1):
        yield f"data, offset {offset}", "badOffset", put(data, 1, "<I", offset)

    yield "type, a byte more", "trailingBytes", wire(Type(image_hash_chain=name(1))) + b"\0"

    cnode = wire(CNode(size_log=4, slots=slot_list(3, 1, step=5)))
    for offset in (4, 6, 41, 2**32 - 1):
        yield f"cnode, offset {offset}", "badOffset", put(cnode, 2, "<I", offset)
    yield "cnode, a byte more", "trailingBytes", cnode + b"\0"
    yield "cnode, a byte less", "trailingBytes", cnode[:-1]
    yield "cnode, 2^17 slots", "overLimit", put(cnode, 1, "<B", 17)
    yield "cnode, size_log 255", "overLimit", put(cnode, 1, "<B", 255)
    yield "cnode, slot out of range", "slotOutOfRange", put(cnode, 6 + 72, "<I", 16)
    yield "cnode, slot far out of range", "slotOutOfRange", put(cnode, 6 + 72, "<I", 2**32 - 1)
    yield "cnode, the only slot out of range", "slotOutOfRange", put(
        wire(CNode(size_log=0, slots=slot_list(1, 1))), 6, "<I", 1)
    yield "cnode, a slot twice", "slotsNotAscending", put(cnode, 6 + 36, "<I", 0)
    yield "cnode, slots descending", "slotsNotAscending", put(cnode, 6, "<I", 6)
    yield "cnode, zero hash", "zeroHash", cnode[:6 + 40] + bytes(32) + cnode[6 + 72:]

    image = wire(Image(
        isa=1, code=b"code", endpoints=[endpoint(b"ab", 1), endpoint(b"cd", 2)],
        mappings=[Mapping(start=0x1000, size=0x1000, source_path=[1]), Mapping(start=0x3000, size=0x1000)],
        pinned=slot_list(2, 3), initial=slot_list(2, 5), yield_marker_slot=[8]))
    body = 1
    at = lambda i: struct.unpack_from("<I", image, body + 9 + 4 * i)[0]  # where the image's field i begins
    for isa in (0, 2, 255):
        yield f"image, isa {isa}", "unsupportedISA", put(image, body, "<B", isa)
    for i, field in enumerate(("code", "endpoints", "mappings", "pinned", "initial", "yield_marker_slot")):
        place = body + 9 + 4 * i
        yield f"image, {field} begins past the end", "badOffset", put(image, place, "<I", len(image))
        yield f"image, {field} begins in the fixed part", "badOffset", put(image, place, "<I", 32)
        if i:
            yield f"image, {field} begins before its neighbour", "badOffset", put(image, place, "<I", at(i - 1) - 1)
    yield "image, a gap after the fixed part", "badOffset", put(image, body + 9, "<I", 34)
    yield "image, yield marker of 3 bytes", "trailingBytes", image[:-1]
    yield "image, yield marker of 5 bytes", "trailingBytes", image + b"\0"
    yield "image, two yield markers", "overLimit", image + bytes(4)
    yield "image, pinned takes a byte of initial", "trailingBytes", put(image, body + 9 + 16, "<I", at(4) + 1)
    e = body + at(1)
    yield "image, endpoints: offset not a multiple of 4", "badOffset", put(image, e, "<I", 9)
    yield "image, endpoints: offset 0", "badOffset", put(image, e, "<I", 0)
    yield "image, endpoints: 65", "overLimit", put(image, e, "<I", 4 * 65)
    yield "image, endpoints: 2^30 - 1", "overLimit", put(image, e, "<I", 2**32 - 4)
    empty = wire(small_image(code=b""))
    two = empty + struct.pack("<I", 8)  # endpoints: the first of two offsets, and nothing else
    for field in range(2, 6):
        two = put(two, body + 9 + 4 * field, "<I", 37)
    yield "image, endpoints: more offsets than bytes", "truncated", two
    yield "image, endpoints: second before first", "badOffset", put(image, e + 4, "<I", 7)
    yield "image, endpoints: second past the end", "badOffset", put(image, e + 4, "<I", 10_000)
    yield "image, endpoints: first one short", "truncated", put(image, e + 4, "<I", 8 + 280)
    yield "image, endpoint: gap before the name", "badOffset", put(image, e + 8, "<I", 282)
    yield "image, endpoint: name in the fixed part", "badOffset", put(image, e + 8, "<I", 280)
    yield "image, endpoint: register 0", "registerZeroNotZero", put(image, e + 8 + 25, "<Q", 1)
    yield "image, endpoint: register 0, high byte", "registerZeroNotZero", put(image, e + 8 + 32, "<B", 128)
    yield "image, endpoint: name twice", "duplicateName", image.replace(b"cd", b"ab")
    long = wire(small_image(endpoints=[endpoint(b"x" * 64, 1)]))
    i = long.index(b"x" * 64)
    longer = long[:i] + b"x" + long[i:]
    for field in range(2, 6):
        longer = put(longer, body + 9 + 4 * field, "<I", struct.unpack_from("<I", longer, body + 9 + 4 * field)[0] + 1)
    yield "image, endpoint: name of 65 bytes", "overLimit", longer
    for bad in ("80", "bf", "c080", "c1bf", "c2", "c241", "e08080", "e09fbf", "eda080", "edbfbf", "e180", "e18041",
                "f0808080", "f08fbfbf", "f4908080", "f5808080", "f1808041", "f180", "ff", "fe", "61ff"):
        yield f"image, endpoint: name {bad}", "nameNotUTF8", wire(
            small_image(endpoints=[endpoint(bytes.fromhex(bad), 1)]))
    m = body + at(2)
    yield "image, mappings: offset 0", "badOffset", put(image, m, "<I", 0)
    yield "image, mappings: 65", "overLimit", put(image, m, "<I", 260)
    yield "image, mapping: gap", "badOffset", put(image, m + 8 + 16, "<I", 21)
    yield "image, mapping: wraps", "mappingWraps", wire(small_image(mappings=[Mapping(start=2**64 - 1, size=2)]))
    yield "image, mapping: ends at 2^64", "mappingWraps", wire(
        small_image(mappings=[Mapping(start=2**64 - 4096, size=4096)]))
    for start, size in ((0x1FFF, 0x1002), (0x2000, 0x1001), (0, 2**64 - 1), (0x3800, 1)):
        yield f"image, mappings: {start:#x}+{size:#x} overlaps", "mappingsOverlap", wire(small_image(mappings=[
            Mapping(start=0x3000, size=0x1000), Mapping(start=start, size=size)]))
    nine = wire(small_image(mappings=[Mapping(start=0, size=1, source_path=list(range(8)))]))
    for field in range(3, 6):
        nine = put(nine, body + 9 + 4 * field, "<I", struct.unpack_from("<I", nine, body + 9 + 4 * field)[0] + 4)
    yield "image, mapping: 9 steps", "overLimit", nine + bytes(4)
    five = wire(small_image(mappings=[Mapping(start=0, size=1, source_path=[1])]))
    for field in range(3, 6):
        five = put(five, body + 9 + 4 * field, "<I", struct.unpack_from("<I", five, body + 9 + 4 * field)[0] + 1)
    yield "image, mapping: a step and a byte", "trailingBytes", five + b"\0"
    p, n = body + at(3), body + at(4)
    yield "image, pinned: a slot twice", "slotsNotAscending", put(image, p + 36, "<I", 0)
    yield "image, pinned: zero hash", "zeroHash", image[:p + 4] + bytes(32) + image[p + 36:]
    yield "image, initial: descending", "slotsNotAscending", put(image, n, "<I", 2)
    yield "image, initial: zero hash", "zeroHash", image[:n + 40] + bytes(32) + image[n + 72:]

    instance = wire(small_instance(
        rw_overlays=[Overlay(start=1, bytes=b"ab"), Overlay(start=2, bytes=b"cd")], regs=regs(1)))
    for offset in (0, 375, 377, 2**32 - 1):
        yield f"instance, offset {offset}", "badOffset", put(instance, body + 96, "<I", offset)
    yield "instance, register 0", "registerZeroNotZero", put(instance, body + 104, "<Q", 2**63)
    o = body + 376
    yield "instance, overlays: offset 0", "badOffset", put(instance, o, "<I", 0)
    yield "instance, overlays: offset 6", "badOffset", put(instance, o, "<I", 6)
    yield "instance, overlays: 1025", "overLimit", put(instance, o, "<I", 4 * 1025)
    yield "instance, overlays: 3 bytes", "truncated", wire(small_instance()) + bytes(3)
    yield "instance, overlays: only an offset", "truncated", wire(small_instance()) + struct.pack("<I", 4)
    yield "instance, overlays: second before first", "badOffset", put(instance, o + 4, "<I", 4)
    yield "instance, overlay: gap", "badOffset", put(instance, o + 8 + 4, "<I", 9)
    yield "instance, overlay: short", "truncated", put(instance, o + 4, "<I", 15)


def main():
    out = {"valid": [], "generated": [], "invalid": []}
    for title, value in valid():
        wire, root = serialize(value)
        assert bytes(Cap.decode_bytes(wire).hash_tree_root()) == root
        out["valid"].append({"name": title, "cap": describe(value), "wire": wire.hex(), "root": root.hex()})
    for shape, parameters in generated():
        wire, root = serialize(shapes[shape](**parameters))
        title = f"{shape}, " + ", ".join(f"{k} {v}" for k, v in parameters.items())
        out["generated"].append({
            "name": title, "shape": shape, "parameters": parameters, "wire_size": len(wire),
            "wire_sha256": hashlib.sha256(wire).hexdigest(), "root": root.hex()})
    for title, code, wire in invalid():
        out["invalid"].append({"name": title, "code": code, "wire": wire.hex()})
    lines = []
    for key in out:
        rows = ",\n".join("  " + json.dumps(row, ensure_ascii=True, separators=(",", ":")) for row in out[key])
        lines.append(f'"{key}": [\n{rows}\n]')
    path = pathlib.Path(__file__).with_name("caps.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(path, {key: len(out[key]) for key in out}, path.stat().st_size, "bytes")


main()
