"""Killing is boring: thirty times in every run, `NUB_CRASHES=500` in the long form (see crash_harness.py)."""

import os

import pytest

from crash_harness import crash

KILLS = int(os.environ.get("NUB_CRASHES", "30"))


# A life with what follows it takes about a second on an idle machine.
@pytest.mark.timeout(180 + 10 * KILLS)
def test_nothing_acknowledged_is_lost_or_done_twice_however_often_the_worker_is_killed():
    tally = crash(KILLS, progress=KILLS > 100)
    assert sum(tally.kills.values()) >= KILLS
    assert tally.acknowledged > 0
