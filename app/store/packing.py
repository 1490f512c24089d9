"""How large values are kept: by zstandard, compressed here; a PostgreSQL may know only pglz (five times the CPU)."""

from typing import Any

import orjson
import zstandard

_STORED, _ZSTD = b"\x00", b"\x01"
_WORTH_IT = 256
_compressor = zstandard.ZstdCompressor(level=1)
_decompressor = zstandard.ZstdDecompressor()


def pack(raw: bytes) -> bytes:
    """Compress for storage; small values stay as they are."""
    if len(raw) > _WORTH_IT:
        squeezed = _compressor.compress(raw)
        if len(squeezed) < len(raw):
            return _ZSTD + squeezed
    return _STORED + raw


def unpack(stored: bytes) -> bytes:
    """What `pack` was given."""
    return _decompressor.decompress(stored[1:]) if stored[:1] == _ZSTD else stored[1:]


def unpack_json(stored: bytes) -> Any:
    """The JSON value whose text was packed."""
    return orjson.loads(unpack(stored))
