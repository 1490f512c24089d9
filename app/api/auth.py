"""Who may ask: a bearer key with the scope that a route requires."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from app.api import idempotency, strict
from app.api.context import HubDep
from app.api.narrow import allows
from app.api.passage import Standing
from app.api.problems import CHALLENGE
from app.domain.keys import Caller, Keys, Scope
from app.domain.pace import Pace
from app.errors import NotFoundError, RejectedError, TooManyError
from app.store import workspaces

SAVES = 2.0
"""Seconds' worth that a key which was quiet may ask at once."""

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="An API key: `Authorization: Bearer tw_...`. Each route lists the scope that it requires: `read`, "
    "`replay`, `recipes`, `connections` or `admin`, which includes all others.",
)


class UnauthorizedError(RejectedError):
    """No key, or one that opens nothing."""

    status = 401

    def __init__(self, message: str, challenge: str = CHALLENGE) -> None:
        super().__init__(message)
        self.headers = {"www-authenticate": challenge}


class ForbiddenError(RejectedError):
    """A key that opens less than this."""

    status = 403

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.headers = {"www-authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'}


async def _caller(
    request: Request,
    hub: HubDep,
    scopes: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    workspace: Annotated[
        str | None,
        Header(
            alias="Tradewind-Workspace",
            description="The workspace meant, for keys of every workspace; `main` unless said.",
            max_length=100,
        ),
    ] = None,
) -> Caller:
    caller = await _known(request, credentials)
    _count(request, caller)
    for scope in scopes.scopes:
        if not caller.may(scope):  # type: ignore[arg-type]
            raise ForbiddenError(f"This needs a key with the scope {scope!r}.", scope)
    if workspace is not None and workspace != caller.workspace:
        if not caller.everywhere:
            raise ForbiddenError("This key is of another workspace.", "admin")
        async with hub.database.acquire() as db:
            if not await workspaces.exists(db, workspace):
                raise NotFoundError(f"there is no workspace {workspace!r}: make it with POST /v1/workspaces")
        caller = replace(caller, workspace=workspace)
    if caller.connections is not None and (refusal := await allows(request, caller, hub)):
        raise ForbiddenError(refusal, *scopes.scopes)
    strict.check(request)
    await idempotency.once(request, hub, caller)
    return caller


async def _known(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Caller:
    if credentials is None or not credentials.credentials:
        raise UnauthorizedError("This needs a key: `Authorization: Bearer tw_...`.")
    keys: Keys = request.app.state.keys
    caller = await keys.check(credentials.credentials)
    if caller is None:
        raise UnauthorizedError("This key opens nothing.", f'{CHALLENGE}, error="invalid_token"')
    return caller


def _count(request: Request, caller: Caller) -> None:
    """Raises TooManyError for a key that asks too often."""
    pace: Pace = request.app.state.pace
    left, wait = pace.take(caller.id)
    request.state.standing = Standing(pace.most, int(left), pace.full_again(left))
    if wait:
        raise TooManyError("This key asks too often: wait as long as Retry-After says.", wait)


def require(scope: Scope) -> Any:
    """The dependency of a route that only a key with this scope may use; answers its Caller."""
    return Security(_caller, scopes=[scope])


Reader = Annotated[Caller, require("read")]
Replayer = Annotated[Caller, require("replay")]
RecipeKeeper = Annotated[Caller, require("recipes")]
ConnectionKeeper = Annotated[Caller, require("connections")]
Admin = Annotated[Caller, require("admin")]
