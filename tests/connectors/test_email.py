"""E-mail: what is in a message, who gets it, and what can not be smuggled into it."""

import base64
import email
from collections.abc import AsyncIterator
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.connector import EffectKey, Suppression
from app.errors import PermanentError
from app.events import Order, OrderEvent
from app.pipeline.match.simulate import Simulation, Told
from app.recipes import RegistryCatalogue, load_text
from connectors.email.message import compose, text_of
from connectors.email.models import Attachment, Send, Settings
from tests.connectors.conftest import KEY, NOW, REGISTRY, Bench, open_bench

PDF = b"%PDF-1.4\nan invoice\n.\n..\n%%EOF"


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async for each in open_bench(REGISTRY["email"]):
        yield each


def mail(**fields: Any) -> Send:
    return Send.model_validate({"to": "ada@example.com", "subject": "Your order", "text": "Thank you.", **fields})


async def only(bench: Bench) -> dict[str, Any]:
    (message,) = (await bench.state())["messages"]
    return dict(message)


async def raw(bench: Bench) -> EmailMessage:
    """The message as it went over the wire, parsed back."""
    (request,) = [each for each in await bench.requests() if each["method"] == "SMTP"]
    return email.message_from_string(request["body"], _class=EmailMessage, policy=policy.default)


async def test_text_html_and_an_invoice_arrive_as_they_are(bench: Bench) -> None:
    pdf = Attachment(name="invoice-1001.pdf", content=base64.b64encode(PDF).decode(), content_type="application/pdf")
    text = "Grüße,\n.\n..punkt\nein Tee für 4,90 €\n"
    await bench.ok("send", mail(text=text, html="<p>Grüße &amp; Tee</p>", attachments=[pdf]))
    said = await only(bench)
    assert said["text"] == text
    assert said["html"] == "<p>Grüße &amp; Tee</p>\n"
    assert said["attachments"][0] | {"sha256": ""} == {
        "name": "invoice-1001.pdf",
        "content_type": "application/pdf",
        "size": len(PDF),
        "sha256": "",
    }
    page = await bench.people.get(f"/email/{said['id']}/files/0")
    assert page.content == PDF


async def test_the_same_call_makes_the_same_bytes_and_message_id(bench: Bench) -> None:
    pdf = Attachment(name="a.pdf", content=base64.b64encode(PDF).decode())
    first = await bench.ok("send", mail(html="<p>Hi</p>", attachments=[pdf]))
    again = await bench.ok("send", mail(html="<p>Hi</p>", attachments=[pdf]))
    one, other = [each["body"] for each in await bench.requests() if each["method"] == "SMTP"]
    assert one == other
    assert first.message_id == again.message_id == f"<{KEY.hex()}@demo-store.example>"
    assert (await bench.ok("send", mail(), key=bytes(16))).message_id != first.message_id


async def test_every_line_fits_what_servers_take(bench: Bench) -> None:
    await bench.ok("send", mail(text="é" * 5000, html=f"<p>{'x' * 5000}</p>", subject="Ω" * 300))
    (request,) = [each for each in await bench.requests() if each["method"] == "SMTP"]
    assert max(len(line) for line in request["body"].split("\r\n")) <= 998
    assert request["body"].isascii()
    assert (await raw(bench))["Subject"] == "Ω" * 300


async def test_a_text_is_made_for_who_reads_no_html(bench: Bench) -> None:
    await bench.ok("send", mail(text=None, html="<h1>Hi  Ada</h1><p>See <a href='https://x.example/1'>it</a>.</p>"))
    assert (await only(bench))["text"] == "Hi Ada\n\nSee it (https://x.example/1).\n"


