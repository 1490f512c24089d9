"""QuickBooks Online: customers, invoices, receipts, credit and payments from orders."""

from app.connector import Connector, Context, HttpOptions, Limit, OAuth2
from connectors.quickbooks.actions import ACTIONS
from connectors.quickbooks.faults import problem
from connectors.quickbooks.models import Settings
from connectors.quickbooks.sandbox import sandbox


def _base_url(settings: Settings) -> str:
    return f"https://{'sandbox-' if settings.sandbox_company else ''}quickbooks.api.intuit.com"


async def _test(ctx: Context[Settings]) -> str:
    reply = await ctx.http.get(
        f"/v3/company/{ctx.settings.realm_id}/companyinfo/{ctx.settings.realm_id}",
        params={"minorversion": str(ctx.settings.minor_version)},
    )
    company = reply.json()["CompanyInfo"]
    return f"{company['CompanyName']} ({company.get('Country', 'country unknown')})"


def _first(settings: Settings) -> str | None:
    return settings.refresh_token.get_secret_value() if settings.refresh_token else None


connector = Connector(
    slug="quickbooks",
    title="QuickBooks Online",
    category="accounting",
    settings=Settings,
    account="realm_id",
    actions=ACTIONS,
    auth=OAuth2(
        authorize_url="https://appcenter.intuit.com/connect/oauth2",
        token_url="https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",  # noqa: S106
        scopes=["com.intuit.quickbooks.accounting"],
        client=lambda settings: (settings.client_id, settings.client_secret.get_secret_value()),
        first=_first,
        account_parameter="realmId",
    ),
    http=HttpOptions(
        base_url=_base_url,
        headers={"accept": "application/json"},
        at_once=10,
        limits=(Limit(500, 60),),
        timeout=30,
        problem=problem,
    ),
    sandbox=sandbox,
    test=_test,
)
