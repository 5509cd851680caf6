"""Data caps: SSZ form and hash_tree_root, with hashlib alone."""

from __future__ import annotations

import hashlib
import struct

# ByteList[2**32] is 2**27 chunks of 32 bytes.
_DEPTH = 27
_HEADER = b"\x02\x04\x00\x00\x00"  # selector 2, then the offset of the container's one field

_ZERO = [bytes(32)]
for _ in range(_DEPTH):
    _ZERO.append(hashlib.sha256(_ZERO[-1] * 2).digest())


def data_cap(content: bytes) -> bytes:
    """The wire form of a Data cap."""
    return _HEADER + content


def data_hash(content: bytes | bytearray | memoryview) -> bytes:
    """The hash that names the Data cap of `content`: 32 bytes."""
    sha256 = hashlib.sha256
    view = memoryview(content)
    size = len(view)
    # The first level straight from the content: 64 bytes are two chunks.
    whole = size // 64 * 64
    layer = b"".join([sha256(view[i : i + 64]).digest() for i in range(0, whole, 64)])
    if whole < size:
        layer += sha256(bytes(view[whole:]).ljust(64, b"\0")).digest()
    if not layer:
        root = _ZERO[_DEPTH]
    else:
        depth = 1
        while len(layer) > 32:
            if len(layer) % 64:
                layer += _ZERO[depth]
            layer = b"".join([sha256(layer[i : i + 64]).digest() for i in range(0, len(layer), 64)])
            depth += 1
        root = layer
        while depth < _DEPTH:
            root = sha256(root + _ZERO[depth]).digest()
            depth += 1
    root = sha256(root + struct.pack("<Q24x", size)).digest()
    return sha256(root + struct.pack("<Q24x", 2)).digest()
