"""The short form of `make chaos`: processes die under load, and every effect is counted."""

import pytest

from tests.chaos.__main__ import SHORT_ORDERS
from tests.chaos.cases import CASES, Case
from tests.chaos.show import play


@pytest.mark.chaos
@pytest.mark.parametrize("case", [case for case in CASES if case.short is not None], ids=lambda case: case.name)
def test_nothing_is_lost_and_nothing_doubled(case: Case) -> None:
    played = play(case, SHORT_ORDERS, short=True)
    assert played.read > 0
    assert not played.wrong, "\n".join(played.wrong[:20])
