"""What is said of bodies and inputs that are not as documented holds none of Python's own words."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from app.errors import misread
from app.pipeline.match.standins import sample
from app.pipeline.run.advance import plain_error


@pytest.mark.parametrize(
    ("body", "read", "said"),
    [
        ("text", lambda body: body.get("id"), "a text stands where something else is documented"),
        ("text", lambda body: body["id"], "a text stands where something else is documented"),
        (5, lambda body: body["id"], "a number stands where something else is documented"),
        (5, lambda body: list(body), "a number stands where something else is documented"),
        (None, lambda body: body["id"], "nothing stands where something else is documented"),
        ({}, lambda body: body["id"], "it has no 'id'"),
        ([], lambda body: body[0], "a list is empty, or shorter than documented"),
        ("abc", int, "'abc' is no whole number"),
        ("abc", Decimal, "an amount in it is no number"),
    ],
)
def test_a_body_of_another_shape_is_told_of_in_words(body: Any, read: Callable[[Any], Any], said: str) -> None:
    with pytest.raises((AttributeError, TypeError, LookupError, ValueError, ArithmeticError)) as caught:
        read(body)
    assert misread(caught.value) == said


class Mail(BaseModel):
    to: str | list[str]
    email: str


def test_an_input_that_does_not_fit_is_told_of_in_words() -> None:
    with pytest.raises(ValidationError) as caught:
        Mail.model_validate({"to": None, "email": "a@example.com"})
    assert plain_error(caught.value) == "the input does not fit: to: it is nothing, and must be said"


def test_an_example_of_an_address_can_be_written_to() -> None:
    assert sample(Mail)["email"] == "ada@example.com"
