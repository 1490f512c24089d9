"""What a connection to a Shopify shop is configured with."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

API_VERSION = "2026-07"
"""Of the Admin API; quarterly, each supported for a year (https://shopify.dev/docs/api/usage/versioning)."""

_DOMAIN = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)*(:[0-9]+)?")


class Settings(BaseModel):
    """`webhook_secrets` may hold several: of the app, of the shop's own notifications, old and new during a rotation
    (the old one signs for up to an hour more)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shop: Annotated[str, Field(title="Shop", description="The shop's name at Shopify: main-store.myshopify.com")]
    webhook_secrets: Annotated[
        list[SecretStr],
        Field(min_length=1, title="Webhook secrets", description="Client secret of the app; signing secret"),
    ]
    access_token: Annotated[
        SecretStr | None, Field(title="Access token", description="Admin API token (shpat_...); needed by actions only")
    ] = None
    api_version: Annotated[str, Field(pattern=r"^(\d{4}-(01|04|07|10)|unstable)$", title="API version")] = API_VERSION
    currency: Annotated[
        str | None,
        Field(pattern=r"^[A-Z]{3}$", title="Currency", description="The shop's; product webhooks do not name it"),
    ] = None
    location_id: Annotated[
        str | None, Field(title="Location", description="Where stock is set if a step names no location")
    ] = None

    @field_validator("shop", mode="before")
    @classmethod
    def _domain(cls, value: object) -> object:
        """`Main-Store` and `https://main-store.myshopify.com/` are the same shop."""
        if not isinstance(value, str):
            return value
        name = value.strip().lower().removeprefix("https://").rstrip("/")
        if not _DOMAIN.fullmatch(name):
            raise ValueError(f"{value!r} is no shop's name; it looks like main-store.myshopify.com")
        return name if "." in name or ":" in name else f"{name}.myshopify.com"

    @field_validator("webhook_secrets")
    @classmethod
    def _not_blank(cls, value: list[SecretStr]) -> list[SecretStr]:
        if not all(secret.get_secret_value() for secret in value):
            raise ValueError("a webhook secret is blank")
        return value
