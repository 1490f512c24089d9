"""UUIDv7 ids: sorted as they are made, and never those of another process."""

import os
import time
from types import SimpleNamespace
from uuid import UUID

import pytest

from app import ids
from app.ids import new_id, time_of


def test_ids_are_uuid7_and_sort_as_they_are_made() -> None:
    made = [new_id() for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {(each.version, each.variant) for each in made} == {(7, "specified in RFC 4122")}
    assert all(isinstance(each, UUID) for each in made)


def test_two_processes_in_one_millisecond_make_different_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where both met a smaller random number than their last, and go on from there."""
    now = time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    base = ids._base_ms
    crowded = (now // 1_000_000 + base) << 80 | 0x7ABC << 64 | 0x2 << 62 | (1 << 62) - 1
    made = []
    for _ in range(200):
        monkeypatch.setattr(ids, "_last", crowded)
        monkeypatch.setattr(ids, "_random", SimpleNamespace(getrandbits=_low))
        made.append(new_id())
    assert all(each.int > crowded for each in made)
    assert len(set(made)) == len(made)


def _low(bits: int) -> int:
    """The smallest number where an id is drawn, any where one goes on."""
    return 0 if bits == 80 else os.urandom(8)[0] << 40 | int.from_bytes(os.urandom(5))


def test_the_time_of_an_id_is_its_millisecond() -> None:
    made = new_id()
    assert round(time_of(made).timestamp() * 1000) == made.int >> 80
