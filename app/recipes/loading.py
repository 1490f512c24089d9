"""Recipes from text and from folders: read, checked, and seen together."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.documents import Document, DocumentError, Problem, read_document, read_file
from app.recipes.catalogue import Catalogue
from app.recipes.check import check_recipe, emits
from app.recipes.model import Recipe
from app.recipes.reading import read_recipe
from app.recipes.templates import Templates, read_templates, with_templates
from app.recipes.together import check_connections, check_together


@dataclass(frozen=True, slots=True)
class Loaded:
    """A recipe file and what was found in it; `recipe` is None where it cannot be understood."""

    name: str
    file: str
    text: str
    recipe: Recipe | None
    document: Document | None
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> bool:
        """Whether it may run: understood, and without errors (warnings do not count)."""
        return self.recipe is not None and not any(problem.severity == "error" for problem in self.problems)


def parse_recipe(text: str, name: str, templates: Templates | None = None) -> Recipe:
    """The recipe of a text that was checked before (a stored version), with its templates. Raises DocumentError if it
    is none."""
    recipe, problems = read_recipe(read_document(text, f"{name}.yaml"), name)
    if recipe is None:
        raise DocumentError(problems)
    return with_templates(recipe, templates or {})


def load_text(
    text: str, name: str, catalogue: Catalogue, emitted: Collection[str] = (), file: str = "",
    templates: Templates | None = None,
) -> Loaded:  # fmt: skip
    """A recipe's text, read and checked alone. emitted: event types that other recipes emit; templates: those that it
    may name."""
    shown = file or f"{name}.yaml"
    try:
        document = read_document(text, shown)
    except DocumentError as error:
        return Loaded(name, shown, text, None, None, tuple(error.problems))
    return _loaded(document, name, text, catalogue, emitted, templates or {})


def _loaded(
    document: Document, name: str, text: str, catalogue: Catalogue, emitted: Collection[str], templates: Templates
) -> Loaded:
    recipe, problems = read_recipe(document, name)
    if recipe is not None:
        problems += check_recipe(recipe, document, catalogue, emitted, templates)
        recipe = with_templates(recipe, templates)
    return Loaded(name, document.file, text, recipe, document, tuple(sorted(dict.fromkeys(problems))))


def recipe_files(folder: Path) -> list[Path]:
    """The recipe files of a folder, by name; test files are none."""
    return sorted(path for path in folder.glob("*.yaml") if not path.name.endswith(".test.yaml"))


def load_folder(folder: Path, catalogue: Catalogue) -> list[Loaded]:
    """Every recipe of a folder, checked alone and together; files keep their folder's name in problems."""
    read = [_read(path, f"{folder.name}/{path.name}") for path in recipe_files(folder)]
    recipes = [read_recipe(document, name)[0] for name, _, document, _ in read if document is not None]
    emitted = {event for recipe in recipes if recipe for event in emits(recipe)}
    templates, _ = read_templates(folder)
    loaded = [
        Loaded(name, problems[0].file, text, None, None, tuple(problems))
        if document is None
        else _loaded(document, name, text, catalogue, emitted, templates)
        for name, text, document, problems in read
    ]
    return _seen_together(loaded, catalogue)


def strays(folder: Path) -> list[Problem]:
    """Files of a folder that look as if they were read, and are not: another ending, and tests of no recipe."""
    names = {path.stem for path in recipe_files(folder)}
    tests = {path: path.name.removesuffix(".test.yaml") for path in sorted(folder.glob("*.test.yaml"))}
    return [
        *(
            _stray(path, "this is read by nobody: names of recipes end in .yaml", "rename it")
            for path in sorted(folder.glob("*.yml"))
        ),
        *(
            _stray(path, f"this tests nothing: there is no {name}.yaml beside it", "rename it, or remove it")
            for path, name in tests.items()
            if name not in names
        ),
    ]


def _stray(path: Path, message: str, mend: str) -> Problem:
    return Problem(f"{path.parent.name}/{path.name}", 1, 1, message, mend, "warning")


def with_connections(
    loaded: Sequence[Loaded], catalogue: Catalogue, connections: Mapping[str, Sequence[str]]
) -> list[Loaded]:
    """The same recipes, also checked against the connections of a workspace (slugs by connector)."""
    return [_connected(one, catalogue, connections) for one in loaded]


def _connected(one: Loaded, catalogue: Catalogue, connections: Mapping[str, Sequence[str]]) -> Loaded:
    if one.recipe is None or one.document is None or not one.recipe.enabled:
        return one
    found = check_connections(one.recipe, one.document, catalogue, connections)
    return replace(one, problems=tuple(sorted({*one.problems, *found})))


def _read(path: Path, shown: str) -> tuple[str, str, Document | None, list[Problem]]:
    try:
        document = read_file(path, shown)
    except DocumentError as error:
        return path.stem, "", None, error.problems
    return path.stem, "\n".join(document.lines), document, []


def _seen_together(loaded: Sequence[Loaded], catalogue: Catalogue) -> list[Loaded]:
    pairs = [(each.recipe, each.document) for each in loaded if each.recipe and each.document]
    found = check_together(pairs, catalogue)
    return [
        replace(each, problems=tuple(sorted({*each.problems, *(one for one in found if one.file == each.file)})))
        for each in loaded
    ]
