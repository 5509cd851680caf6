"""The suite's own hashing: by hand and by an independent library, so that a wrong test cannot agree with a wrong nub."""

import pytest

import ssz

EDGES = [0, 1, 31, 32, 33, 63, 64, 65, 4095, 4096, 4097, 100_000]


@pytest.mark.parametrize("size", EDGES)
def test_hashing_by_hand_agrees_with_remerkleable(size):
    content = bytes(i * 7 % 251 for i in range(size))
    assert ssz.data(content) == ssz.cap(ssz.Data(bytes=content))
