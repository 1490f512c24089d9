"""Texts that people send and the database must hold: no NUL, no lone surrogates."""

from typing import Annotated, Any

from pydantic import AfterValidator


def storable(value: Any) -> Any:
    """The JSON value as it is. Raises ValueError where a text in it cannot be stored."""
    match value:
        case str():
            if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
                raise ValueError("a text holds a character that cannot be stored")
        case dict():
            for key, item in value.items():
                storable(key)
                storable(item)
        case list():
            for item in value:
                storable(item)
    return value


PlainText = Annotated[str, AfterValidator(storable)]
PlainTexts = Annotated[dict[str, str], AfterValidator(storable)]
PlainObject = Annotated[dict[str, Any], AfterValidator(storable)]
