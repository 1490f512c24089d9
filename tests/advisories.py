"""Asks whether a pinned dependency has a known weakness: `python -m tests.advisories`, as `make check` does.

pip-audit has no advisories of its own: it looks every package up on the network. `make check` works without one, so it
says that this was left out; `PIP_AUDIT=1 make check` asks (a pipeline that has a network should).
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements-production.lock", "requirements.lock")


def command(lock: str) -> list[str]:
    """Only what is pinned, by hash, and nothing installed on the way."""
    return [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--strict", "-r", str(ROOT / lock)]


def main() -> int:
    """0: nothing is known, or nobody was asked. 1: something is known."""
    if not os.environ.get("PIP_AUDIT"):
        print("pip-audit: skipped: its advisories are only on the network; `PIP_AUDIT=1 make check` asks for them")
        return 0
    return max(subprocess.run(command(lock), check=False).returncode for lock in LOCKS)


if __name__ == "__main__":
    sys.exit(main())
