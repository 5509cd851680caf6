"""Caps as caps.md defines them, twice over.

`data_root` and `data_wire` are SSZ by hand, with hashlib alone. The other kinds use remerkleable, an independent SSZ
library; test_ssz.py checks the two against each other.
"""

import hashlib
import struct

from remerkleable.basic import uint8, uint32, uint64
from remerkleable.byte_arrays import ByteList, Bytes32
from remerkleable.complex import Container, List, Vector
from remerkleable.union import Union


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


# Roots of subtrees of zeros, by depth.
ZERO = [bytes(32)]
for _ in range(64):
    ZERO.append(sha256(ZERO[-1] + ZERO[-1]))


def merkleize(data: bytes, depth: int) -> bytes:
    """The root of the 32-byte chunks of `data`, in a tree of 2**depth leaves."""
    data += bytes(-len(data) % 32)
    layer = [data[i : i + 32] for i in range(0, len(data), 32)]
    for level in range(depth):
        if not layer:
            return ZERO[depth]
        if len(layer) % 2:
            layer.append(ZERO[level])
        layer = [sha256(layer[i] + layer[i + 1]) for i in range(0, len(layer), 2)]
    return layer[0] if layer else ZERO[depth]


def data_wire(content: bytes) -> bytes:
    """Selector 2, then a container with one variable field: its offset, then its bytes."""
    return b"\x02" + struct.pack("<I", 4) + content


def data_root(content: bytes) -> bytes:
    """hash_tree_root of Union[..., Data, ...]: ByteList[2**32] is 2**27 chunks, mixed with its length;
    a container of one field is that field's root; the union mixes in the selector."""
    body = merkleize(content, 27)
    field = sha256(body + struct.pack("<Q", len(content)) + bytes(24))
    return sha256(field + struct.pack("<Q", 2) + bytes(24))


class Slot(Container):
    slot: uint32
    cap: Bytes32


class Data(Container):
    bytes: ByteList[2**32]


class CNode(Container):
    size_log: uint8
    slots: List[Slot, 2**16]


class Type(Container):
    image_hash_chain: Bytes32


class Endpoint(Container):
    name: ByteList[64]
    entry_pc: uint64
    stack_top: uint64
    arg_cnode_slot: uint32
    arg_cnode_size: uint8
    initial_regs: Vector[uint64, 32]


class Mapping(Container):
    start: uint64
    size: uint64
    source_path: List[uint32, 8]


class Image(Container):
    isa: uint8
    code_base: uint64
    code: ByteList[2**24]
    endpoints: List[Endpoint, 64]
    mappings: List[Mapping, 64]
    pinned: List[Slot, 2**16]
    initial: List[Slot, 2**16]
    yield_marker_slot: List[uint32, 1]


class Overlay(Container):
    start: uint32
    bytes: ByteList[2**24]


class Instance(Container):
    image_hash_chain: Bytes32
    image_hash: Bytes32
    root_cnode: Bytes32
    rw_overlays: List[Overlay, 1024]
    mem_size: uint32
    regs: Vector[uint64, 32]
    pc: uint64
    gas_remaining: uint64


Cap = Union[Instance, Image, Data, CNode, Type]


def cap(value: Container) -> tuple[bytes, bytes]:
    """Wire form and hash of any kind."""
    selector = [Instance, Image, Data, CNode, Type].index(type(value))
    union = Cap(selector=selector, value=value)
    return union.encode_bytes(), bytes(union.hash_tree_root())


def data(content: bytes) -> tuple[bytes, bytes]:
    """Wire form and hash of a Data cap, by hand."""
    return data_wire(content), data_root(content)
