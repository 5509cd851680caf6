"""Killing is boring: thirty times in every run, `NUB_CRASHES=500` in the long form (see crash_harness.py)."""

import os

from crash_harness import crash


def test_nothing_acknowledged_is_lost_or_done_twice_however_often_the_worker_is_killed():
    kills = int(os.environ.get("NUB_CRASHES", "30"))
    tally = crash(kills, progress=kills > 100)
    assert sum(tally.kills.values()) >= kills
    assert tally.acknowledged > 0
