"""The command line `tradewind`, one file per noun. Wiring only: what a command does is imported when it runs."""

import gc
import os
import signal
import sys

_SERVERS = {"serve", "worker", "sandbox"}


def main() -> None:
    """Run one command. What an operator can mend is said in a sentence, with exit code 2; 1 is a failed check."""
    gc.set_threshold(50_000, 20, 20)  # imports make much and drop nothing: looking through it took a tenth of a start
    if _SERVERS & set(sys.argv[1:2]):
        end_on_sigterm()  # first of all: a stop right at the start is a stop
    from app.errors import TradewindError
    from app.visible import visible

    try:
        _run(sys.argv[1:])
    except TradewindError as e:
        sys.stderr.write(f"{visible(str(e))}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def _run(words: list[str]) -> None:
    from app.cli import servers

    if servers.plain(words):
        servers.run(words[0], migrate="--no-migrate" not in words, prepare="--no-prepare" not in words)
        return
    from app.cli.commands import app

    app(prog_name="tradewind")


def end_on_sigterm() -> None:
    """End at once, cleanly, until a server listens for signals itself. Nothing is left half done: PostgreSQL rolls back
    what was not committed. (To raise SystemExit instead is no good: where Python runs a finaliser, it is swallowed.)"""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
