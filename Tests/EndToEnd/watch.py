"""A process's memory and descriptors over time, and whether they grow."""

from __future__ import annotations

import os
import statistics
import threading
import time


def resident(pid: int) -> int:
    """Bytes in memory."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


class Watch(threading.Thread):
    """Looks at a process until it is told to stop. The process may be another one each time (a worker that is killed)."""

    def __init__(self, pid, every: float = 0.2):
        super().__init__(daemon=True)
        self._pid, self._every = pid if callable(pid) else lambda: pid, every
        self._ended = threading.Event()
        self.memory: list[int] = []
        self.files: list[int] = []
        self.start()

    def run(self) -> None:
        while not self._ended.wait(self._every):
            try:
                pid = self._pid()
                memory, files = resident(pid), descriptors(pid)
            except (OSError, AttributeError):
                continue  # Between two lives.
            self.memory.append(memory)
            self.files.append(files)

    def stop(self) -> "Watch":
        self._ended.set()
        self.join()
        return self

    @property
    def peak(self) -> int:
        return max(self.memory)

    def growth(self) -> tuple[int, int]:
        """Medians of the last quarter less those of the second: bytes, descriptors. The first is for warming up."""

        def rise(values: list[int]) -> int:
            quarter = max(1, len(values) // 4)
            return int(statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter] or values))

        return rise(self.memory), rise(self.files)

    def summary(self) -> str:
        memory, files = self.growth()
        return (
            f"{len(self.memory)} looks, memory {min(self.memory) >> 20} to {self.peak >> 20} MiB (growth {memory / 2**20:+.1f} MiB), "
            f"descriptors {min(self.files)} to {max(self.files)} (growth {files:+d})"
        )


def settles(look, limit: int, seconds: float = 30) -> int:
    """Waits until `look` says no more than `limit`; what it says last."""
    deadline = time.monotonic() + seconds
    while (value := look()) > limit and time.monotonic() < deadline:
        time.sleep(0.1)
    return value
