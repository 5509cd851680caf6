"""Writes seeds for the fuzz targets, a folder for each: python3 seeds.py FOLDER."""

import glob
import json
import pathlib
import struct
import sys

folder = pathlib.Path(sys.argv[1])


def seed(target: str, name: str, data: bytes) -> None:
    (folder / target / name).write_bytes(data)


vectors = json.load(open("Tests/Vectors/caps.json"))
for kind in ("valid", "invalid"):
    for index, vector in enumerate(vectors[kind]):
        seed("cap", f"{kind}-{index}", bytes.fromhex(vector["wire"]))

# A directory of 8 entries, two of them used.
entries = [bytes(64)] * 8
for slot in (1, 2):
    entries[slot] = struct.pack("<Q24s", slot, bytes([slot] * 24)) + struct.pack("<QII16x", 0x4000, 64, 1)
seed("directory", "two", b"\x03" + bytes(63) + b"\x01" + b"".join(entries))
seed("directory", "boot", b"\x07" + struct.pack("<QIIQIIQQ", 0x31544F4F4242554E, 1, 9, 0x5000, 128, 64, 0x6000, 1 << 21))

# Three results, read in two looks.
results = b"".join(struct.pack("<IIIIQQ16s", index, 0, 16, 0, 100, 0, b"x" * 16) for index in range(3))
seed("results", "three", struct.pack("<BHBHH", 3, 64, 2, 2 << 1, 3 << 1) + results)

for name, level, source, text in (("plain", 2, b"main", b"hello"), ("steering", 5, b"a", b"\x1b[2J\xc2\x9b\xe2\x80\xae")):
    record = struct.pack("<IHHII", (16 + len(source) + len(text) + 7) & ~7, level, len(source), len(text), 0) + source + text
    record += bytes(-len(record) % 8)
    seed("log", name, struct.pack("<QQ48x", 2 * len(record), 0) + 2 * record)


def packet(text: bytes) -> bytes:
    return b"$" + text + b"#%02x" % (sum(text) % 256)


commands = [b"?", b"g", b"p10", b"P10=0011223344556677", b"m400000,40", b"M400000,2:9090", b"X400000,2:\x90\x91", b"Z0,400000,1",
            b"z0,400000,1", b"vCont;c", b"vCont;s:1", b"vCont?", b"qSupported:swbreak+", b"qXfer:features:read:target.xml:0,ff", b"D",
            b"k", b"QStartNoAckMode", b"qfThreadInfo", b"P18=0100", b"P28=" + b"00" * 16, b"P38=1f800000", b"G00"]
for index, command in enumerate(commands):
    seed("gdb", f"packet-{index}", packet(command))
    seed("gdb", f"command-{index}", command)
seed("gdb", "session", b"+\x03".join(packet(command) for command in commands))


def elf(segments, table=b"", names=b"main\0") -> bytes:
    """A small image: segments are (flags, address, bytes, size in memory); the function table points into the last one."""
    strings = b"\0nub_functions\0.shstrtab\0.symtab\0"
    symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0x400000, 16)
    parts, offset, programs = [], 64 + 56 * len(segments), b""
    for flags, address, data, size in segments:
        programs += struct.pack("<IIQQQQQQ", 1, flags, offset, address, address, len(data), size, 4096)
        parts.append(data)
        offset += len(data)
    sections = bytes(64)
    for name, kind, data, link in ((1, 1, table, 0), (15, 3, strings, 0), (25, 2, symbols, 2)):
        sections += struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, offset, len(data), link, 0, 1, 0)
        parts.append(data)
        offset += len(data)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400000, 64, offset, 0, 64, 56, len(segments), 64, 4, 2)
    return header + programs + b"".join(parts) + sections


name = 0x401000
good = elf([(5, 0x400000, b"\x90" * 32, 32), (4, 0x401000, b"main\0more\0", 10), (6, 0x402000, b"data", 9000)],
           struct.pack("<QQQQQQ", 256, name, 0x400000, 257, name + 5, 0x400000))
