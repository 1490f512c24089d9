"""How a case ended, against how it was expected to."""

from app.pipeline.match.simulate import Simulation
from app.recipes.differences import calls_differ
from app.recipes.testfile import Expected


def outcome(simulation: Simulation) -> tuple[str, str | None]:
    """How the last run ended (none: there was none), and why."""
    if not simulation.runs:
        return "none", "; ".join(simulation.decisions) or None
    run = simulation.runs[-1]
    if run.state == "running":
        return "waiting", run.reason
    return ("stopped" if run.state == "done" and run.stopped else run.state), run.reason


def why(simulation: Simulation) -> str:
    """Why the last run did not go through, and why there was none."""
    reason = outcome(simulation)[1]
    return "; ".join(dict.fromkeys(each for each in (reason, *simulation.decisions) if each))


def compare(simulation: Simulation, expected: Expected) -> list[str]:
    """What came otherwise than a case expects, a line each."""
    state, reason = outcome(simulation)
    found = []
    if state != expected.run and not (expected.run == "done" and state == "stopped"):
        found.append(f"run: expected {expected.run}, got {state}" + (f" ({reason})" if reason else ""))
    if expected.reason is not None and expected.reason not in why(simulation):
        found.append(f"reason: expected {expected.reason!r}, got {why(simulation)!r}")
    if expected.calls is not None:
        found += list(calls_differ(simulation.calls, expected.calls))
    return found
