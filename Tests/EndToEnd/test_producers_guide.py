"""The Python of docs/producers.md and of the client's page, run as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mdp_peers import Broker

ROOT = Path(__file__).parents[2]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def running(scratch):
    """A worker with every door, and its broker."""
    from conftest import Worker

    directory = Path(tempfile.mkdtemp(dir=scratch))
    broker = Broker(directory).start()
    worker = Worker(directory, 2, ["--broker", broker.endpoint, "--service", "nub"]).start()
    broker.await_service(broker.client(), b"nub")
    yield worker, broker
    worker.close()
    broker.close()


@pytest.mark.parametrize("page", ["docs/producers.md", "clients/python/README.md"])
def test_the_examples_do_what_the_page_says(running, page):
    worker, broker = running
    found = blocks(page)
    assert found
    names = f"ENDPOINT, BROKER, JOBS, REPLIES = {worker.serve!r}, {broker.endpoint!r}, {worker.jobs!r}, {worker.replies!r}\n"
    text = names + "\n".join(found)
    text = text.replace('"tcp://127.0.0.1:7700"', "ENDPOINT")
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
