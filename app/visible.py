"""What others wrote, as a terminal may show it: with no character that a terminal obeys."""

_OBEYED = [*range(0x20), 0x7F, *range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
"""Control characters, and what turns the direction of all that follows (https://trojansource.codes)."""
_SIGNS = {code: chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "�" for code in _OBEYED}
del _SIGNS[ord("\n")], _SIGNS[ord("\t")]
_ESCAPES = {code: f"\\u{code:04x}" for code in _OBEYED if code >= 0x7F}


def visible(text: str) -> str:
    """The text with a sign in place of each character that a terminal would obey; lines and tabs stay."""
    return text if text.isprintable() and text.isascii() else text.translate(_SIGNS)


def escaped(document: str) -> str:
    """A JSON document that says the same, with those characters as escapes (those of ASCII are anyway)."""
    return document if document.isascii() else document.translate(_ESCAPES)
