"""Settings from the environment, `TRADEWIND_*`; documented in docs/configuration.md."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import ConfigError

_FOLDER = Path(__file__).parent


def shipped_recipes() -> Path:
    """The recipes that come with Tradewind: inside an installed wheel, or beside `app` in a checkout."""
    inside = _FOLDER / "_recipes"
    return inside if inside.is_dir() else _FOLDER.parent / "recipes"


class Settings(BaseSettings):
    """Every setting has a default that suits a laptop."""

    model_config = SettingsConfigDict(env_prefix="TRADEWIND_", extra="ignore")

    home: Path = Field(Path(".tradewind"), description="Where embedded services and made keys live.")
    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8000, description="Port of the API; the sandboxes take the next two.", ge=0, le=65535)
    public_url: str = Field("", description="https address of the hub from outside, for links in mails.")
    database_url: str = Field(
        "", description="postgresql://user:password@host:port/name; empty starts the embedded one."
    )
    redis_url: str = Field("", description="redis://host:port/number; empty starts the embedded one.")
    redis_prefix: str = Field("tradewind", description="First part of every key in Redis.")
    admin_key: str = Field("", description="Bearer key of the API with every right; empty makes one at first start.")
    secret_keys: str = Field("", description="32-byte keys in base64, commas between; the first encrypts, all decrypt.")
    connections: Path | None = Field(None, description="A connections.yaml to apply at start.")
    recipes: Path | None = Field(None, description="Folder of recipes; the shipped ones if not set.")
    connectors: str = Field("", description="Further modules that hold a `connector`, commas between.")
    api_rate: int = Field(300, description="Requests a second of each API key, in each process.", ge=1)
    max_body: int = Field(5 * 1024 * 1024, description="Largest webhook body accepted, bytes.")
    webhook_rate: int = Field(
        5000, description="Webhooks a second that an API process takes of one connection; 0: as many as come."
    )
    database_pool: int = Field(8, description="PostgreSQL connections of the pipeline, for each process.", ge=1)
    statement_cache: int = Field(200, description="Prepared statements kept per connection; 0 behind PgBouncer.", ge=0)
    poll_seconds: float = Field(1.0, description="Slow poll that finds what a lost wake-up left.")
    drain_batch: int = Field(64, description="Rows that one drain claims at a time.", ge=1)
    log_level: str = Field(
        "info", description="debug, info, warning or error.", pattern="^(?i:debug|info|warning|error)$"
    )
    log_json: bool = Field(False, description="Logs as JSON lines.")
    retention_raw_days: int = Field(30, description="Days that webhooks are kept as they came.")
    retention_attempts_days: int = Field(90, description="Days that calls and attempts are kept.")
    retention_events_days: int = Field(400, description="Days that events and runs are kept.")

    sandbox_journal: Path | None = Field(None, description="Folder where sandboxes write what they were sent.")
    trouble_window_seconds: int = Field(300, description="One event of an object's trouble in this time; more gather.")
    silent_factor: float = Field(20, description="A shop is silent after this many of its usual gaps ...")
    silent_minutes: int = Field(60, description="... but never before this many minutes.")

    def __init__(self, **given: Any) -> None:
        """Raises ConfigError, which names each setting that cannot be read and repeats no value: it may be secret."""
        try:
            super().__init__(**given)
        except ValidationError as e:
            faults = (
                f"TRADEWIND_{'.'.join(map(str, each['loc'])).upper()}: {each['msg'].removeprefix('Value error, ')}"
                for each in e.errors()
            )
            raise ConfigError(".\n".join(faults) + ".") from None

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, url: str) -> str:
        return _address(url.replace("postgres://", "postgresql://", 1), "postgresql://user:password@host:port/name")

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, url: str) -> str:
        return _address(url, "redis://host:port/number", "rediss", "unix")

    @property
    def recipes_folder(self) -> Path:
        return self.recipes or shipped_recipes()


def _address(url: str, wanted: str, *more: str) -> str:
    """Raises ValueError for what is no such address."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in (wanted.partition(":")[0], *more) and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if url and not (fits and "://" in url):
        raise ValueError(f"it is no address like {wanted}")
    return url
