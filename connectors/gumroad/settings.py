"""What a Gumroad connection is told: whose sales, the token in its webhook URL, the API token."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

API = "/v2"
Token = Annotated[SecretStr, Field(min_length=16)]


class Settings(BaseModel):
    """One Gumroad seller."""

    model_config = ConfigDict(extra="forbid")

    seller_id: Annotated[str, Field(min_length=1, description="The seller's id, as a ping's seller_id says it")]
    tokens: Annotated[
        list[Token],
        Field(
            min_length=1, description="Unguessable words for `?token=` of the webhook URL; several while one is changed"
        ),
    ]
    access_token: Annotated[
        SecretStr | None,
        Field(description="API access token: each sale is read back with it. Without one, events are unproven"),
    ] = None


def credentials(settings: Settings) -> Mapping[str, str]:
    if settings.access_token is None:
        return {}
    return {"authorization": f"Bearer {settings.access_token.get_secret_value()}"}
