"""Which templates a recipe may name that comes in by hand and not with a folder."""

from collections.abc import Mapping

from app.hub import Hub
from app.recipes import Templates, compiled, read_templates


def library_for(hub: Hub, workspace: str, name: str, beside: Mapping[str, str] | None = None) -> Templates:
    """The templates that came with it (file -> text), else those of the hub's folder; and those of its version that
    runs, which may have come from elsewhere."""
    given = compiled(beside) if beside else read_templates(hub.settings.recipes_folder)[0]
    active = hub.recipes.find(workspace, name)
    return {**(active.recipe.templates if active is not None else {}), **given}
