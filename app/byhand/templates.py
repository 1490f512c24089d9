"""Which templates a recipe may name that comes in by hand and not with a folder."""

from pathlib import Path

from app.hub import Hub
from app.recipes import Templates, read_templates


def library_for(hub: Hub, workspace: str, name: str, file: str = "") -> Templates:
    """The templates beside its file, else those of the hub's folder; and those of its version that runs, which may have
    come from elsewhere."""
    beside = Path(file).parent if file and Path(file).exists() else hub.settings.recipes_folder
    active = hub.recipes.find(workspace, name)
    return {**(active.recipe.templates if active is not None else {}), **read_templates(beside)[0]}
