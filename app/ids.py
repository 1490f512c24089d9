"""UUIDv7 ids, made here: sortable by time, monotonic within a process."""

import os
import time
from datetime import UTC, datetime
from uuid import UUID

_last = 0
_offset_ms = 0


def new_id() -> UUID:
    """A UUIDv7 greater than every one this process made before."""
    global _last
    value = (time.time_ns() // 1_000_000 + _offset_ms) << 80 | int.from_bytes(os.urandom(10))
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


def follow(offset_seconds: float) -> None:
    """Make ids by database time: this process's wall clock plus this offset (measured by the Clock)."""
    global _offset_ms
    _offset_ms = round(offset_seconds * 1000)
