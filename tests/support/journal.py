"""Every request that any sandbox took in a test run, in whichever process, held against the vendor's description.

The sandboxes write it down (`app/sandbox_journal.py`); after each test what is new is judged, and the test fails that
sent what its vendor would not take, or whose sandbox answered what the vendor would not.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import orjson

from app.sandbox_journal import Exchange


@dataclass
class Judged:
    """What came of the exchanges of one test. counts: (connector, checked | left out | undescribed | refused)."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Journal:
    """The folder in which sandboxes write, and how far each file was read."""

    folder: Path
    read: dict[str, int] = field(default_factory=dict)

    def judge_new(self) -> Judged:
        judged = Judged()
        for exchange in self._new():
            _judge(exchange, judged)
        return judged

    def _new(self) -> Iterator[Exchange]:
        for path in self.folder.glob("*.jsonl"):
            at = self.read.get(path.name, 0)
            if path.stat().st_size == at:
                continue
            with path.open("rb") as file:
                file.seek(at)
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]  # a process may be in the middle of a line
            self.read[path.name] = at + len(whole)
            yield from (Exchange(**orjson.loads(line)) for line in whole.splitlines())


def _judge(exchange: Exchange, judged: Judged) -> None:
    from tests.support.byhand import TAKEN, wrong_with  # only where there is something to judge
    from tests.support.contracts import NOT_DESCRIBED, judge, refuses

    slug, answer = exchange.connector, _answer(exchange)
    if slug in TAKEN and answer is not None and answer.status_code < 400:
        judged.counts[slug, "checked by hand"] += 1
        if wrong := wrong_with(slug, _request(exchange)):
            judged.wrong.append(f"{slug}: {exchange.method} {exchange.target}: {'; '.join(wrong)}")
        return
    if slug not in NOT_DESCRIBED:
        judged.counts[slug, "undescribed"] += 1
        return
    if answer is not None and (answer.status_code >= 400 or refuses(answer)):
        judged.counts[slug, "refused"] += 1  # by the sandbox itself, as the vendor would: tests of that
        return
    verdict = judge(slug, _request(exchange), answer)
    if verdict is None:
        judged.counts[slug, "undescribed"] += 1
        return
    judged.counts[slug, "left out" if verdict.wrong is None else "checked"] += 1
    if verdict.wrong:
        judged.wrong.append(f"{slug}: {exchange.method} {exchange.target}: {'; '.join(verdict.wrong)}")


def _request(exchange: Exchange) -> httpx.Request:
    url = f"http://sandbox/{exchange.connector}{exchange.target}"
    body = exchange.body.encode("latin-1")
    return httpx.Request(exchange.method, url, headers=[tuple(each) for each in exchange.headers], content=body)


def _answer(exchange: Exchange) -> httpx.Response | None:
    if exchange.told or exchange.status is None:
        return None
    headers = [tuple(each) for each in exchange.answer_headers or ()]
    return httpx.Response(exchange.status, headers=headers, content=exchange.answer.encode("latin-1"))


def told(counts: Counter[tuple[str, str]]) -> Iterator[str]:
    """The lines that the end of a run prints."""
    by_system: dict[str, Counter[str]] = {}
    for (slug, what), number in counts.items():
        by_system.setdefault(slug, Counter())[what] += number
    for slug, found in sorted(by_system.items()):
        yield f"  {slug:12} " + ", ".join(f"{number} {what}" for what, number in sorted(found.items()))
