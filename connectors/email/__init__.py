"""E-mail: by SMTP, with text, HTML, attachments and one-click unsubscribing."""

from app.connector import Connector, Context, Limit, MailServer, SmtpOptions
from connectors.email.actions import ACTIONS
from connectors.email.models import Settings
from connectors.email.sandbox import sandbox


def _server(settings: Settings) -> MailServer:
    return MailServer(settings.host, settings.port, settings.security, settings.username, settings.password)


async def _test(ctx: Context[Settings]) -> str:
    return await ctx.mail.greet()


connector = Connector(
    slug="email",
    title="E-mail",
    category="e-mail",
    settings=Settings,
    account="sender",
    actions=ACTIONS,
    smtp=SmtpOptions(_server, at_once=4, limits=(Limit(20, 1.0),)),
    sandbox=sandbox,
    test=_test,
)
