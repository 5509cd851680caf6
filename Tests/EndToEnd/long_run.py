"""What ops/soak and ops/fuzz/live have in common: a folder of their own, and a command line."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class Run(Protocol):
    def execute(self) -> list[str]:
        """Runs, and returns what was wrong."""

    def close(self) -> None: ...


def in_folder(name: str, make: Callable[[Path], Run]) -> list[str]:
    """Makes a run in a folder that goes away with it (NUB_KEEP=1 keeps it), and returns what was wrong."""
    directory = Path(tempfile.mkdtemp(prefix=f"nub-{name}-"))
    run = None
    try:
        run = make(directory)
        return run.execute()
    finally:
        if run is not None:
            run.close()
        if not os.environ.get("NUB_KEEP"):
            shutil.rmtree(directory, ignore_errors=True)


def command(prog: str, description: str, seconds: float, run: Callable[[float, int], list[str]]) -> int:
    """Runs for as long as the command line says, `seconds` by default; the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("NUB_SEED", time.time_ns() % 1_000_000)))
    arguments = parser.parse_args()
    seconds = arguments.minutes * 60 or arguments.seconds
    print(f"seed {arguments.seed}, {seconds:g} s")
    problems = run(seconds, arguments.seed)
    for problem in problems:
        print(f"PROBLEM: {problem}")
    return 1 if problems else 0
