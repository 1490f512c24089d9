"""How to talk to a company's books: queries, creating with a request id, changing with a SyncToken."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from urllib.parse import quote

from app.connector import Context, EffectKey, Json, Reply
from app.errors import PermanentError, UnsureError
from app.events import Money
from connectors.quickbooks.faults import DuplicateNameError, StaleError
from connectors.quickbooks.lines import Wanted, bookable, item_name
from connectors.quickbooks.models import Settings

Books = Context[Settings]
MOST_OF_A_NAME = 9
IN_ONE_QUERY = 40
"""Values of one `in`: a query is part of the URL, and an order may have hundreds of lines."""


def path(ctx: Books, tail: str) -> str:
    return f"/v3/company/{ctx.settings.realm_id}/{tail}"


def quoted(value: str) -> str:
    """A text of QuickBooks' query language."""
    return "'" + bookable(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


async def query(ctx: Books, entity: str, where: str, most: int = 100) -> list[dict[str, Json]]:
    """The entities for which the condition holds; an empty answer has no list."""
    text = f"select * from {entity} where {where} startposition 1 maxresults {most}"
    reply = await ctx.http.get(path(ctx, "query"), params={"query": text, **_version(ctx)})
    found = part(reply, "QueryResponse").get(entity, [])
    return list(found)


async def read(ctx: Books, entity: str, id: str) -> dict[str, Json]:
    reply = await ctx.http.get(path(ctx, f"{entity.lower()}/{quote(id, safe='')}"), params=_version(ctx))
    return part(reply, entity)


async def create(ctx: Books, entity: str, body: dict[str, Json], key: EffectKey) -> dict[str, Json]:
    """Create under a request id: QuickBooks answers a repeat with what the first one made."""
    params = {"requestid": key, **_version(ctx)}
    reply = await ctx.http.post(path(ctx, entity.lower()), params=params, json=_bookable(body))
    return part(reply, entity)


def _bookable(value: Json) -> Json:
    match value:
        case str():
            return bookable(value)
        case dict():
            return {name: _bookable(each) for name, each in value.items()}
        case list():
            return [_bookable(each) for each in value]
        case _:
            return value


async def change(ctx: Books, entity: str, id: str, send: Callable[[dict[str, Json]], Awaitable[Json]]) -> Json:
    """Read, then change what was read; once more if somebody else was quicker."""
    try:
        return await send(await read(ctx, entity, id))
    except StaleError:
        return await send(await read(ctx, entity, id))


async def operate(ctx: Books, entity: str, current: dict[str, Json], operation: str) -> dict[str, Json]:
    """`?operation=void` and its like; the SyncToken says which version is meant."""
    body = {"Id": current["Id"], "SyncToken": current["SyncToken"]}
    params = {"operation": operation, "requestid": ctx.key(f"{operation}:{current['SyncToken']}"), **_version(ctx)}
    reply = await ctx.http.post(path(ctx, entity.lower()), params=params, json=body)
    return part(reply, entity)


async def find_items(ctx: Books, wanted: Sequence[Wanted]) -> dict[Wanted, str]:
    """The id of every item: by SKU, else by name, else made (or, if the settings say so, the general sales item)."""
    found = {item: item.name for item in wanted if item.name == "SHIPPING_ITEM_ID"}
    by_sku = await _by(ctx, "Sku", [item.sku for item in wanted if item.sku])
    found |= {item: by_sku[item.sku] for item in wanted if item.sku in by_sku}
    missing = [item for item in wanted if item not in found]
    by_name = await _by(ctx, "Name", [item.name for item in missing])
    found |= {item: by_name[item.name.lower()] for item in missing if item.name.lower() in by_name}
    for item in missing:
        if item not in found:
            found[item] = await _missing_item(ctx, item)
    return found


async def _by(ctx: Books, field: str, values: Sequence[str]) -> dict[str, str]:
    if not values:
        return {}
    texts = [quoted(value) for value in dict.fromkeys(values)]
    items = [
        item
        for place in range(0, len(texts), IN_ONE_QUERY)
        for item in await query(ctx, "Item", f"{field} in ({', '.join(texts[place : place + IN_ONE_QUERY])})", 1000)
    ]
    return {_folded(field, item.get(field, "")): str(item["Id"]) for item in items if item.get("Type") != "Category"}


def _folded(field: str, value: str) -> str:
    """Names differ in more than case, SKUs may not."""
    return value.lower() if field == "Name" else value


async def _missing_item(ctx: Books, item: Wanted) -> str:
    if ctx.settings.items == "match" and item.sku:
        general = Wanted(ctx.settings.sales_item)
        return (await find_items(ctx, [general]))[general]
    body = {"Name": item_name(item.name), "Type": "NonInventory", **({"Sku": item.sku} if item.sku else {})}
    return str((await create_item(ctx, body))[0]["Id"])


async def create_item(ctx: Books, body: dict[str, Json]) -> tuple[dict[str, Json], bool]:
    """Make an item, or take the one that bears its name already; the second value says whether it was made."""
    if "IncomeAccountRef" not in body:
        body = {**body, "IncomeAccountRef": {"value": await income_account(ctx)}}
    for number in range(1, MOST_OF_A_NAME + 1):
        name = body["Name"] if number == 1 else f"{body['Name'][:96]} ({number})"
        try:
            return await create(ctx, "Item", {**body, "Name": name}, ctx.key(f"item:{name}")), True
        except DuplicateNameError:
            if there := await query(ctx, "Item", f"Name = {quoted(name)}", 1):
                return there[0], False  # else what bears the name is inactive: the next number
    raise PermanentError(f"QuickBooks has too many inactive items called {body['Name']!r}: make one of them active")


async def income_account(ctx: Books) -> str:
    if ctx.settings.income_account:
        return ctx.settings.income_account
    accounts = await query(ctx, "Account", "AccountType = 'Income'", 1)
    if not accounts:
        raise PermanentError("the company has no income account: name one in the connection's income_account")
    return str(accounts[0]["Id"])


async def made_by(ctx: Books, entity: str, where: str) -> dict[str, Json] | None:
    """What an earlier attempt of this call made: its private note holds the effect key. The newest come first."""
    for each in await query(ctx, entity, f"{where} orderby MetaData.CreateTime desc", 1000):
        if str(ctx.key) in each.get("PrivateNote", ""):
            return each
    return None


def note(ctx: Books, about: str) -> str:
    return f"{about} [tradewind {ctx.key}]"


def part(reply: Reply, name: str) -> dict[str, Json]:
    """What the answer holds under a name. UnsureError for an answer without it: nobody can say what was done."""
    answer = reply.json()
    held = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(held, dict):
        raise UnsureError(f"QuickBooks' answer has no {name}", status=reply.status)
    return held


def amount(value: Json, currency: str) -> Money:
    return Money(amount=Decimal(str(value)), currency=currency)


def check(entity: dict[str, Json], names: Iterable[str]) -> None:
    """UnsureError for an answer without what every answer has."""
    for name in names:
        if name not in entity:
            raise UnsureError(f"QuickBooks' answer has no {name}")


def _version(ctx: Books) -> dict[str, str]:
    return {"minorversion": str(ctx.settings.minor_version)}
