"""Sending mail. SMTP drops no repeats: when nobody can know whether a mail went, it is left at that."""

from collections.abc import Mapping

from app.connector import Action, Context, Counts, Envelope, Suppression, action, unsafe
from app.errors import PermanentError
from connectors.email.message import compose, message_id
from connectors.email.models import Send, Sent, Settings, listed, parsed


@action(
    safe=unsafe,
    if_unsure="skip",
    example=lambda: Send(
        to=["Ada Example <ada@example.com>"],
        subject="Your order #1001",
        text="Thank you for your order.",
        html="<p>Thank you for your order.</p>",
    ),
    counts=lambda input: Counts(contacts=len(input.everybody)),
)
async def send(ctx: Context[Settings], input: Send) -> Sent:
    """Send a mail, with text, HTML and attachments. Addresses on the suppression list are not written to; when nobody
    can know whether it was taken, it is not sent again (`if_unsure: repeat` sends it under the same Message-ID)."""
    left_out = _binding(await ctx.mail.suppressed(input.everybody), input)
    if left_out and input.if_suppressed == "fail":
        raise PermanentError(_why(left_out))
    receivers = [address for address in input.everybody if address not in left_out]
    first = {parsed(each).addr_spec for each in listed(input.to)}
    if not first & set(receivers):
        return Sent(sent=False, reason=_why(left_out))
    link = ctx.mail.unsubscribe_url(receivers[0]) if len(receivers) == 1 else None
    content = compose(ctx.settings, input, ctx.key, ctx.now, link, receivers)
    said = await ctx.mail.send(Envelope(parsed(ctx.settings.sender).addr_spec, tuple(receivers), content))
    reason = _why(left_out) if left_out else None
    return Sent(sent=True, message_id=message_id(ctx.settings, ctx.key), to=receivers, said=said[:500], reason=reason)


def _binding(found: Mapping[str, Suppression], input: Send) -> dict[str, Suppression]:
    """Those that count for this mail: what somebody ordered is told to them, though they want no advertising."""
    told_all_the_same = ("unsubscribed",) if input.purpose == "transactional" else ()
    return {address: each for address, each in found.items() if each.reason not in told_all_the_same}


def _why(left_out: dict[str, Suppression]) -> str:
    return "; ".join(
        f"{address} is on the suppression list ({each.reason} since {each.since:%Y-%m-%d}): nothing was sent there"
        for address, each in left_out.items()
    )


ACTIONS: list[Action] = [send]
