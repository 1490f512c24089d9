"""QuickBooks as shipped, but without the vendor's 500 requests a minute and with the patience that suits a
company on this machine: only for our own sandbox."""

from dataclasses import replace
from functools import partial

from connectors.quickbooks import connector as shipped
from connectors.quickbooks.sandbox import sandbox

assert shipped.http is not None
connector = replace(
    shipped,
    http=replace(shipped.http, limits=(), at_once=20, timeout=3),
    sandbox=partial(sandbox, per_minute=1_000_000, at_once=1_000),
)
