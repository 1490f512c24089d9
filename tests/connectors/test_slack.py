"""Slack: what a message looks like, who may not be woken by it, and what Slack's errors mean."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.connector import Reply
from app.errors import CredentialError, PermanentError, RetryableError, TradewindError, UnsureError
from app.events import Customer, Dispute, HubTrouble, LineItem, Money, Order, Totals
from connectors.slack.actions import SAMPLE_CHANNEL, SAMPLE_TS, example_order
from connectors.slack.cards import blocks_of, escape, length_of, pieces, text_of
from connectors.slack.faults import problem
from connectors.slack.models import PostMessage, ReplyInThread, Settings, UpdateMessage, UploadFile
from connectors.slack.sandbox import HOOK
from tests.connectors.conftest import BASE, Bench


def keyed(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def hook(slack: Bench) -> Bench:
    """The same workspace by its incoming webhook."""
    slack.settings = {"webhook_url": f"{BASE}/slack/services/{HOOK}"}
    return slack


# --- messages ---------------------------------------------------------------------------------------------------


async def test_a_message_with_a_card_arrives_escaped(slack: Bench) -> None:
    made = await slack.ok("post_message")
    assert (made.channel, bool(made.ts)) == ("C0ORDERS001", True)
    message = (await slack.state())["messages"]["orders"][0]
    assert [block["type"] for block in message["blocks"]] == ["section", "header", "section", "section", "actions"]
    assert message["blocks"][3]["text"]["text"] == "2 × Mug &lt;blue&gt; &amp; white"


async def test_a_buyer_called_everyone_wakes_nobody(slack: Bench) -> None:
    order = example_order().model_copy(update={"customer": Customer(name="<!channel>"), "note": "<@U1> hi"})
    await slack.ok("post_message", PostMessage(channel="#orders", text="<!here> from <!channel>", order=order))
    kept = str((await slack.state())["messages"]["orders"])
    assert "<!" not in kept
    assert "<@" not in kept


async def test_markup_of_ones_own_stays(slack: Bench) -> None:
    await slack.ok("post_message", PostMessage(channel="#orders", text="<!here> *look*", markup=True))
    assert (await slack.state())["messages"]["orders"][0]["text"] == "<!here> *look*"


async def test_a_reply_stands_in_the_thread_of_its_message(slack: Bench) -> None:
    first = await slack.ok("post_message")
    await slack.ok("reply_in_thread", ReplyInThread(text="paid", channel=first.channel, ts=first.ts), key=keyed(1))
    messages = (await slack.state())["messages"]["orders"]
    assert messages[1]["thread_ts"] == messages[0]["ts"]


async def test_an_update_changes_the_message_and_posts_none(slack: Bench) -> None:
    first = await slack.ok("post_message")
    await slack.ok("update_message", UpdateMessage(text="shipped", channel=first.channel, ts=first.ts), key=keyed(1))
    assert [each["text"] for each in (await slack.state())["messages"]["orders"]] == ["shipped"]


@pytest.mark.parametrize("text", ["<b> & so on\n" * 330, "日本語 " * 1500, "🎉" * 2500, "&" * 1700, "é" * 2001])
async def test_a_long_text_of_a_changed_message_is_shown_whole(slack: Bench, text: str) -> None:
    """Slack refuses a text of more than 4,000 bytes there, though it takes ten times that in a new message."""
    await slack.ok("update_message", UpdateMessage(channel=SAMPLE_CHANNEL, ts=SAMPLE_TS, text=text))
    (message,) = (await slack.state())["messages"]["general"]
    assert 1900 < len(message["text"].encode()) <= 4000
    assert not re.search(r"&[a-z]*$", message["text"].removesuffix(" …"))
    shown = [block["text"]["text"] for block in message["blocks"]]
    assert "".join("".join(shown).split()) == "".join(escape(text, 40000).split())
    assert all(len(part) <= 3000 for part in shown)


async def test_a_text_of_a_changed_message_that_fits_needs_no_blocks(slack: Bench) -> None:
    await slack.ok("update_message", UpdateMessage(channel=SAMPLE_CHANNEL, ts=SAMPLE_TS, text="x" * 4000))
    (message,) = (await slack.state())["messages"]["general"]
    assert (message["text"], message["blocks"]) == ("x" * 4000, [])


async def test_a_file_is_shared_with_its_bytes(slack: Bench) -> None:
    await slack.ok("upload_file", UploadFile(name="a.bin", content="AAEC", title="A", channel="C0FINANCE01"))
    assert [(file["name"], file["length"]) for file in (await slack.state())["files"]] == [("a.bin", 3)]


async def test_a_file_for_a_channels_name_is_refused_before_it_is_uploaded(slack: Bench) -> None:
    failed = await slack.failed("upload_file", UploadFile(name="a.txt", text="a", channel="#finance"))
    assert (failed.kind, "a channel's id" in failed.error) == ("permanent", True)
    assert await slack.requests() == []


async def test_a_long_text_above_a_card_is_shown_whole(slack: Bench) -> None:
    text = " ".join(f"{number} <a> & b" for number in range(350))
    await slack.ok("post_message", PostMessage(channel="#orders", text=text, order=example_order()))
    blocks = (await slack.state())["messages"]["orders"][0]["blocks"]
    shown = " ".join(block["text"]["text"] for block in blocks if "text" in block)
    assert "349 &lt;a&gt; &amp; b" in shown
    assert all(len(block["text"]["text"]) <= 3000 for block in blocks if "text" in block)


@pytest.mark.parametrize("text", ["<a> & b " * 5000, "x" * 40000, "\n" * 39999 + "x", "x" + " " * 39999, "&" * 40000])
@pytest.mark.parametrize("note", ["short", "&" * 4000])
async def test_blocks_hold_no_more_than_slack_takes_however_long_the_text_above_a_card(
    slack: Bench, text: str, note: str
) -> None:
    order = example_order().model_copy(update={"note": note})
    message = PostMessage(channel="#orders", text=text, order=order)
    await slack.ok("post_message", message)
    blocks = (await slack.state())["messages"]["orders"][0]["blocks"]
    assert length_of(blocks) <= 10500
    assert blocks[-1] == (blocks_of(PostMessage(order=order)) or [])[-1]
    above = "".join(block["text"]["text"] for block in blocks if block["type"] == "section" and "text" in block)
    assert "…" in above or len(text.strip()) == 1
    assert not re.search(r"&(?!(amp|lt|gt);)", above)


@pytest.mark.parametrize("action", ["post_message", "update_message"])
async def test_blocks_of_ones_own_that_hold_too_much_are_refused_for_good(slack: Bench, action: str) -> None:
    first = await slack.ok("post_message")
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2500}}
    model = PostMessage(blocks=[section] * 5)
    if action == "update_message":
        model = UpdateMessage(blocks=[section] * 5, channel=first.channel, ts=first.ts)
    failed = await slack.failed(action, model, key=keyed(1))
    assert failed.kind == "permanent"
    assert "msg_blocks_too_long" in failed.error


@given(st.text(alphabet="ab \n&<>", max_size=300), st.integers(12, 60), st.booleans())
def test_a_text_in_pieces_is_the_text(text: str, most: int, markup: bool) -> None:
    whole = text if markup else escape(text, 4000)
    parts = pieces(whole, most)
    assert all(0 < len(part) <= most for part in parts)
    assert "".join("".join(parts).split()) == "".join(whole.split())
    assert markup or not any(re.search(r"&(amp|lt|gt|am|a|l|g|lt|gt)?$", part) for part in parts)


async def test_three_long_cards_in_one_message_are_no_more_than_slack_takes(slack: Bench) -> None:
    """Their fields give way: each still says the beginning of what it has to say."""
    long = "<long & windy> " * 200
    titled = [LineItem(title=long, quantity=2)] * 40
    input = PostMessage(
        channel="#orders",
        text=long,
        order=example_order().model_copy(update={"note": long, "payment_status": long, "line_items": titled}),
        dispute=Dispute(id=long, reason=long, status=long, order_id=long, payment_id=long),
        trouble=HubTrouble(title=long, recipe=long, step=long, connection=long, reason=long, url="https://x/" + long),
    )
    blocks = blocks_of(input) or []
    assert length_of(blocks) <= 10500
    assert len([block for block in blocks if block["type"] == "header"]) == 3
    fields = [field["text"] for block in blocks for field in block.get("fields", ())]
    assert len(fields) == 11
    assert max(map(len, fields)) > 300
    await slack.ok("post_message", input)


def test_a_text_of_blanks_is_no_text_above_a_card() -> None:
    blocks = blocks_of(PostMessage(text=" " * 20000, order=example_order()))
    assert blocks == blocks_of(PostMessage(order=example_order()))


async def test_a_webhook_posts_into_its_own_channel(hook: Bench) -> None:
    made = await hook.ok("post_message", PostMessage(text="hello"))
    assert (made.channel, made.ts) == (None, None)
    assert (await hook.state())["messages"]["general"][0]["text"] == "hello"


async def test_a_webhook_cannot_do_the_rest(hook: Bench) -> None:
    to_channel = await hook.failed("post_message", PostMessage(text="x", channel="#orders"))
    assert "own channel" in to_channel.error
    assert "bot token" in (await hook.failed("reply_in_thread")).error
    assert await hook.test() == "An incoming webhook can only be tested by posting."


async def test_a_webhook_that_was_removed_is_a_matter_of_credentials(hook: Bench) -> None:
    failed = await hook.failed("post_message", PostMessage(text="x"), webhook_url=f"{BASE}/slack/services/gone")
    assert failed.kind == "credential"


async def test_a_channel_has_its_own_limit(slack: Bench) -> None:
    """The vendor's fake refuses the eleventh message of ten seconds in one channel, and not another channel's."""
    for number in range(10):
        await slack.ok("post_message", key=keyed(number))
    throttled = await slack.failed("post_message", key=keyed(11))
    assert (throttled.kind, throttled.retry_after) == ("throttled", 1)
    await slack.ok("post_message", PostMessage(text="x", channel="#alerts"), key=keyed(12))


@pytest.mark.parametrize(
    ("channel", "error"),
    [("#nowhere", "channel_not_found"), ("#archived", "is_archived"), ("#private", "not_in_channel")],
)
async def test_a_channel_that_cannot_be_posted_to_is_permanent(slack: Bench, channel: str, error: str) -> None:
    failed = await slack.failed("post_message", PostMessage(text="x", channel=channel))
    assert failed.kind == "permanent"
    assert error in failed.error


async def test_blocks_that_slack_does_not_know_are_refused(slack: Bench) -> None:
    failed = await slack.failed("post_message", PostMessage(blocks=[{"type": "hologram"}]))
    assert "invalid_blocks" in failed.error


async def test_an_empty_message_is_not_sent(slack: Bench) -> None:
    assert (await slack.failed("post_message", PostMessage())).kind == "permanent"
    assert await slack.requests() == []


# --- cards ------------------------------------------------------------------------------------------------------


def test_a_dispute_says_what_is_asked_and_until_when() -> None:
    due = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
    dispute = Dispute(
        amount=Money(amount="50", currency="EUR"), reason="fraudulent", due_by=due, url="https://x.example/1"
    )
    message = PostMessage(dispute=dispute)
    shown = str(blocks_of(message))
    assert text_of(message) == "Dispute over 50.00 EUR"
    assert "2026-12-01 09:30 UTC" in shown
    assert "https://x.example/1" in shown


def test_a_trouble_says_where_it_is_and_how_often() -> None:
    trouble = HubTrouble(title="A lane is parked", connection="books", count=3, reason="503 <b>")
    shown = str(blocks_of(PostMessage(trouble=trouble)))
    assert "A lane is parked" in shown
    assert "*Times*\\n3" in shown
    assert "503 &lt;b&gt;" in shown


def test_a_link_that_is_no_web_address_is_left_out() -> None:
    order = Order(id="1", links={"admin": "javascript:alert(1)"})
    assert "javascript" not in str(blocks_of(PostMessage(order=order)))


texts = st.text(max_size=4000)


@given(texts, texts, st.lists(texts, max_size=30))
def test_a_card_keeps_slacks_bounds_whatever_is_written_into_it(name: str, note: str, titles: list[str]) -> None:
    order = Order(
        number=name or None,
        note=note or None,
        customer=Customer(name=name or None),
        totals=Totals(total=Money.zero("EUR")),
        line_items=[LineItem(title=title or None) for title in titles],
    )
    blocks = blocks_of(PostMessage(text=note or None, order=order)) or []
    assert len(blocks) <= 50
    for block in blocks:
        if block["type"] == "header":
            assert 1 <= len(block["text"]["text"]) <= 150
        for text in [block["text"]["text"]] if block["type"] == "section" and "text" in block else []:
            assert 1 <= len(text) <= 3000
        assert all(1 <= len(field["text"]) <= 2000 for field in block.get("fields", ()))


@given(st.text(alphabet="a&<>;", max_size=60), st.integers(8, 40))
def test_escaping_never_cuts_an_entity_or_lets_a_bracket_through(text: str, most: int) -> None:
    plain = escape(text, most)
    assert len(plain) <= most
    assert not set(plain) & {"<", ">"}
    rest = plain.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert "&" not in rest


# --- settings and faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [{}, {"bot_token": "xoxb-1", "webhook_url": "https://hooks.slack.com/services/1"}, {"webhook_url": "https://x/y"}],
)
def test_a_connection_is_by_token_or_by_webhook(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(values)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, '{"ok":false,"error":"channel_not_found"}', PermanentError),
        (200, '{"ok":false,"error":"something_new"}', PermanentError),
        (200, '{"ok":false}', PermanentError),
        (200, '{"ok":false,"error":"invalid_auth"}', CredentialError),
        (200, '{"ok":false,"error":"token_revoked"}', CredentialError),
        (200, '{"ok":false,"error":"ratelimited"}', RetryableError),
        (429, '{"ok":false,"error":"ratelimited"}', RetryableError),
        (503, '{"ok":false,"error":"service_unavailable"}', RetryableError),
        (200, '{"ok":false,"error":"internal_error"}', UnsureError),
        (200, '{"ok":false,"error":"fatal_error"}', UnsureError),
        (403, "invalid_token", CredentialError),
        (404, "no_service", CredentialError),
        (404, "channel_not_found", PermanentError),
        (410, "channel_is_archived", PermanentError),
        (400, "invalid_payload", PermanentError),
        (500, "rollup_error", UnsureError),
    ],
)
def test_each_error_ends_in_its_class(status: int, body: str, error: type[TradewindError]) -> None:
    assert type(problem(Reply(status, {}, body.encode()))) is error


@pytest.mark.parametrize("body", [b"ok", b"", b'{"ok":true}', b'{"ok": tr', b"<html>"])
def test_what_says_no_error_is_left_to_its_status(body: bytes) -> None:
    assert problem(Reply(200, {}, body)) is None


def test_slack_says_how_long_to_wait() -> None:
    error = problem(Reply(429, {"retry-after": "30"}, b'{"ok":false,"error":"ratelimited"}'))
    assert isinstance(error, RetryableError)
    assert error.retry_after == 30
