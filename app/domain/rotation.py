"""Rotating the keys that encrypt secrets: everything is re-encrypted under the first key of the ring.

Each batch is a transaction of its own and what is left is found by the key id that stands in every value, so a
rotation that is interrupted goes on where it was. The hub may run meanwhile, as long as all its processes know both
keys.
"""

from dataclasses import dataclass

from app.crypto import KeyRing
from app.store import sealed as store
from app.store.byhand import Deed
from app.store.changes.audit import note_change
from app.store.database import Database


@dataclass(frozen=True, slots=True)
class Rotated:
    """resealed: values that were re-encrypted now. under: values by key id (hex), all keys of the ring named.
    unused: ids of keys under which nothing stands any more."""

    resealed: int
    under: dict[str, int]
    unused: tuple[str, ...]


async def rotate(database: Database, ring: KeyRing, actor: str) -> Rotated:
    """Re-encrypt every secret that does not stand under the first key. Raises ConfigError for one that no key opens;
    what was re-encrypted before it stays so."""
    resealed = 0
    for column in store.SEALED:
        done, last = -1, None
        while done:
            async with database.begin() as db:
                done, last = await store.reseal_some(db, column, ring.current, ring.reseal, last)
            resealed += done
    under = await standing(database, ring)
    if resealed:
        async with database.begin() as db:
            detail = {"resealed": resealed, "key": ring.current.hex()}
            await note_change(db, Deed("main", actor, "rotate", "secret keys", detail))
    return Rotated(resealed, under, tuple(key for key, count in under.items() if not count))


async def standing(database: Database, ring: KeyRing) -> dict[str, int]:
    """How many secrets stand under which key id (hex), the one that encrypts first."""
    counts = {key.hex(): 0 for key in ring.ids}
    async with database.begin() as db:
        for column in store.SEALED:
            for key, count in (await store.count_by_key(db, column)).items():
                counts[key.hex()] = counts.get(key.hex(), 0) + count
    return counts
