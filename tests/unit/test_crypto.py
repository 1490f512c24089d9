"""Secrets at rest: what is sealed opens again under any later key, and for nobody else; what is no key is refused."""

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import keyfile
from app.crypto import Hasher, KeyRing, check_random, new_key, parse_keys
from app.errors import ConfigError
from app.production import check_secrets
from app.settings import Settings

KEYS = st.binary(min_size=32, max_size=32)
GOOD = new_key()


@given(st.lists(KEYS, min_size=1, max_size=5, unique=True), st.binary(max_size=2000), st.binary(max_size=32))
def test_what_is_sealed_opens_again_after_rotations(keys: list[bytes], plain: bytes, about: bytes) -> None:
    known = [keys[0]]
    sealed = KeyRing(known).seal(plain, about)
    for key in keys[1:]:
        known.insert(0, key)
        ring = KeyRing(known)
        assert ring.open(sealed, about) == plain, "the old key still decrypts"
        sealed = ring.reseal(sealed, about)
        assert KeyRing.key_id(sealed) == ring.current
    assert KeyRing([keys[-1]]).open(sealed, about) == plain, "and is not needed any more"


@given(st.binary(max_size=200), st.data())
def test_a_changed_bit_another_row_and_another_key_open_nothing(plain: bytes, data: st.DataObject) -> None:
    ring = KeyRing([b"\x01" * 32])
    sealed = bytearray(ring.seal(plain, b"row"))
    for other, about in ((KeyRing([b"\x02" * 32]), b"row"), (ring, b"another row")):
        with pytest.raises(ConfigError):
            other.open(bytes(sealed), about)
    place = data.draw(st.integers(1, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ConfigError):
        ring.open(bytes(sealed), b"row")


def test_the_same_secret_never_looks_the_same() -> None:
    ring = KeyRing.parse(GOOD)
    assert len({ring.seal(b"hush") for _ in range(100)}) == 100
    assert b"hush" not in ring.seal(b"hush")


@given(st.lists(st.text(max_size=10), max_size=4), st.lists(st.text(max_size=10), max_size=4))
def test_hashes_tell_the_borders_of_their_parts_apart(one: list[str], other: list[str]) -> None:
    hasher = Hasher(b"k" * 32)
    assert (hasher(*one) == hasher(*other)) == (one == other)


# --- keys that are none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "32 bytes"),
        ("short", "32 bytes|not base64"),
        (base64.b64encode(b"x" * 31).decode(), "32 bytes"),
        (base64.b64encode(b"sixteen bytes !!").decode(), "32 bytes"),
        ("no base64 at all!", "not base64"),
    ],
)
def test_a_short_key_opens_no_ring(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        KeyRing.parse(text)


@pytest.mark.parametrize(
    "key", [bytes(32), b"k" * 32, bytes(range(32)), b"correct horse battery staple ok!", b"8 bytes!" * 4]
)
def test_a_key_that_nobody_drew_by_lot_is_refused_in_production(key: bytes) -> None:
    text = base64.b64encode(key).decode()
    with pytest.raises(ConfigError, match="can be guessed"):
        check_secrets(Settings(secret_keys=text))
    with pytest.raises(ConfigError, match="can be guessed"):
        check_secrets(Settings(secret_keys=f"{GOOD},{text}"))


def test_random_keys_are_never_refused() -> None:
    check_random([key for _ in range(2000) for key in parse_keys(new_key())])
    for _ in range(2000):
        check_secrets(Settings(secret_keys=GOOD, admin_key=os.urandom(24).hex()))
    for met in ("abc123", "123456"):  # one of 200,000 holds such a word
        check_secrets(Settings(secret_keys=GOOD, admin_key=f"9f{met}e07d41c2b85a3f6017c9d2e84b5a"))


@pytest.mark.parametrize(
    "key",
    [
        "admin",
        "short-but-random-9x",
        "change-me-please-change",
        "test-admin-key-of-good-length",
        "a" * 40,
        "0123456789abcdef" * 2,
        "fedcba98abc123007e123456d0c9b8a7",
        "12345600000000000000000000abcdef",
        "deadbeefcafe123456deadbeefcafe00",
        "0f9e8d7c123456a5b4c3d2e1123456f0",
        "0f9e8d7c1234567a5b4c3d2e1f0a9b8c",
        "ab" * 20,
    ],
)
def test_a_known_or_short_admin_key_is_refused_in_production(key: str) -> None:
    with pytest.raises(ConfigError, match="TRADEWIND_ADMIN_KEY"):
        check_secrets(Settings(secret_keys=GOOD, admin_key=key))


# --- the file ---------------------------------------------------------------------------------------------------


def test_the_key_file_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with ThreadPoolExecutor(8) as pool:
        made = {future.result() for future in [pool.submit(keyfile.made_keys, home) for _ in range(32)]}
    assert len(made) == 1
    path = home / keyfile.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in home.iterdir()] == [keyfile.FILE]
    KeyRing.parse(made.pop())
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        keyfile.made_keys(home)


def test_a_new_key_of_the_file_stands_before_the_old_ones_until_they_are_dropped(tmp_path: Path) -> None:
    old = keyfile.made_keys(tmp_path)
    keyfile.put_in_front(tmp_path)
    new, _, rest = keyfile.made_keys(tmp_path).partition(",")
    assert (rest, len(KeyRing.parse(keyfile.made_keys(tmp_path)).ids)) == (old, 2)
    keyfile.keep_only_first(tmp_path)
    assert keyfile.made_keys(tmp_path) == new
    assert (tmp_path / keyfile.FILE).stat().st_mode & 0o777 == 0o600
