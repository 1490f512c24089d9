"""UUIDv7 ids, made here: sortable by time, monotonic within a process."""

import os
import time
from datetime import UTC, datetime
from uuid import UUID

_last = 0
_base_ms = (time.time_ns() - time.monotonic_ns()) // 1_000_000


def new_id() -> UUID:
    """A UUIDv7 greater than every one this process made before."""
    global _last
    value = (time.monotonic_ns() // 1_000_000 + _base_ms) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62
    if value <= _last:
        value = _after(_last)
    _last = value
    return UUID(int=value)


def _after(value: int) -> int:
    low = value & ((1 << 62) - 1)
    if low < (1 << 61):
        return value + 1 + int.from_bytes(os.urandom(3))
    high = ((value >> 80) << 12 | (value >> 64 & 0xFFF)) + 1
    return (high >> 12) << 80 | 0x7 << 76 | (high & 0xFFF) << 64 | 0x2 << 62


def time_of(row_id: UUID) -> datetime:
    """The millisecond in a UUIDv7, aware UTC: the row's `at` when it was written."""
    millis = row_id.int >> 80
    return datetime.fromtimestamp(millis // 1000, UTC).replace(microsecond=millis % 1000 * 1000)


def follow(at_zero: float) -> None:
    """Make ids by database time: `at_zero` is the Unix time at which the monotonic clock stood at zero."""
    global _base_ms
    _base_ms = round(at_zero * 1000)
