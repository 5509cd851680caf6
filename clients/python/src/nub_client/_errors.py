"""One exception for each status."""

from __future__ import annotations

from typing import Any, Mapping


class NubError(Exception):
    """Anything this package raises about a request."""


class ProtocolError(NubError):
    """The peer sent what protocol.md does not allow."""


class RequestTimeout(NubError):
    """No answer within the timeout. The job may have run: ask again with the same id, or `result(id)`."""

    def __init__(self, job_id: bytes, seconds: float):
        super().__init__(
            f"no answer to job {job_id.hex()} within {seconds:g} s: "
            "nobody is there, or does not admit this key, or is not done"
        )
        self.job_id = job_id


class JobError(NubError):
    """The worker answered with a status other than 0."""

    status: int = -1

    def __init__(self, status: int, body: bytes, job_id: bytes, meta: Mapping[str, Any]):
        self.status = status
        self.body = body
        self.job_id = job_id
        self.meta = dict(meta)
        super().__init__(f"{type(self).__name__} ({status}): {self.message}")

    @property
    def message(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def duplicate(self) -> bool:
        """Whether this is the recorded outcome of an earlier run."""
        return bool(self.meta.get("duplicate", False))


class BadRequest(JobError): ...


class UnknownFunction(JobError): ...


class GuestError(JobError):
    """The function returned an error of its own."""

    @property
    def guest_status(self) -> int | None:
        return self.meta.get("guest_status")


class GuestFault(JobError): ...


class DeadlineExceeded(JobError): ...


class Cancelled(JobError): ...


class CapMissing(JobError):
    """Caps that the call needs and the worker lacks: put them and call again with the same id."""

    @property
    def hashes(self) -> list[bytes]:
        return [self.body[i : i + 32] for i in range(0, len(self.body) - 31, 32)]

    @property
    def message(self) -> str:
        return "missing " + ", ".join(hash.hex() for hash in self.hashes)


class CapInvalid(JobError): ...


class HashMismatch(JobError): ...


class TooLarge(JobError): ...


class Unavailable(JobError):
    """Overloaded or draining, and still so when the timeout was over."""

    @property
    def retry_after(self) -> float | None:
        """Seconds."""
        value = self.meta.get("retry_after_ms")
        return value / 1000 if isinstance(value, (int, float)) else None


class Conflict(JobError): ...


class Quarantined(JobError): ...


class Unauthorized(JobError): ...


class InternalError(JobError): ...


class NotFound(JobError): ...


BY_STATUS: dict[int, type[JobError]] = dict(
    enumerate(
        (
            BadRequest,
            UnknownFunction,
            GuestError,
            GuestFault,
            DeadlineExceeded,
            Cancelled,
            CapMissing,
            CapInvalid,
            HashMismatch,
            TooLarge,
            Unavailable,
            Conflict,
            Quarantined,
            Unauthorized,
            InternalError,
            NotFound,
        ),
        start=1,
    )
)
