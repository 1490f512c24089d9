"""What a WooCommerce connection is told: its address, its webhook secrets, its REST keys."""

import base64
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

API = "/wp-json/wc/v3"
_SITE = re.compile(r"https?://[^\s/?#@\\]+(/[^\s?#\\]*)?")


class Settings(BaseModel):
    """One WooCommerce shop."""

    model_config = ConfigDict(extra="forbid")

    site: Annotated[str, Field(description="Address of the shop, https://shop.example, with its path if it has one")]
    webhook_secrets: Annotated[
        list[SecretStr],
        Field(
            min_length=1,
            description="The secrets of its webhooks, as typed there; several while one is changed",
            json_schema_extra={"x-one-an-endpoint": True},
        ),
    ]
    consumer_key: Annotated[SecretStr | None, Field(description="REST API key, ck_...: for actions and reads")] = None
    consumer_secret: Annotated[SecretStr | None, Field(description="REST API secret, cs_...")] = None
    currency: Annotated[
        str | None,
        Field(description="The shop's currency (EUR): products do not say theirs", pattern="^[A-Za-z]{3,8}$"),
    ] = None

    @field_validator("site")
    @classmethod
    def _address(cls, site: str) -> str:
        if not _SITE.fullmatch(site):
            raise ValueError("must be an address such as https://shop.example, without user, password, ? or #")
        if API in site:
            raise ValueError(f"is the shop's own address, without {API}")
        return site.rstrip("/")

    @field_validator("webhook_secrets")
    @classmethod
    def _not_blank(cls, secrets: list[SecretStr]) -> list[SecretStr]:
        if not all(secret.get_secret_value() for secret in secrets):
            raise ValueError("a blank secret would let anybody sign")
        return secrets

    @property
    def can_read(self) -> bool:
        return self.consumer_key is not None and self.consumer_secret is not None


def credentials(settings: Settings) -> Mapping[str, str]:
    """HTTP Basic with key and secret; WooCommerce takes it over HTTPS alone. Nothing without keys."""
    if settings.consumer_key is None or settings.consumer_secret is None:
        return {}
    pair = f"{settings.consumer_key.get_secret_value()}:{settings.consumer_secret.get_secret_value()}"
    return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