def test_styles_and_scripts_are_no_text() -> None:
    assert text_of("<table><tr><td>Mug<td>24.00 EUR<tr><td>Cup<td>9.00 EUR</table>") == "Mug 24.00 EUR\nCup 9.00 EUR\n"
    assert text_of("<style>p{}</style><ul><li>One<li>Two</ul><script>x()</script>") == "- One\n- Two\n"


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "Hi\r\nBcc: eve@example.com"},
        {"subject": "Hi\nX: 1"},
        {"subject": "Hi\x00"},
        {"to": "ada@example.com\r\nBcc: eve@example.com"},
        {"to": "Ada\nBcc: eve@example.com <ada@example.com>"},
        {"to": "ada@example.com> RCPT TO:<eve@example.com"},
        {"to": "ada@example.com, eve@example.com"},
        {"to": "ada@example.com\u2028eve"},
        {"to": "<ada@example.com> <eve@example.com>"},
        {"to": "nobody"},
        {"to": []},
        {"reply_to": "a@b.example\nBcc: eve@example.com"},
        {"headers": {"X-Campaign": "a\r\nBcc: eve@example.com"}},
        {"subject": "Hi =?utf-8?q?a=0d=0aBcc:_eve@example.com?="},
        {"subject": "Hi\x85Bcc: eve@example.com"},
        {"to": "=?utf-8?b?YQ0KQmNjOiBldmVAZXhhbXBsZS5jb20=?= <ada@example.com>"},
        {"to": "=?utf-8?q?=0d=0aBcc=3A_eve?=@example.com"},
        {"headers": {"X-Campaign": "=?utf-8?q?=0d=0aBcc:_eve@example.com?="}},
        {"attachments": [{"name": "=?utf-8?q?=0d=0aBcc:_eve?=.pdf", "content": "YQ=="}]},
        {"headers": {"Bcc": "eve@example.com"}},
        {"headers": {"X-A\r\nBcc": "eve@example.com"}},
        {"attachments": [{"name": "a\r\nX: 1", "content": ""}]},
        {"attachments": [{"name": "a", "content": "", "content_type": "text/plain\r\nX: 1"}]},
        {"attachments": [{"name": "a", "content": "no base64!"}]},
        {"text": None},
    ],
    ids=str,
)
def test_what_would_smuggle_headers_or_recipients_in_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mail(**fields)


def test_no_line_break_reaches_a_header_whoever_let_it_through() -> None:
    unchecked = mail().model_copy(update={"subject": "=?utf-8?q?a=0d=0aBcc:_eve@example.com?="})
    with pytest.raises(PermanentError, match="header Subject"):
        compose(Settings(sender="o@shop.example", host="h"), unchecked, EffectKey("0" * 32), NOW, None, [])


async def test_names_of_other_scripts_and_odd_signs_stay_names(bench: Bench) -> None:
    to = ['"Lovelace, Ada" <ada@example.com>', "Grüße Ωmega <grace@bücher.example>"]
    await bench.ok("send", mail(to=to, cc="kim@example.com", bcc="boss@example.com"))
    message = await raw(bench)
    assert [(each.display_name, each.addr_spec) for each in message["To"].addresses] == [
        ("Lovelace, Ada", "ada@example.com"),
        ("Grüße Ωmega", "grace@xn--bcher-kva.example"),
    ]
    assert message["Bcc"] is None
    assert set((await only(bench))["rcpt_to"]) == {
        "ada@example.com",
        "grace@xn--bcher-kva.example",
        "kim@example.com",
        "boss@example.com",
    }


async def test_a_reader_can_unsubscribe_with_one_click(bench: Bench) -> None:
    await bench.ok("send", mail(), unsubscribe_mailto="stop@demo-store.example")
    message = await raw(bench)
    ways = "<https://hub.example/unsubscribe/ada>, <mailto:stop@demo-store.example?subject=unsubscribe>"
    assert message["List-Unsubscribe"] == ways
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


async def test_the_link_stands_in_its_header_as_mail_programs_read_it(bench: Bench) -> None:
    """Never as an encoded word, however long it is: those are for people, and no mailbox would show a button."""
    to = f"{'a' * 60}@{'b' * 60}.example"
    await bench.ok("send", mail(to=to), unsubscribe_mailto="leave@demo-store.example")
    (request,) = [each for each in await bench.requests() if each["method"] == "SMTP"]
    link = f"https://hub.example/unsubscribe/{'a' * 60}"
    ways = f"List-Unsubscribe: <{link}>,\r\n <mailto:leave@demo-store.example?subject=unsubscribe>\r\n"
    assert ways in request["body"]
    assert f"Message-ID: <{KEY.hex()}@demo-store.example>\r\n" in request["body"]


async def test_a_confirmation_offers_nothing_to_unsubscribe_from(bench: Bench) -> None:
    await bench.ok("send", mail(purpose="transactional"))
    assert (await raw(bench))["List-Unsubscribe"] is None


async def test_who_unsubscribed_is_not_written_to_and_the_reason_is_plain(bench: Bench) -> None:
    assert bench.suppressions is not None
    bench.suppressions.kept["ada@example.com"] = Suppression("unsubscribed", NOW)
    failed = await bench.failed("send", mail(to="Ada <Ada@example.com>"))
    assert failed.kind == "permanent"
    assert "Ada@example.com is on the suppression list (unsubscribed since 2026-11-20)" in failed.error
    skipped = await bench.ok("send", mail(if_suppressed="skip"))
    assert not skipped.sent
    assert "unsubscribed" in (skipped.reason or "")
    assert not (await bench.state())["messages"]


