"""What a long history has seen, small: a set of keys, and things put aside in a file."""

import pickle
from array import array
from tempfile import TemporaryFile
from typing import Any

FREE = 0


class Seen:
    """A set of keys of eight bytes, in 12 to 24 bytes each: a million fit where a `set` would take a hundred MB."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 1024))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: bytes) -> bool:
        return self._slots[self._slot(_number(key))] != FREE

    def add(self, key: bytes) -> None:
        number = _number(key)
        slot = self._slot(number)
        if self._slots[slot] != FREE:
            return
        self._slots[slot] = number
        self._count += 1
        if self._count * 3 > len(self._slots) * 2:
            old, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
            for each in old:
                if each != FREE:
                    self._slots[self._slot(each)] = each

    def _slot(self, number: int) -> int:
        """Where a number is, or would be."""
        size = len(self._slots)
        slot = number % size
        while self._slots[slot] not in (FREE, number):
            slot = (slot + 1) % size
        return slot


def _number(key: bytes) -> int:
    return int.from_bytes(key[:8], "big") or 1


class Aside:
    """Values put aside in a file that is gone when this is: what waits for weeks costs no memory."""

    def __init__(self) -> None:
        self._file = TemporaryFile(prefix="tradewind-")  # noqa: SIM115 (it lives as long as this)
        self._end = 0

    def put(self, value: Any) -> tuple[int, int]:
        """Where it lies now: place and length."""
        raw = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        place = self._end
        self._file.seek(place)
        self._end += self._file.write(raw)
        return place, len(raw)

    def take(self, where: tuple[int, int]) -> Any:
        """The value that was put there."""
        self._file.seek(where[0])
        return pickle.loads(self._file.read(where[1]))  # noqa: S301 # nosec B301 (by us, a file without name)
