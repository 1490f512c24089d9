"""Recipes: the language as types, read from YAML with the place of everything, and checked before anything runs.

    loaded = load_text(text, "invoice-paid-orders", RegistryCatalogue(registry))
    loaded.usable, loaded.recipe, [str(problem) for problem in loaded.problems]

Expressions of a recipe see the nouns of its event, `customer`, `event`, `inputs`, `steps`, `now` (see `scopes`).
"""

from app.recipes.catalogue import Catalogue, RegistryCatalogue
from app.recipes.check import check_recipe
from app.recipes.durations import LocalTime, parse_duration, say_duration
from app.recipes.inputs import settled, valid
from app.recipes.loading import Loaded, load_folder, load_text, parse_recipe, recipe_files, strays, with_connections
from app.recipes.model import (
    Again,
    Approve,
    Awaited,
    Block,
    Branch,
    Call,
    Choose,
    Emit,
    Equality,
    ForEach,
    Input,
    Limit,
    OncePer,
    OnError,
    Parallel,
    QuietHours,
    Recipe,
    Remember,
    Retry,
    Schedule,
    SetFacts,
    Step,
    Stop,
    Trigger,
    Wait,
    WaitFor,
    flatten,
)
from app.recipes.moments import over_at, span_of
from app.recipes.reading import read_recipe
from app.recipes.schedules import Cron, parse_cron
from app.recipes.schema import json_schema
from app.recipes.scopes import expressions_of, nouns_of, used
from app.recipes.templates import Template, Templates, compiled, filled, fills, read_templates, texts_of
from app.recipes.together import check_connections, check_together, connection_of

__all__ = [
    "Again",
    "Approve",
    "Awaited",
    "Block",
    "Branch",
    "Call",
    "Catalogue",
    "Choose",
    "Cron",
    "Emit",
    "Equality",
    "ForEach",
    "Input",
    "Limit",
    "Loaded",
    "LocalTime",
    "OnError",
    "OncePer",
    "Parallel",
    "QuietHours",
    "Recipe",
    "RegistryCatalogue",
    "Remember",
    "Retry",
    "Schedule",
    "SetFacts",
    "Step",
    "Stop",
    "Template",
    "Templates",
    "Trigger",
    "Wait",
    "WaitFor",
    "check_connections",
    "check_recipe",
    "check_together",
    "compiled",
    "connection_of",
    "expressions_of",
    "filled",
    "fills",
    "flatten",
    "json_schema",
    "load_folder",
    "load_text",
    "nouns_of",
    "over_at",
    "parse_cron",
    "parse_duration",
    "parse_recipe",
    "read_recipe",
    "read_templates",
    "recipe_files",
    "say_duration",
    "settled",
    "span_of",
    "strays",
    "texts_of",
    "used",
    "valid",
    "with_connections",
]
