"""As whom a server runs.

PostgreSQL refuses to run as root. For root it runs in a user namespace that shows root as `nobody`: the files stay
root's, and no folder above them has to be opened. Where namespaces are forbidden it runs as the real `nobody`.
"""

# ruff: noqa: S603 (every command line is made here, of no input from outside)

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.errors import ConfigError

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")  # no secrets of ours, no settings of libpq

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom a child runs: keywords for subprocess, and what it does before anything else."""

    owner: tuple[int, int] | None = None  # who must own the data folder; None: whoever we are
    keywords: Mapping[str, Any] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None


def choose_identity(home: Path, data: Path, binary: Path) -> Identity:
    """As whom `binary` can run and write `data`, which is made or handed over; ConfigError if as nobody at all."""
    data.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() != 0:
        return Identity()
    nobody = pwd.getpwnam("nobody")
    for identity in (_namespaced(nobody), _as_nobody(nobody)):
        if _works(identity, data, binary):
            return identity
    raise ConfigError(
        f"PostgreSQL does not run as root; here user namespaces are forbidden and the user `nobody` cannot reach "
        f"{home} and {binary}: start Tradewind as an ordinary user, or choose a TRADEWIND_HOME that everybody may "
        f"enter, or name servers by TRADEWIND_DATABASE_URL and TRADEWIND_REDIS_URL"
    )


def _namespaced(nobody: pwd.struct_passwd) -> Identity:
    """Root outside, `nobody` inside: the files stay root's, no folder above needs to be opened."""

    def enter() -> None:
        if not hasattr(_libc, "unshare") or _libc.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        _write("/proc/self/setgroups", b"deny")
        _write("/proc/self/uid_map", b"%d 0 1" % nobody.pw_uid)
        _write("/proc/self/gid_map", b"%d 0 1" % nobody.pw_gid)

    return Identity(owner=(0, 0), before=enter)


def _as_nobody(nobody: pwd.struct_passwd) -> Identity:
    keywords = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    return Identity(owner=(nobody.pw_uid, nobody.pw_gid), keywords=keywords)


def _works(identity: Identity, data: Path, binary: Path) -> bool:
    hand_over(data, identity)
    reach = ["/bin/sh", "-c", 'test -w "$1" && test -x "$2"', "sh", str(data), str(binary)]
    try:
        return subprocess.run(reach, check=False, preexec_fn=identity.before, **identity.keywords).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def hand_over(folder: Path, identity: Identity) -> None:
    """Give the folder and all in it to who will run there, unless it is theirs already."""
    status = folder.stat()
    if identity.owner is None or (status.st_uid, status.st_gid) == identity.owner:
        return
    for path in (*folder.rglob("*"), folder):
        os.chown(path, *identity.owner, follow_symlinks=False)


def _write(path: str, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY)
    os.write(file, content)
    os.close(file)


def child_keywords(identity: Identity, death_signal: signal.Signals) -> dict[str, Any]:
    """Keywords for subprocess: a session of its own (Ctrl-C goes to us alone) that ends when we end."""
    parent = os.getpid()

    def before() -> None:
        identity.before()
        os.setsid()
        if sys.platform == "linux":
            _libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:  # it died before the line above
                os._exit(1)

    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"preexec_fn": before, "env": {**environment, "TZ": "UTC"}, **identity.keywords}
