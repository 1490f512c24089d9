"""`/v1/recipes/sync` and `/v1/connections/apply`: a folder and a file that are on another machine than the hub."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.api.auth import ConnectionKeeper, ForbiddenError, RecipeKeeper
from app.api.connecting import ConnectionToPut
from app.api.context import HubDep
from app.api.recipe_texts import EXAMPLE, MOST
from app.byhand.bringing import bring_connections, bring_recipes
from app.byhand.texts import PlainText

router = APIRouter(prefix="/v1", tags=["recipes"])

RecipeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=80)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Place = Annotated[
    PlainText, Field(min_length=1, max_length=500, description="Where it is, in your words: it is shown as the owner.")
]
LongText = Annotated[PlainText, Field(max_length=MOST)]
TAKE_OVER = Field(
    False,
    description="Also what another folder or file owns, and in the place of all that one of this path brought in "
    "before: it is this one's from now on.",
)


class Folder(BaseModel):
    """A folder of recipes, whole: those of its recipes that it no longer names are taken away."""

    model_config = ConfigDict(extra="forbid")

    folder: Annotated[Place, Field(examples=["/home/ada/shop/recipes"])]
    recipes: dict[RecipeName, LongText] = Field(
        description="The text of each file, by its name.", max_length=1000, examples=[{"announce-orders": EXAMPLE}]
    )
    templates: dict[FileName, LongText] = Field({}, description="The files of `templates/`.", max_length=1000)
    take_over: bool = TAKE_OVER


class FolderFault(BaseModel):
    """One thing that is wrong with a file, or doubtful (a warning)."""

    file: str = Field(examples=["recipes/announce-orders.yaml"])
    line: int
    column: int
    message: str
    mend: str
    severity: Literal["error", "warning"]


class FolderSynced(BaseModel):
    problems: list[FolderFault] = Field(description="A recipe with an error stays as it was.")


class ConnectionsFile(BaseModel):
    """A file of connections, whole: those that it no longer names are removed."""

    model_config = ConfigDict(extra="forbid")

    file: Annotated[Place, Field(examples=["/home/ada/shop/connections.yaml"])]
    connections: dict[Slug, ConnectionToPut] = Field(description="By slug, with every secret.", max_length=1000)
    take_over: bool = TAKE_OVER


class ConnectionsApplied(BaseModel):
    lines: list[str] = Field(examples=[["books: QuickBooks Online 4620816365"]])


@router.post("/recipes/sync", summary="Bring in a folder of recipes")
async def sync_recipes(caller: RecipeKeeper, hub: HubDep, wanted: Folder) -> FolderSynced:
    """As `tradewind recipes sync` does. From then on the recipes belong to that folder; what another one owns is
    refused (409), and so is a folder that brought in others before and has none of them now."""
    problems = await bring_recipes(
        hub, caller.workspace, wanted.folder, wanted.recipes, wanted.templates, caller.name, wanted.take_over
    )
    return FolderSynced(
        problems=[FolderFault(**{n: getattr(p, n) for n in FolderFault.model_fields}) for p in problems]
    )


@router.post("/connections/apply", summary="Bring in a file of connections", tags=["connections"])
async def apply_connections(caller: ConnectionKeeper, hub: HubDep, wanted: ConnectionsFile) -> ConnectionsApplied:
    """As `tradewind connections apply` does, which fills in what the file takes from the environment. From then on the
    connections belong to that file; what another one owns is refused (409), and so is a file that brought in others
    before and names none of them now."""
    if any(each.base_url is not None for each in wanted.connections.values()) and not caller.may("admin"):
        raise ForbiddenError("A base_url may lead into your own network: this needs a key with `admin`.", "admin")
    entries = {
        slug: each.model_dump(include={"connector", "settings", "role", "base_url", "history"}) | {"alias": each.as_}
        for slug, each in wanted.connections.items()
    }
    lines = await bring_connections(hub, caller.workspace, wanted.file, entries, caller.name, wanted.take_over)
    return ConnectionsApplied(lines=lines)
