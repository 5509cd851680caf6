"""The short forms of ops/fuzz/live and ops/soak; for minutes and hours, run those."""

import os

import pytest

import live_fuzz
import soak

SEED = int(os.environ.get("NUB_SEED", 1))


@pytest.mark.timeout(240)
def test_a_live_worker_serves_good_jobs_among_random_and_mutated_messages():
    assert live_fuzz.fuzz(8, SEED) == []


@pytest.mark.timeout(240)
def test_every_call_takes_effect_once_under_faults_kills_and_reconnects():
    assert soak.soak(14, SEED) == []
