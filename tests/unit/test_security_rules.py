"""Rules of security that people forget, held by reading the code: no shell, no eval, one door out, TLS verified."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from app.byhand.replays import Verb
from app.store.byhand import VERBS

ROOT = Path(__file__).parents[2]
CODE = sorted([*ROOT.glob("app/**/*.py"), *ROOT.glob("connectors/**/*.py"), *ROOT.glob("demo/**/*.py")])

DOORS = {
    "app/http": {"aiohttp", "httpx", "socket", "ssl"},  # the guarded door of all calls
    "app/mail": {"aiosmtplib", "httpx", "socket", "ssl"},  # the same for mail
    "app/embedded": {"socket", "subprocess", "ctypes"},  # servers of this machine
    "app/processes.py": {"subprocess", "ctypes"},  # our own processes
    "app/byhand/trials.py": {"multiprocessing"},  # backtests in processes of our own
    "app/dev.py": {"httpx", "socket", "subprocess"},  # asks our own API and sandboxes whether they are ready
    "app/hub.py": {"socket"},  # this machine's name
    "app/doctor.py": {"httpx"},  # asks the address that the operator names
    "app/sending.py": {"httpx"},  # plays a sender to our own hub
    "app/cli": {"httpx"},  # a remote hub, named by the operator
    "demo": {"httpx"},  # the demo shop sends to our own hub
}
"""Where the network or another process may be reached, and why."""
REACHING = {"aiohttp", "aiosmtplib", "ctypes", "ftplib", "httpx", "requests", "smtplib", "socket", "ssl",
            "subprocess", "telnetlib", "urllib3", "xmlrpc", "paramiko", "pty", "multiprocessing"}  # fmt: skip
UNPACKING = {"builtins", "pickle", "marshal", "shelve", "dill", "yaml", "xml"}
"""What runs or expands what it reads. (Recipes are read by ruamel's safe loader, without tags.)"""
NEVER_CALLED = {"eval", "exec", "compile", "__import__", "execfile", "input", "breakpoint"}
NEVER_NAMED = {
    *("system", "popen", "spawnl", "spawnv", "getoutput", "create_subprocess_shell", "create_subprocess_exec"),
    *("execl", "execle", "execv", "execve", "execvp", "execvpe", "posix_spawn", "posix_spawnp", "__builtins__"),
    *("CERT_NONE", "_create_unverified_context", "NativeEnvironment"),
}


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def imported(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_one_door_out_and_it_is_guarded() -> None:
    """SSRF guard, TLS, sizes, times and redirects are kept in one place, for connectors, tokens and mail alike."""
    for path in CODE:
        allowed = {name for door, names in DOORS.items() if where(path).startswith(door) for name in names}
        reaching = {name.partition(".")[0] for name in imported(path)} & REACHING
        assert reaching <= allowed, f"{where(path)} reaches outside by {reaching - allowed}: use app.http"
        assert not {"urllib.request", "http.client"} & set(imported(path)), where(path)


def test_nothing_that_is_read_is_run() -> None:
    for path in CODE:
        unpacking = {name.partition(".")[0] for name in imported(path)} & UNPACKING
        if where(path) == "app/pipeline/match/seen.py":
            unpacking -= {"pickle"}  # its own values, put aside in a file without a name that nobody else can open
        assert not unpacking, f"{where(path)} imports {unpacking}"
        for node in nodes(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in NEVER_CALLED, f"{where(path)}:{node.lineno} calls {node.func.id}"


def test_no_shell_and_no_unverified_tls() -> None:
    for path in CODE:
        for node in nodes(path):
            if isinstance(node, ast.Attribute | ast.Name):
                name = node.attr if isinstance(node, ast.Attribute) else node.id
                assert name not in NEVER_NAMED, f"{where(path)}:{node.lineno} names {name}"
            if isinstance(node, ast.keyword):
                said = ast.unparse(node.value)
                loose = (node.arg == "shell" and said != "False") or (
                    node.arg == "follow_redirects" and said != "False"
                )
                assert not loose, f"{where(path)}: {node.arg}={said}"
                unverified = node.arg in ("verify", "ssl", "verify_ssl", "check_hostname") and said in ("False", "0")
                assert not unverified, f"{where(path)}: {node.arg}={said}"
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    loose = ast.unparse(target).endswith("check_hostname") and ast.unparse(node.value) == "False"
                    assert not loose, f"{where(path)}:{node.lineno}"


SECRET = re.compile(r"(?:^|_)(token|digest|signature|mac|hmac|secret|password|claimed|csrf)s?$")
PLAIN = {"app/store", "app/recipes", "app/domain/recipes.py", "app/doctor.py"}
"""Digests of texts that anybody may know: of recipes, and columns in queries."""


def test_proofs_are_compared_in_constant_time() -> None:
    """`==` on a token or a digest tells by its time how much of it was right. (Sandboxes stand in for others.)"""
    for path in CODE:
        if path.name == "sandbox.py" or any(where(path).startswith(each) for each in PLAIN):
            continue
        for node in nodes(path):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                for side in (node.left, *node.comparators):
                    name = (
                        side.attr if isinstance(side, ast.Attribute) else side.id if isinstance(side, ast.Name) else ""
                    )
                    assert not SECRET.search(name), (
                        f"{where(path)}:{node.lineno} compares {name} by ==: hmac.compare_digest"
                    )


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-production.lock"])
def test_every_dependency_is_pinned_by_hash(lock: str) -> None:
    lines = [line for line in (ROOT / lock).read_text().splitlines() if line and not line.lstrip().startswith("#")]
    packages = [line for line in lines if not line.startswith(" ")]
    assert len(packages) > 30
    for at, line in enumerate(lines):
        if not line.startswith(" "):
            assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,_-]+\])?==\S+", line), line
            assert lines[at + 1].lstrip().startswith("--hash=sha256:"), line


def test_the_image_runs_without_rights() -> None:
    steps = [
        line.split() for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")
    ]
    users = [words[1] for words in steps if words[0] == "USER"]
    assert users, "the image would run as root"
    assert users[-1].split(":")[0] not in ("root", "0")
    last = max(at for at, words in enumerate(steps) if words[0] == "USER")
    assert not any(words[0] in ("RUN", "COPY", "ADD") for words in steps[last:]), (
        "what runs there is not its own to change"
    )
    compose = (ROOT / "compose.yaml").read_text()
    for promise in ("cap_drop: [ALL]", "no-new-privileges:true", "read_only: true"):
        assert promise in compose


def test_known_weaknesses_are_asked_for_by_make_check() -> None:
    makefile = (ROOT / "Makefile").read_text()
    check = makefile[makefile.index("\ncheck:") : makefile.index("\nfmt:")]
    assert "bandit" in check
    assert "tests.advisories" in check


def test_advisories_are_skipped_with_a_reason_where_nobody_may_be_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests import advisories

    monkeypatch.delenv("PIP_AUDIT", raising=False)
    assert advisories.main() == 0
    assert "skipped" in capsys.readouterr().out
    assert {"--require-hashes", "--disable-pip", "--strict"} <= set(advisories.command("requirements.lock"))


def test_every_verb_of_the_audit_log_is_known_to_its_filter() -> None:
    written = {
        node.args[2].value
        for path in CODE
        for node in nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Deed"
        if len(node.args) > 2 and isinstance(node.args[2], ast.Constant)
    }
    assert written <= set(VERBS)
    assert {"pause", "resume", "enable", "disable", *get_args(Verb)} <= set(VERBS), "those that are variables"
