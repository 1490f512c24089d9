"""A new connector that already passes every check: `tradewind connectors new acme`.

`template/` holds one for a made-up system "Acme": its files are copied with the new name in place of that one.
"""

import keyword
import re
from pathlib import Path

import app
from app.errors import ConfigError

TEMPLATE = Path(__file__).parent / "template"
_SLUG = re.compile(r"[a-z][a-z0-9_]{1,23}")


def write_connector(name: str, folder: Path | None = None) -> list[Path]:
    """Write `<folder>/<name>/`, by default beside the other connectors; answers the files. Raises ConfigError for a
    name that cannot be one, or is taken."""
    target = (folder or Path(app.__file__).parent.parent / "connectors") / name
    _check(name, target)
    written = []
    for template in sorted(path for path in TEMPLATE.rglob("*") if path.is_file()):
        path = target / template.relative_to(TEMPLATE).with_suffix("")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(renamed(template.read_text(), name))
        written.append(path)
    return written


def renamed(text: str, name: str) -> str:
    """The template's text with the new name: in code, in headers (with dashes), and as a title."""
    title = name.replace("_", " ").title()
    text = text.replace("x-acme-", f"x-{name.replace('_', '-')}-")
    return (
        text.replace("acme.example", f"{name.replace('_', '-')}.example").replace("acme", name).replace("Acme", title)
    )


def _check(name: str, target: Path) -> None:
    if not _SLUG.fullmatch(name) or keyword.iskeyword(name):
        raise ConfigError(
            f"{name!r} cannot be a connector's name: 2 to 24 lower-case letters, digits, underscores, a letter first."
        )
    if not target.parent.is_dir():
        raise ConfigError(f"There is no folder {target.parent}; run this in Tradewind's source code, or say --folder.")
    if target.exists():
        raise ConfigError(f"{target} is there already; remove it, or choose another name.")
