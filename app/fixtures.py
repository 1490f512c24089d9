"""Bodies without people in them: what names somebody, or opens something, is replaced, the same value always the same.

Keys say what a value is; what looks like an e-mail address, a phone number or a token is replaced wherever it stands.
Free text may still name somebody: whoever shares a fixture reads it first.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson

from app.connector import RawWebhook, parse_json
from app.errors import MalformedError

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]+\.[\w.-]*\w")  # begins once a word: quick in long ones too
_PHONE = re.compile(r"(?<![\w.:-])\+\d[\d ()/-]{6,16}\d(?![\w:-])")
_ADDRESS_OF_MACHINE = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_TOKEN = re.compile(
    r"\b(?:sk|rk|pk|whsec|shpat|shpss|xox[a-z]|ck|cs|gh[a-z]|eyJ)[_-][\w.-]{8,}|"
    r"(?<=[?&])(?:token|key|secret|signature|sig|auth)=[^&\s\"]+"
)
_FIRST = ("Ada", "Ben", "Cleo", "Dov", "Elin", "Finn", "Gita", "Hugo")
_LAST = ("Example", "Sample", "Testov", "Muster", "Placeholder", "Beispiel")


def cleaned(body: bytes, content_type: str) -> bytes:
    """A body with people and tokens replaced: JSON, or a form. Raises MalformedError for anything else."""
    if "form" in content_type:
        pairs = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
        return urlencode(
            [(key, str(_clean(value, key.rpartition("[")[2].rstrip("]")))) for key, value in pairs]
        ).encode()
    if body[:1] not in (b"{", b"["):
        raise MalformedError("the body is neither JSON nor a form")
    data = _clean(parse_json(RawWebhook(body, {}, {}, _NEVER)), "")
    return orjson.dumps(data, option=orjson.OPT_INDENT_2, default=str) + b"\n"


def _clean(value: Any, key: str) -> Any:
    match value:
        case dict():
            person = bool({"first_name", "last_name", "email", "zip", "address1"} & value.keys())
            return {
                name: _clean(item, "person_name" if person and name == "name" else name) for name, item in value.items()
            }
        case list():
            return [_clean(item, key) for item in value]
        case str() if value:
            return _by_key(key.lower(), value)
        case int() if not isinstance(value, bool) and _KEYS["phone"].search(key.lower()):
            return int(_digits(str(value)))
        case _:
            return value


def _by_key(key: str, value: str) -> str:
    for kind, names in _KEYS.items():
        if names.search(key):
            return _REPLACED[kind](value)
    for pattern, kind in ((_EMAIL, "email"), (_TOKEN, "token"), (_PHONE, "phone"), (_ADDRESS_OF_MACHINE, "machine")):
        value = pattern.sub(lambda found, kind=kind: _REPLACED[kind](found.group()), value)  # type: ignore[misc]
    return value


def _pick(words: tuple[str, ...], value: str) -> str:
    return words[_number(value) % len(words)]


def _number(value: str) -> int:
    return int.from_bytes(hashlib.blake2b(value.strip().lower().encode(errors="replace"), digest_size=6).digest())


def _email(value: str) -> str:
    return f"buyer-{_number(value) % 10_000}@example.com"


def _token(value: str) -> str:
    name, equals, secret = value.rpartition("=")
    made = hashlib.blake2b(secret.encode(errors="replace")).hexdigest()
    return f"{name}{equals}{made[: max(8, min(len(secret), 64))]}"


def _digits(value: str) -> str:
    """The same shape with other digits; the first two stay (they tell the country)."""
    others = iter(str(_number(value)).zfill(20) * 3)
    kept = 2
    made = []
    for letter in value:
        kept -= letter.isdigit()
        made.append(next(others) if letter.isdigit() and kept < 0 else letter)
    return "".join(made)


def _full_name(value: str) -> str:
    return f"{_pick(_FIRST, value)} {_pick(_LAST, value)}"


def _street(value: str) -> str:
    return f"{_number(value) % 200 + 1} Example Street"


_NEVER: Any = None
_KEYS = {
    "email": re.compile(r"e_?mail(_address)?$"),
    "token": re.compile(r"(token|secret|signature|password|api_key|client_details|session_hash|cart_token)$"),
    "phone": re.compile(r"(^|_)phone(_number)?$|^mobile$|^tel$"),
    "first": re.compile(r"^(first|given|fore)_?name$"),
    "last": re.compile(r"^(last|family|sur)_?name$"),
    "name": re.compile(r"^(person_name|full_name|customer_name|display_name|recipient|receiver_name|card_?holder.*)$"),
    "street": re.compile(r"^(address_?[12]|line[12]|street(_address)?|address_line_?[12])$"),
    "place": re.compile(r"^(city|town|company|organization)$"),
    "zip": re.compile(r"^(zip|postcode|postal_?code|zip_code)$"),
    "coordinate": re.compile(r"^(latitude|longitude)$"),
    "machine": re.compile(r"^(browser_ip|ip|ip_address|customer_ip_address|client_ip)$"),
    "agent": re.compile(r"^(user_agent|customer_user_agent)$"),
}
_REPLACED: dict[str, Callable[[str], str]] = {
    "email": _email,
    "token": _token,
    "phone": _digits,
    "first": lambda value: _pick(_FIRST, value),
    "last": lambda value: _pick(_LAST, value),
    "name": _full_name,
    "street": _street,
    "place": lambda value: f"Exampleton {_number(value) % 50}",
    "zip": _digits,
    "coordinate": lambda value: "0.0",
    "machine": lambda value: f"192.0.2.{_number(value) % 254 + 1}",
    "agent": lambda value: "Mozilla/5.0 (example)",
}
