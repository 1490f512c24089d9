"""The suppression list: addresses that unsubscribed, bounced or complained, and the links by which readers say so."""

import base64
import hmac
from collections.abc import Sequence
from typing import get_args

from app.connector import Suppression, SuppressionReason
from app.crypto import Hasher
from app.errors import NotFoundError
from app.store import suppressions as store
from app.store.byhand import Deed, note
from app.store.database import Database, to_json
from app.store.suppressions import Kept, KeptFilter

REASONS = get_args(SuppressionReason)
PATH = "/unsubscribe/"
ALL = KeptFilter()


class Suppressions:
    """The list of a hub. public_url: where the hub is reached from outside; without one there are no links."""

    def __init__(self, database: Database, hasher: Hasher, public_url: str = "") -> None:
        self._database = database
        self._hasher = hasher
        self._public_url = public_url.rstrip("/")

    async def find(self, workspace: str, addresses: Sequence[str]) -> dict[str, Suppression]:
        """Those of the addresses that are on the list, each as it was asked for."""
        keys = {address: self.key(workspace, address) for address in addresses}
        async with self._database.transaction() as db:
            found = await store.find(db, workspace, list(set(keys.values())))
        kept = {each.key: Suppression(_reason(each.reason), each.since) for each in found}
        return {address: kept[key] for address, key in keys.items() if key in kept}

    async def kept(self, workspace: str, addresses: Sequence[str]) -> list[Kept]:
        """All that is kept of these addresses."""
        async with self._database.transaction() as db:
            return await store.find(db, workspace, [self.key(workspace, address) for address in addresses])

    async def add(
        self,
        workspace: str,
        address: str,
        reason: SuppressionReason,
        said: str | None = None,
        *,
        actor: str | None = None,
    ) -> bool:
        """Put an address on the list; False if it was there. What a person (`actor`) does is noted, without whom."""
        key, kept = self.key(workspace, address), said[:500] if said else None
        async with self._database.transaction() as db:
            made = await store.add(db, workspace, key, normal(address), reason, kept)
            if actor is not None:
                await note(db, Deed(workspace, actor, "suppress", "suppression", {}), to_json({"reason": reason}))
        return made

    async def remove(self, workspace: str, address: str, *, actor: str) -> bool:
        """Take an address off the list; False if it was not there."""
        async with self._database.transaction() as db:
            gone = await store.remove(db, workspace, self.key(workspace, address))
            if gone:
                await note(db, Deed(workspace, actor, "unsuppress", "suppression", {}), "{}")
        return gone

    async def newest(self, workspace: str, limit: int = 100, wanted: KeptFilter = ALL) -> list[Kept]:
        async with self._database.transaction() as db:
            return await store.newest(db, workspace, limit, wanted)

    def key(self, workspace: str, address: str) -> bytes:
        return key_of(self._hasher, workspace, address)

    # --- links ---------------------------------------------------------------------------------------------------

    def unsubscribe_url(self, workspace: str, address: str) -> str | None:
        """The link of one reader; it can be known only from mail to that address."""
        if not self._public_url:
            return None
        return f"{self._public_url}{PATH}{self.token(workspace, address)}"

    def token(self, workspace: str, address: str) -> str:
        said = f"{workspace}\n{normal(address)}".encode()
        return base64.urlsafe_b64encode(self._hasher("unsubscribe", said) + said).decode().rstrip("=")

    def open_token(self, token: str) -> tuple[str, str]:
        """(workspace, address) of a link. Raises NotFoundError for one that we never made."""
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            mark, said = raw[:16], raw[16:]
            workspace, _, address = said.decode().partition("\n")
        except ValueError:
            raise NotFoundError("there is no such link") from None
        if not address or not hmac.compare_digest(mark, self._hasher("unsubscribe", said)):
            raise NotFoundError("there is no such link")
        return workspace, address


def key_of(hasher: Hasher, workspace: str, address: str) -> bytes:
    return hasher("suppression", workspace, normal(address))


def normal(address: str) -> str:
    """As two spellings of one mailbox are compared: mail providers tell no upper from lower case, and a domain of
    another script is the same as the net knows it."""
    local, at, domain = address.strip().lower().rpartition("@")
    if domain.isascii():
        return f"{local}{at}{domain}"
    try:
        return f"{local}{at}{domain.encode('idna').decode()}"
    except UnicodeError:
        return f"{local}{at}{domain}"


def _reason(text: str) -> SuppressionReason:
    return next((reason for reason in REASONS if reason == text), "by hand")