async def test_what_was_ordered_is_told_to_who_wants_no_advertising_but_to_no_dead_mailbox(bench: Bench) -> None:
    assert bench.suppressions is not None
    bench.suppressions.kept |= {
        "ada@example.com": Suppression("unsubscribed", NOW),
        "old@example.com": Suppression("bounced", NOW),
    }
    assert (await bench.ok("send", mail(purpose="transactional"))).sent
    assert "bounced" in (await bench.failed("send", mail(to="old@example.com", purpose="transactional"))).error


async def test_the_others_get_it_where_one_is_left_out(bench: Bench) -> None:
    assert bench.suppressions is not None
    bench.suppressions.kept["eve@example.com"] = Suppression("complained", NOW)
    sent = await bench.ok("send", mail(to=["ada@example.com", "eve@example.com"], if_suppressed="skip"))
    assert sent.to == ["ada@example.com"]
    assert "eve@example.com" in (sent.reason or "")
    assert str((await raw(bench))["To"]) == "ada@example.com"


async def test_a_mailbox_that_is_not_there_is_remembered_as_bounced(bench: Bench) -> None:
    assert bench.suppressions is not None
    failed = await bench.failed("send", mail(to=["ada@example.com", "bounce@example.com"]))
    assert failed.kind == "permanent"
    assert "550 5.1.1" in failed.error
    assert bench.suppressions.kept["bounce@example.com"].reason == "bounced"
    assert not (await bench.state())["messages"], "where one is refused nobody gets it"


async def test_a_full_mailbox_is_tried_again_and_not_remembered(bench: Bench) -> None:
    assert bench.suppressions is not None
    assert (await bench.failed("send", mail(to="full@example.com"))).kind == "retryable"
    assert not bench.suppressions.kept


async def test_a_sender_who_is_not_ours_is_refused(bench: Bench) -> None:
    failed = await bench.failed("send", mail(), sender="Eve <eve@example.com>")
    assert failed.kind == "permanent"
    assert "553" in failed.error


async def test_a_mailbox_can_be_read_in_the_browser_and_runs_no_script(bench: Bench) -> None:
    html = "<p>Hi</p><script>alert(1)</script><img src='https://tracker.example/x'>"
    await bench.ok("send", mail(subject="<b>1001</b>", html=html))
    listing = await bench.people.get("/email/")
    assert "&lt;b&gt;1001&lt;/b&gt;" in listing.text
    page = await bench.people.get("/email/1")
    assert "<script>" not in page.text
    assert "<iframe sandbox src" in page.text
    shown = await bench.people.get("/email/1/html")
    assert "sandbox; default-src 'none'" in shown.headers["content-security-policy"]
    assert (await bench.people.get("/email/2")).status_code == 404


async def test_the_link_can_be_shown_in_the_mail_too(bench: Bench) -> None:
    await bench.ok("send", mail(text="Stop: %unsubscribe%", html="<a href='%unsubscribe%'>Stop</a>"))
    said = await only(bench)
    assert said["text"] == "Stop: https://hub.example/unsubscribe/ada\n"
    assert said["html"] == "<a href='https://hub.example/unsubscribe/ada'>Stop</a>\n"
    assert bench.suppressions is not None
    bench.suppressions.links = False
    await bench.ok("send", mail(text="Stop: %unsubscribe%"))
    assert (await bench.state())["messages"][1]["text"] == (
        "Stop: mailto:orders@demo-store.example?subject=unsubscribe\n"
    )


def test_the_example_of_its_page_is_a_good_recipe() -> None:
    page = (Path(__file__).parents[2] / "docs" / "connectors" / "email.md").read_text()
    recipe = next(block.split("\n```")[0] for block in page.split("```yaml\n") if block.startswith("title:"))
    loaded = load_text(recipe, "confirm", RegistryCatalogue(REGISTRY))
    assert [str(problem) for problem in loaded.problems] == []
    assert loaded.recipe is not None
    order = Order.model_validate({"id": "1", "number": "#1", "email": "ada@example.com"})
    world = Simulation(loaded.recipe, {each.slug: each for each in REGISTRY}, {})
    world.told = {"pdf": [Told({"name": "invoice.pdf", "content": "JVBERg==", "size": 4})]}
    world.happen("order.paid", OrderEvent(order=order))
    mailed = world.calls[-1]
    assert (mailed.use, mailed.values["subject"]) == ("email.send", "Your order #1")
    assert mailed.values["attachments"][0]["name"] == "invoice.pdf"
    assert world.runs[-1].state == "done"
