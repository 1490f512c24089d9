"""Texts of mails and messages in files of their own: `recipes/templates/<name>[.<locale>].{subject.txt,html,txt}.j2`.

A step names one in its `with`, `{to: ..., template: abandoned-checkout, data: {code: "..."}}`, and its parts fill the
action's `subject`, `html` and `text`. They see what the step's expressions see, and what `data` adds to it.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from app.documents import Problem
from app.expressions import EvaluationError, Expression, ExpressionError, Tree, compile_template, hint, render
from app.recipes.model import Call, Recipe

FOLDER = "templates"
FIELDS: Mapping[str, str] = {"subject.txt": "subject", "html": "html", "txt": "text"}
"""Which input of an action a part fills."""
KEYS = ("template", "data", "locale")
"""What a step says in its `with` beside the action's own inputs."""

_FILE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9-]*)(?:\.(?P<locale>[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*))?"
    r"\.(?P<part>subject\.txt|html|txt)\.j2"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One file. shown: its path for people."""

    file: str
    shown: str
    source: str
    text: Expression


@dataclass(frozen=True, slots=True)
class Template:
    """A template in all its languages: locale in small letters ("" for none) -> field -> its file."""

    name: str
    variants: Mapping[str, Mapping[str, Part]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def parts(self) -> Iterator[Part]:
        for variant in self.variants.values():
            yield from variant.values()

    def variant(self, locales: Sequence[str | None]) -> Mapping[str, Part]:
        """The files of the first locale that there are any for: de-AT, else de; at last those without a locale. Raises
        EvaluationError."""
        for locale in locales:
            words = (locale or "").replace("_", "-").lower().split("-")
            for length in range(len(words), 0, -1):
                if words[0] and (found := self.variants.get("-".join(words[:length]))):
                    return found
        if "" not in self.variants:
            raise EvaluationError(f"the template {self.name!r} has no file without a locale")
        return self.variants[""]


Templates = Mapping[str, Template]


# --- reading ----------------------------------------------------------------------------------------------------


def read_templates(folder: Path) -> tuple[Templates, list[Problem]]:
    """The templates beside the recipes of a folder, and files there that are none."""
    place = folder / FOLDER
    files = [path for path in sorted(place.glob("*")) if path.is_file() and not path.name.startswith(".")]
    shown = f"{folder.name}/{FOLDER}/"
    mend = "write <name>.html.j2, <name>.de.txt.j2 or <name>.subject.txt.j2"
    strange = [
        Problem(f"{shown}{path.name}", 1, 1, "this is not the name of a template", mend)
        for path in files
        if not _FILE.fullmatch(path.name)
    ]
    return compiled({path.name: _read(path) for path in files if _FILE.fullmatch(path.name)}, shown), strange


def _read(path: Path) -> str | ExpressionError:
    """The text of a file, or why it has none."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        line = e.object[: e.start].count(b"\n") + 1
        return ExpressionError("the file is not UTF-8", line, mend="save it as UTF-8")
    except OSError as e:
        return ExpressionError(f"the file cannot be read: {e.strerror}", mend="check that it may be read")


def compiled(texts: Mapping[str, str | ExpressionError], shown: str = "") -> Templates:
    """Templates from the texts of their files; what is wrong with a file is kept with its template."""
    variants: dict[str, dict[str, dict[str, Part]]] = {}
    problems: dict[str, list[Problem]] = {}
    for file, source in texts.items():
        found = _FILE.fullmatch(file)
        if found is None:
            continue
        name, locale = found["name"], (found["locale"] or "").replace("_", "-").lower()
        here = variants.setdefault(name, {}).setdefault(locale, {})
        try:
            if isinstance(source, ExpressionError):
                raise source
            source = source.removeprefix("\ufeff")  # the mark that some editors begin a file with
            text = compile_template(source, html=found["part"] == "html")
        except ExpressionError as e:
            problems.setdefault(name, []).append(Problem(shown + file, e.line, e.column, e.message, e.mend))
            continue
        here[FIELDS[found["part"]]] = Part(file, shown + file, source, text)
    return {
        name: Template(name, each, (*problems.get(name, ()), *_gaps(name, each, shown)))
        for name, each in variants.items()
    }


def _gaps(name: str, variants: Mapping[str, Mapping[str, Part]], shown: str) -> Iterator[Problem]:
    """A language without a subject would go out without one: every locale has what the file without a locale has."""
    plain = variants.get("")
    for locale, parts in variants.items():
        first = next((part.shown for part in parts.values()), shown)
        if plain is None:
            mend = "add the files that stand in where no locale fits"
            yield Problem(first, 1, 1, f"the template {name!r} has no file without a locale", mend)
            return
        for field_ in plain:
            if parts and field_ not in parts:
                yield Problem(first, 1, 1, f"the template {name!r} has no {field_} for the locale {locale!r}", "add it")


# --- a recipe's own ---------------------------------------------------------------------------------------------


def named_in(recipe: Recipe) -> list[str]:
    """The templates that a recipe's steps name, each once."""
    calls = (step.does for step in recipe.all_steps() if isinstance(step.does, Call))
    return list(dict.fromkeys(name for call in calls if (name := name_of(call)) is not None))


def name_of(call: Call) -> str | None:
    """The template that a step names; None where it names none, or does not write its name out."""
    said = call.values.get("template")
    return said.source if isinstance(said, Expression) and said.kind == "constant" else None


def with_templates(recipe: Recipe, library: Templates) -> Recipe:
    """The recipe with the templates that it names, which are part of its version."""
    own = {name: library[name] for name in named_in(recipe) if name in library}
    if not own:
        return recipe
    said = "\0".join((recipe.digest, *(text for pair in sorted(texts_of(own).items()) for text in pair)))
    return replace(recipe, templates=own, digest=hashlib.blake2b(said.encode(), digest_size=16).hexdigest())


def texts_of(templates: Templates) -> dict[str, str]:
    """The files of templates with their texts, as a version keeps them."""
    return {part.file: part.source for each in templates.values() for part in each.parts()}


def takes(model: type[BaseModel]) -> bool:
    """Whether an action takes texts, and so a template; one with a `template` of its own means its own."""
    return KEYS[0] not in model.model_fields and bool({"text", "html"} & set(model.model_fields))


def fills(call: Call, model: type[BaseModel]) -> bool:
    return KEYS[0] in call.values and takes(model)


def filled(
    values: Mapping[str, Tree], scope: Mapping[str, Any], templates: Templates, fields: Sequence[str], shop: str | None
) -> dict[str, Any]:
    """The values of a step whose template is filled in: what the step says itself goes before. fields: the inputs of
    the action; shop: the workspace's locale. Raises EvaluationError."""
    given: dict[str, Any] = render(dict(values), scope)
    name, data, locale = (given.pop(key, None) for key in KEYS)
    template = templates.get(str(name))
    if template is None:
        raise EvaluationError(f"there is no template {name!r}")
    seen = {**scope, **(data or {})}
    parts = template.variant([locale] if locale else [reader_locale(scope), shop])
    said = {each: _said(each, part, seen) for each, part in parts.items() if each in fields and each not in given}
    return {**said, **given}


def _said(field_: str, part: Part, seen: Mapping[str, Any]) -> str:
    try:
        text: str = part.text.evaluate(seen)
    except EvaluationError as e:
        raise EvaluationError(f"{part.file}: {e}") from e
    if field_ == "subject":
        return " ".join(text.split())
    return re.sub(r"\n(?:[ \t]*\n){2,}", "\n\n", text).strip()  # conditions leave empty lines behind


def reader_locale(scope: Mapping[str, Any]) -> str | None:
    """The language of whom a run is about, as the order or the customer says it."""
    for name in ("order", "checkout", "customer", "message", "review", "subscription"):
        thing = scope.get(name)
        for each in (thing, thing.get("customer")) if isinstance(thing, Mapping) else ():
            if isinstance(each, Mapping) and isinstance(each.get("locale"), str) and each["locale"]:
                return str(each["locale"])
    return None


def unknown(name: str | None, library: Templates) -> tuple[str, str]:
    """What is wrong with a template that is not there, and what to do."""
    if name is None:
        return (
            "the template's name must be written out",
            f"as in `template: {next(iter(library), 'thank-you')}`",
        )
    files = f"write {FOLDER}/{name}.subject.txt.j2, .html.j2 and .txt.j2 beside the recipes"
    return f"there is no template {name!r}", hint(name, library) or files
