"""All commands, in the order in which help lists them."""

import typer

from app.cli import (
    connections,
    connectors,
    customers,
    effects,
    events,
    export,
    keys,
    replays,
    running,
    senders,
    setup,
    suppressions,
    trying,
)

app = typer.Typer(
    help="Tradewind: every order processed, exactly one effect each, and the proof on screen.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(running.dev)
app.command()(running.serve)
app.command()(running.worker)
app.command()(running.sandbox)
app.command()(running.migrate)
app.command()(setup.doctor)
app.command()(events.trace)
app.command()(events.events)
app.command()(events.runs)
app.command()(replays.replay)
app.add_typer(replays.app, name="replays")
app.command()(effects.approve)
app.command()(effects.cancel)
app.add_typer(effects.app, name="effects")
app.add_typer(events.webhooks, name="webhooks")
app.add_typer(customers.app, name="customers")
app.add_typer(trying.app, name="recipes")
app.add_typer(connectors.app, name="connectors")
app.add_typer(connections.app, name="connections")
app.command()(senders.send)
app.command()(senders.capture)
app.add_typer(suppressions.app, name="suppressions")
app.add_typer(keys.app, name="keys")
app.command()(export.export)
