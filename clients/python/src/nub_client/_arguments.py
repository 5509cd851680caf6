"""What a caller passes, looked at before anything is sent: TypeError or ValueError, and by the argument's name."""

from __future__ import annotations

import math
import operator
from typing import Any, Iterable


def octets(value: Any, name: str) -> bytes:
    """Anything that is bytes. A number is not: bytes(5) would be five zeros."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    hint = "; encode the text" if isinstance(value, str) else ""
    raise TypeError(f"{name} wants bytes, not {type(value).__name__}{hint}")


def list_of_octets(values: Any, name: str) -> list[bytes]:
    if isinstance(values, (bytes, bytearray, memoryview, str)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} wants a list of bytes, not {type(values).__name__}")
    return [octets(value, f"each of {name}") for value in values]


def job_id(value: Any) -> bytes:
    id = octets(value, "id")
    if not 1 <= len(id) <= 64:
        raise ValueError("a job id is 1 to 64 bytes")
    return id


def cap_hash(value: Any, name: str = "hash") -> bytes:
    hash = octets(value, name)
    if len(hash) != 32:
        raise ValueError(f"{name} has {len(hash)} bytes; a cap's hash has 32")
    return hash


def cap_hashes(values: Any, name: str) -> list[bytes]:
    return [cap_hash(value, f"each of {name}") for value in list_of_octets(values, name)]


def whole(value: Any, name: str, largest: int) -> int:
    # True is 1 to Python, and a mistake here.
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} wants a whole number, not {type(value).__name__}")
    number = operator.index(value)
    if not 0 <= number <= largest:
        raise ValueError(f"{name} is {number}; 0 to {largest} is allowed")
    return number


def seconds(value: Any, name: str) -> float:
    if isinstance(value, bool) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"{name} wants seconds as a number, not {type(value).__name__}")
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} is {number}; it wants seconds, 0 or more")
    return number


def text(value: Any, name: str, limit: int) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} wants a str, not {type(value).__name__}")
    if len(value.encode()) > limit:
        raise ValueError(f"{name} has {len(value.encode())} bytes; at most {limit} are allowed")
    return value


def truth(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} wants True or False, not {type(value).__name__}")
    return value
