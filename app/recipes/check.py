"""Whether a recipe can work, found when it is loaded: events, fields, actions, types, order of steps."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from app.connector import Action, Unsafe
from app.documents import Document, Path, Problem, Severity
from app.events import EVENT_TYPES, FAMILIES, event_type
from app.expressions import (
    Analysis,
    Expression,
    Shape,
    Tree,
    analyse,
    certain,
    expressions,
    hint,
    joined,
    list_of,
    nearest,
    object_of,
    shape_of,
)
from app.recipes.catalogue import Catalogue
from app.recipes.inputs import SHAPES, in_type, valid
from app.recipes.model import (
    Approve,
    Awaited,
    Block,
    Call,
    Choose,
    Emit,
    ForEach,
    Input,
    Parallel,
    Recipe,
    SetFacts,
    Step,
    Stop,
    Wait,
    WaitFor,
)
from app.recipes.never import hardly, never
from app.recipes.scopes import ANYTHING, ERROR, TEXT, UNKNOWN, Scope, awaited_scope, recipe_scope, result_of
from app.recipes.templates import FIELDS, KEYS, Templates, fills, name_of, unknown
from app.recipes.tight import too_tight
from app.recipes.values import rule_broken, value_problems
from app.recipes.waiting import MAX_BRANCHES

TIE = "equate one of its fields with a value of the run, as in `order.customer.id == run.order.customer.id`"


def check_recipe(
    recipe: Recipe,
    document: Document,
    catalogue: Catalogue,
    emitted: Collection[str] = (),
    templates: Templates | None = None,
) -> list[Problem]:
    """Everything that is wrong with a recipe and the templates it names, in its file's order. emitted: event types that
    other recipes emit; templates: those that it may name."""
    check = _Check(recipe, document, catalogue, {*emitted, *emits(recipe)}, templates or {})
    check.rules()
    check.body(recipe.steps, {}, check.scope)
    check.body(recipe.on_error.steps, {}, {**check.scope, "error": ERROR})
    for at, message, mend in never(recipe):
        check.wrong(at, message, mend)
    for at, message, mend in hardly(recipe):
        check.wrong(at, message, mend, severity="warning")
    return sorted(dict.fromkeys(check.problems))


def emits(recipe: Recipe) -> set[str]:
    """The event types that a recipe emits."""
    return {step.does.event for step in recipe.all_steps() if isinstance(step.does, Emit)}


@dataclass(slots=True)
class _Check:
    recipe: Recipe
    document: Document
    catalogue: Catalogue
    emitted: Collection[str]
    templates: Templates
    problems: list[Problem] = field(default_factory=list)
    scope: Scope = field(init=False)
    ids: set[str] = field(init=False)
    lost: set[str] = field(init=False)
    """Ids of steps that could not be read: nothing more is said of those who use them."""

    def __post_init__(self) -> None:
        self.ids = {step.id for step in self.recipe.all_steps() if step.id}
        self.lost = lost_ids(self.document) - self.ids
        said = {name: self.document.at(("inputs", name, "type")) for name in self.recipe.inputs}
        unclear = [name for name, type_ in said.items() if type_ not in [*SHAPES]]  # it may be a list, or anything
        self.scope = recipe_scope(self.recipe, self.meant(self.recipe.events) or (UNKNOWN,), unclear)

    def wrong(
        self,
        at: Path,
        message: str,
        mend: str = "",
        *,
        key: bool = False,
        within: tuple[int, int] | None = None,
        severity: Severity = "error",
    ) -> None:
        self.problems.append(self.document.problem(at, message, mend, key=key, within=within, severity=severity))

    # --- the recipe's own rules ----------------------------------------------------------------------------------

    def rules(self) -> None:
        self.triggers()
        for each in self.recipe.inputs.values():
            self.options(each)
            self.default(each.name)
        if self.recipe.where:
            self.expression(self.recipe.where, ("where",), self.scope)
        self.once_per()
        for awaited in self.recipe.cancel_on:
            self.awaited(awaited, self.scope)
        for limit in self.recipe.limits:
            self.plain_value(limit.per, (*limit.at, "per"), "per")
        for connector in self.recipe.connections:
            if connector and connector not in self.catalogue.connectors():
                self.unknown_connector(("connection", connector), connector)

    def triggers(self) -> None:
        for trigger in self.recipe.triggers:
            self.event(trigger.event, trigger.at)
            if trigger.platform and trigger.platform not in self.catalogue.connectors():
                self.unknown_connector((*trigger.at[:-1], "platform"), trigger.platform)
        if not self.recipe.triggers and not self.recipe.schedules and "on" in self.document.data:
            self.wrong(("on",), "nothing runs this recipe", "name an event, as in `on: order.paid`")

    def event(self, name: str, at: Path) -> None:
        """The event type exists: ours, or one that a recipe emits."""
        if not name or self.exists(name):
            return
        offer, ours = nearest(name, [*EVENT_TYPES, *self.emitted]), name.split(".", 1)[0] in FAMILIES
        own = "an event of your own begins with a recipe's `emit`"
        mend = f"did you mean {offer!r}?{'' if ours else f' {own.capitalize()}'}" if offer else own
        self.wrong(at, f"there is no event {name!r}", hint(name, EVENT_TYPES) if ours and not offer else mend)

    def exists(self, event: str) -> bool:
        return event in EVENT_TYPES or event in self.emitted

    def meant(self, events: Sequence[str]) -> tuple[str, ...]:
        """These events, and for one that does not exist the one most like it: a misspelt event is one fault, not one
        for each of its fields."""
        known = (*EVENT_TYPES, *self.emitted, "schedule.due")
        ours = [each.split(".", 1)[0] in FAMILIES for each in events]
        return tuple(
            each if each in known else (nearest(each, known) if our else None) or UNKNOWN
            for each, our in zip(events, ours, strict=True)
        )

    def unknown_connector(self, at: Path, name: str, key: bool = False) -> None:
        self.wrong(at, f"there is no connector {name!r}", hint(name, self.catalogue.connectors()), key=key)

    def options(self, given: Input) -> None:
        for index, option in enumerate(given.options if given.type != "list" else ()):
            try:
                in_type(given, option)
            except ValueError as error:
                message, _, mend = str(error).partition("; ")
                self.wrong((*given.at, "options", index), message, mend)

    def default(self, name: str) -> None:
        given = self.recipe.inputs[name]
        if given.default is None:
            return
        try:
            valid(given, given.default)
        except ValueError as error:
            message, _, mend = str(error).partition("; ")
            self.wrong((*given.at, "default"), message, mend)

    def once_per(self) -> None:
        if self.recipe.once_per:
            at = self.recipe.once_per.at
            inner = (*at, "value") if (*at, "value") in self.document.marks else at
            self.plain_value(self.recipe.once_per.value, inner, "once_per")

    def plain_value(self, expression: Expression, at: Path, name: str) -> None:
        shape = self.expression(expression, at, self.scope).shape
        if shape.kind in ("object", "list"):
            self.wrong(at, f"{name} should be one plain value, not {shape}", "name a field of it, as in `order.id`")

    # --- expressions ---------------------------------------------------------------------------------------------

    def expression(self, expression: Expression, at: Path, scope: Scope) -> Analysis:
        found = analyse(expression, scope)
        for each in found.findings:
            name = each.message.partition("has no '")[2].rstrip("'") if each.message.startswith("steps has no") else ""
            message, mend = each.message, each.mend
            if name in self.lost:
                continue
            if name in self.ids:
                message, mend = f"the step {name!r} is not done yet here", "use the results of earlier steps only"
            self.wrong(at, message, mend, within=(each.line, each.column))
        return found

    def tree(self, tree: Tree, at: Path, scope: Scope) -> Shape:
        """The shape of nested values, every expression in them checked."""
        if isinstance(tree, Expression):
            return self.expression(tree, at, scope).shape
        if isinstance(tree, Mapping):
            return object_of({key: self.tree(each, (*at, key), scope) for key, each in tree.items()})
        if isinstance(tree, tuple):
            shapes = [self.tree(each, (*at, index), scope) for index, each in enumerate(tree)]
            return list_of(joined(shapes) if shapes else ANYTHING)
        return shape_of(type(tree))

    def awaited(self, awaited: Awaited, scope: Scope) -> None:
        at = awaited.at
        for index, event in enumerate(awaited.events):
            listed = (*at, "event", index)
            self.event(event, listed if listed in self.document.marks else (*at, "event"))
        known = (*at, "where") in self.document.marks and all(map(self.exists, awaited.events))
        self.expression(awaited.where, (*at, "where"), awaited_scope(scope, self.meant(awaited.events)))
        if known and any(not branch for branch in awaited.branches):
            either = "one side of its `or`" if len(awaited.branches) > 1 else "this"
            self.wrong((*at, "where"), f"nothing ties the awaited event to the run in {either}", TIE)
        elif len(awaited.branches) > MAX_BRANCHES:
            self.wrong((*at, "where"), f"this has more than {MAX_BRANCHES} branches of `or`", "wait in several steps")

    # --- steps ---------------------------------------------------------------------------------------------------

    def body(self, steps: Sequence[Step], done: Scope, scope: Scope) -> Scope:
        """Steps in order; gives the results that later ones can use."""
        results, ended = dict(done), False
        for step in steps:
            if ended:
                self.wrong(
                    step.at, "this step is never reached: the recipe has stopped before it", "remove one of them"
                )
            results |= self.step(step, results, {**scope, "steps": object_of(results)})
            ended = ends(step)
        return results

    def step(self, step: Step, done: Scope, scope: Scope) -> Scope:
        """One step; gives its result by id, and those of the steps inside it that are seen outside."""
        if step.condition:
            self.expression(step.condition, (*step.at, "if"), scope)
        outer = scope
        if step.for_each:
            scope = self.for_each(step, step.for_each, scope)
        if isinstance(step.timeout, Expression):
            self.span(step.timeout, (*step.at, "timeout"), scope)
        output = self.call(step, step.does, scope) if isinstance(step.does, Call) else ANYTHING
        inner = self.deed(step, done, scope)
        if step.on_error:
            seen = outer if isinstance(step.does, Call) else scope  # calls of all items fail together
            inner |= self.body(step.on_error.steps, done, {**seen, "error": ERROR})
        events = self.meant(step.does.awaited.events) if isinstance(step.does, WaitFor) else ()
        own = {step.id: result_of(step, output, events)} if step.id else {}
        return own if step.for_each else {**inner, **own}

    def for_each(self, step: Step, loop: ForEach, scope: Scope) -> Scope:
        shape = self.expression(loop.items, (*step.at, "for_each"), scope).shape
        listed = shape.kind in ("list", "any", "none")
        if not listed:
            self.wrong((*step.at, "for_each"), f"for_each needs a list, not {shape}", "as in `order.line_items`")
        if loop.name in scope:
            at = (*step.at, "as") if (*step.at, "as") in self.document.marks else (*step.at, "for_each")
            self.wrong(at, f"{loop.name!r} already means something here", "choose another name with `as`")
        item = shape.item if shape.kind == "list" and shape.item else ANYTHING
        inner = {**scope, loop.name: item}
        if loop.key:
            self.expression(loop.key, (*step.at, "key"), inner)
        elif listed and "id" not in (item.fields() or {}) and acts(step):
            mend = f"say what tells one from another, as in `key: {loop.name}.sku`"
            self.wrong((*step.at, "for_each"), "for_each needs a key: its items have no id", mend)
        return inner

    def deed(self, step: Step, done: Scope, scope: Scope) -> Scope:
        """What a step does, but for calls; gives the results of the steps inside it."""
        does, at = step.does, step.at
        if isinstance(does, Wait):
            self.wait(does, at, scope)
        elif isinstance(does, WaitFor):
            self.awaited(does.awaited, scope)
            if isinstance(does.timeout, Expression):
                inner = (*at, "wait_for", "timeout")
                self.span(does.timeout, inner if inner in self.document.marks else (*at, "timeout"), scope)
        elif isinstance(does, Emit):
            self.emit(does, at, scope)
        elif isinstance(does, SetFacts):
            self.facts(does, at, scope)
        elif isinstance(does, Approve):
            self.tree({"title": does.title, "message": does.message}, (*at, "approve"), scope)
        elif isinstance(does, Stop):
            self.tree(does.reason, (*at, "stop", "reason"), scope)
        return self.inside(step, done, scope)

    def inside(self, step: Step, done: Scope, scope: Scope) -> Scope:
        does, found = step.does, dict[str, Shape]()
        if isinstance(does, Choose):
            for index, branch in enumerate(does.branches):
                self.expression(branch.when, (*step.at, "choose", index, "when"), scope)
                found |= self.body(branch.steps, done, scope)
            found |= self.body(does.otherwise, done, scope)
        elif isinstance(does, Parallel | Block):
            for branch_steps in does.branches if isinstance(does, Parallel) else (does.steps,):
                found |= self.body(branch_steps, done, scope)
        return found

    def wait(self, does: Wait, at: Path, scope: Scope) -> None:
        if isinstance(does.span, Expression):
            self.span(does.span, (*at, "wait"), scope)
        if isinstance(does.until, Expression):
            shape = self.expression(does.until, (*at, "wait", "until"), scope).shape
            if shape.kind not in ("time", "date", "string", "any", "none"):
                self.wrong(
                    (*at, "wait", "until"), f"until needs a time, not {shape}", "as in `order.created_at | add_days(3)`"
                )

    def span(self, expression: Expression, at: Path, scope: Scope) -> None:
        """A duration: text like 3d, as an input of that type gives it."""
        shape = self.expression(expression, at, scope).shape
        if shape.kind not in ("string", "any", "none"):
            self.wrong(at, f"a duration is text like 3d, not {shape}", "add its unit, as in `{{ inputs.days }}d`")

    def emit(self, does: Emit, at: Path, scope: Scope) -> None:
        self.tree(does.values, (*at, "with"), scope)
        family = does.event.split(".", 1)[0]
        try:
            event_type(does.event)
        except ValueError:
            self.wrong((*at, "emit"), f"{does.event!r} is not a name of your own", "write one like vip.reached")
            return
        if does.event in EVENT_TYPES:
            self.wrong((*at, "emit"), f"{does.event!r} is the hub's own word", f"choose another than {family!r}")

    def facts(self, does: SetFacts, at: Path, scope: Scope) -> None:
        for noun, each in does.facts.items():
            place = (*at, "set", noun)
            if noun not in scope:
                self.wrong(
                    place, f"there is no {noun} in this recipe's events", "set it where its events are", key=True
                )
            self.tree(each.attributes, (*place, "attributes"), scope)
            for key, tags in (("add_tags", each.add_tags), ("remove_tags", each.remove_tags)):
                shape = self.tree(tags, (*place, key), scope)
                if tags and shape.kind not in ("list", "any"):
                    self.wrong((*place, key), f"{key} should be a list, not {shape}", "as in `[vip]`")

    # --- calls ---------------------------------------------------------------------------------------------------

    def call(self, step: Step, call: Call, scope: Scope) -> Shape:
        """The action exists and takes these values; gives the shape of its output."""
        actions = self.actions(call, step.at)
        for _, expression in expressions(call.values) if not actions else ():
            self.expression(expression, (*step.at, "with"), scope)
        for action in actions:
            self.values(step, call, action, scope)
        return _output(actions)

    def values(self, step: Step, call: Call, action: Action, scope: Scope) -> None:
        place = (*step.at, "with")
        shapes = {name: self.tree(each, (*place, name), scope) for name, each in call.values.items()}
        where, values = place if place in self.document.marks else (*step.at, "use"), call.values
        if fills(call, action.input):
            values, shapes = self.written(call, action, place, scope, shapes)
        faults = list(value_problems(call.use, action.input, values, shapes, place))
        for at, message, mend, key in faults:
            self.wrong(at if at != place else where, message, mend, key=key)
        if not faults and (rule := rule_broken(action.input, values)):
            self.wrong(where, f"{call.use} would refuse this", rule, severity="warning")
        if call.if_unsure == "repeat" and isinstance(action.safe, Unsafe):
            message = f"{call.use} would act twice if its first try did: it is not safe to repeat"
            self.wrong((*step.at, "if_unsure"), message, "use ask or skip", severity="warning")
        if call.retry is not None and (tight := too_tight(call, action, call.retry)):
            mend = "give it more time with `within`, or one try: `retry: false`"
            self.wrong((*step.at, "retry"), tight, mend, severity="warning")

    def written(
        self, call: Call, action: Action, place: Path, scope: Scope, shapes: Mapping[str, Shape]
    ) -> tuple[dict[str, Tree], dict[str, Shape]]:
        """The values of a step with what its template fills in, its files checked against what they will see."""
        values = {name: each for name, each in call.values.items() if name not in KEYS}
        known = {name: shape for name, shape in shapes.items() if name not in KEYS}
        template = self.templates.get(name_of(call) or "")
        if template is None:
            self.wrong((*place, "template"), *unknown(name_of(call), self.templates))
            missing = {each: Expression("", "text") for each in FIELDS.values() if each in action.input.model_fields}
            return {**missing, **values}, {**dict.fromkeys(missing, TEXT), **known}
        self.problems += template.problems
        seen = {**scope, **(shapes["data"].fields() or {} if "data" in shapes else {})}
        parts = [pair for variant in template.variants.values() for pair in variant.items()]
        fills_in = {name: part.text for name, part in parts if name in action.input.model_fields}
        for name, part in parts:
            for each in analyse(part.text, seen).findings if name in fills_in else ():
                self.problems.append(Problem(part.shown, each.line, each.column, each.message, each.mend))
        if not fills_in:
            takes = " or ".join(each for each in FIELDS.values() if each in action.input.model_fields)
            self.wrong((*place, "template"), f"{call.use} takes only {takes}, which this template has not", "add it")
        return {**fills_in, **values}, {**dict.fromkeys(fills_in, TEXT), **known}

    def actions(self, call: Call, at: Path) -> list[Action]:
        """The actions that a step may mean: one, or for `store` one for each kind of shop that may send the event."""
        if not call.action:
            return []
        if call.connector == "store":
            return self.store_actions(call, at)
        own = self.catalogue.actions(call.connector)
        if call.action in own:
            return [own[call.action]]
        if call.connector not in self.catalogue.connectors():
            self.wrong((*at, "use"), f"there is no connector {call.connector!r}", _connector_hint(call, self.catalogue))
        else:
            self.wrong(
                (*at, "use"),
                f"{call.connector} has no action {call.action!r}",
                hint(call.action, own) or "it only sends events",
            )
        return []

    def store_actions(self, call: Call, at: Path) -> list[Action]:
        stores = self.catalogue.store_actions()
        known = {*self.catalogue.connectors(), *self.catalogue.store_refusals()}
        platforms = {trigger.platform if trigger.platform in known else None for trigger in self.recipe.triggers}
        wanted = (
            stores if None in platforms or not platforms else {name: stores.get(name, {}) for name in platforms if name}
        )
        found = [actions[call.action] for actions in wanted.values() if call.action in actions]
        if self.recipe.schedules and not call.connection:
            self.wrong((*at, "use"), "a schedule comes from no shop, so `store` means nothing", "name its connection")
            return []
        refusals = self.catalogue.store_refusals()
        why = [said[call.action] for name in wanted if call.action in (said := refusals.get(name, {}))]
        if not found:
            names = {name for actions in wanted.values() for name in actions}
            message = f"no shop that may send this has the action {call.action!r}"
            mend = hint(call.action, names) or "name the connector of the shop instead of `store`"
            self.wrong((*at, "use"), "; ".join([message, *why]), mend)
        elif why and None not in platforms:
            message = f"not every shop that sends this can {call.action.replace('_', ' ')}: {'; '.join(why)}"
            self.wrong((*at, "use"), message, "give the step an `if` on `event.platform`", severity="warning")
        return found


def acts(step: Step) -> bool:
    """Whether a step, or one inside it, calls anything: its effects need names that last."""
    return isinstance(step.does, Call | Emit) or any(acts(each) for body in step.bodies() for each in body)


def ends(step: Step) -> bool:
    """Whether nothing can follow this step: it stops, or whichever way it goes stops."""
    if (step.condition and certain(step.condition) is not True) or step.for_each:
        return False
    if isinstance(step.does, Stop):
        return True
    if isinstance(step.does, Choose):
        sure = any(certain(branch.when) for branch in step.does.branches)
        ways = [branch.steps for branch in step.does.branches if certain(branch.when) is not False]
        return all(map(_stops, ways if sure else [*ways, step.does.otherwise]))
    if isinstance(step.does, Parallel):
        return any(map(_stops, step.does.branches))
    return isinstance(step.does, Block) and _stops(step.does.steps)


def lost_ids(document: Document) -> set[str]:
    """All that the steps of a document are called, also those that cannot be read."""
    found = (document.at(path) for path in document.keys if path[-1] == "id" and path[0] in ("steps", "on_error"))
    return {each for each in found if isinstance(each, str)}


def _stops(steps: Sequence[Step]) -> bool:
    return any(ends(step) for step in steps)


def _output(actions: Sequence[Action]) -> Shape:
    """The shape of an output; where several actions may be meant, the fields that all have."""
    shapes = [shape_of(action.output) for action in actions]
    if len(shapes) <= 1:
        return shapes[0] if shapes else ANYTHING
    fields = [shape.fields() or {} for shape in shapes]
    return object_of({name: each for name, each in fields[0].items() if all(name in other for other in fields)})


def _connector_hint(call: Call, catalogue: Catalogue) -> str:
    offer = hint(call.connector, (*catalogue.connectors(), "store"))
    return offer or "connect one"