seed("elf", "small", good)
seed("elf", "overlap", elf([(5, 0x400000, b"\x90" * 32, 8192), (6, 0x401000, b"data", 4)]))
seed("elf", "writable-code", elf([(7, 0x400000, b"\x90" * 32, 32)]))
for index, path in enumerate(sorted(glob.glob(".build/**/*.elf", recursive=True))[:4]):
    data = pathlib.Path(path).read_bytes()
    if len(data) <= 131072:
        seed("elf", f"image-{index}", data)


def framed(frames, flags=0) -> bytes:
    """Frames as the target `frames` reads them: a byte of flags, then each frame after its length."""
    data = bytes([flags])
    for frame in frames:
        data += bytes([len(frame)]) if len(frame) < 255 else b"\xff" + struct.pack("<H", len(frame))
        data += frame
    return data


texts = [b"", b"{}", b'{"deadline_ms":100,"expires_at_ms":1700000000000,"tenant":"acme","priority":9,"fresh":true}',
         b'{"caps":["' + b"ab" * 32 + b'"],"traceparent":"00-' + b"1" * 32 + b"-" + b"2" * 16 + b'-01"}',
         rb' { "t\u0065nant" : "\ud83d\ude00\n" , "x" : [ 1.5e-3 , null , { "a" : false } ] } ', b'{"tenant":"a","tenant":"b"}',
         b"[" * 40, b'{"priority":10}', b'{"tenant":"\xff"}']
for index, text in enumerate(texts):
    seed("options", str(index), text)
jobs = [[b"NUB1", b"call", b"id", struct.pack("<I", 1), b"payload", text] for text in texts]
jobs += [[b"NUB1", verb, b"0123456789abcdef", operand, body] for verb, operand, body in (
    (b"put_cap", bytes(32), b"\2\4\0\0\0x"), (b"put_cap", b"", b"x"), (b"find_missing", b"", bytes(64)), (b"get_cap", bytes(32), b""),
    (b"get_result", b"", b"id"), (b"cancel", b"", b"id"), (b"ping", b"", b"x"))]
jobs += [[b"NUB1", b"call", b"id", bytes(4), b"", b"", b"\2\4\0\0\0cap", b"\2\4\0\0\0"], [b"NUB1", b"call", b""], [b"NUB1"]]
for index, frames in enumerate(jobs):
    seed("frames", f"{index}", framed(frames))
    seed("frames", f"routed-{index}", framed([b"\0abcd", b"", *frames], 1))
    blob = b"\1" + struct.pack("<HH", 0, len(frames)) + b"".join(struct.pack("<I", len(f)) + f for f in frames)
    seed("journal", str(index), blob)
    seed("journal", f"two-{index}", blob + blob[1:])
seed("frames", "envelope", framed([b"a"] * 9 + jobs[0], 1))
for index, events in enumerate((b"\0\0\x60\1\1\x08\7", b"\1\0\x60\1\1\x08\4\0\1\5\x0c\x0d\x0f\0\x12\4\x58\x08", b"\2\x0b\xa0\1\1\x08\x0c\x0d")):
    seed("mdp", str(index), events)
key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
for index, text in enumerate((f"public-key = {key}\n", f"# of acme\n\npublic-key={key}\r\ntenant = acme\nrole = client worker\n", key, "role = root")):
    seed("keys", str(index), text.encode())
for index, frames in enumerate(([b"1.0", b"1", b"nub", b"10.0.0.1", b"", b"CURVE", bytes(range(32))], [b"1.0", b"1", b"", b"", b"", b"PLAIN", b"a", b"b"])):
    seed("zap", str(index), b"".join(bytes([len(f)]) + f for f in frames))
for index, text in enumerate(('{"kind":"data","bytes":"utf8:hello\\n"}', '{"kind":"cnode","size_log":4,"slots":[{"slot":0,"cap":"' + "ab" * 32 + '"}]}',
                              '{"kind":"type","image_hash_chain":"' + "cd" * 32 + '"}', '{"kind":"data","bytes":"base64:AP8="}',
                              '{"kind":"image","code":"hex:00ff","endpoints":[{"name":"main","entry_pc":"0x1000"}],"pinned":[]}',
                              '{"kind":"instance","image_hash":"' + "ab" * 32 + '","regs":[0,1,2],"pc":4096}')):
    seed("captext", str(index), text.encode())
