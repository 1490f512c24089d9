"""What Slack needs to know, what its actions take, and what they give back."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from app.events import Dispute, FreeDict, HubTrouble, Order, Text


class Settings(BaseModel):
    """A Slack workspace, by the token of a bot, or by an incoming webhook (which posts into its one channel only)."""

    model_config = ConfigDict(extra="forbid")

    team: Annotated[str, Field(min_length=1, description="Name or id of the Slack workspace")] = "default"
    bot_token: Annotated[SecretStr | None, Field(description="xoxb-..., with scopes chat:write and files:write")] = None
    webhook_url: Annotated[SecretStr | None, Field(description="https://hooks.slack.com/services/...")] = None
    channel: Annotated[Text, Field(description="Where to post unless a step says so: an id, or #name")] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.bot_token is None) == (self.webhook_url is None):
            raise ValueError("give either bot_token or webhook_url")
        if self.webhook_url is not None and "/services/" not in self.webhook_url.get_secret_value():
            raise ValueError("webhook_url must look like https://hooks.slack.com/services/...")
        return self


class _Content(BaseModel):
    """What a message says. A card is drawn of `order`, `dispute` or `trouble`; `text` stands above it, and is what
    notifications show. Names and texts of others are escaped; `markup` says that `text` holds links or mentions of
    your own (<https://...|text>, <!channel>) and must not be."""

    text: Annotated[Text, Field(description="40,000 characters at most")] = None
    order: Order | None = None
    dispute: Dispute | None = None
    trouble: HubTrouble | None = None
    blocks: Annotated[list[FreeDict] | None, Field(max_length=50, description="Slack's own blocks, not a card")] = None
    markup: bool = False
    fields: Annotated[
        FreeDict, Field(description="Slack's own fields, laid over what is made (icon_emoji, metadata)")
    ] = Field(default_factory=dict)


class PostMessage(_Content):
    channel: Annotated[Text, Field(description="Instead of the connection's")] = None


class ReplyInThread(_Content):
    channel: Annotated[str, Field(description="The id that `post_message` gave back")]
    ts: Annotated[str, Field(description="The message to reply to, as `post_message` gave it back")]
    broadcast: Annotated[bool, Field(description="Show it in the channel too")] = False


class UpdateMessage(_Content):
    channel: str
    ts: str


class UploadFile(BaseModel):
    """A file for a channel: `content` in base64 (as `quickbooks.get_invoice_pdf` gives it), or plain `text`."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    content: Annotated[Text, Field(description="Base64")] = None
    text: Text = None
    title: Text = None
    comment: Annotated[Text, Field(description="A message beside the file")] = None
    channel: Annotated[Text, Field(description="The channel's id, instead of the connection's")] = None
    ts: Annotated[Text, Field(description="Put it into the thread of this message")] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.content is None) == (self.text is None):
            raise ValueError("give either content or text")
        return self


class Message(BaseModel):
    """A message as Slack keeps it; an incoming webhook tells neither channel nor ts."""

    channel: Annotated[str | None, Field(examples=["C0123456789"])] = None
    ts: Annotated[str | None, Field(examples=["1700000000.000001"])] = None


class FileUploaded(BaseModel):
    id: str
    channel: Annotated[str | None, Field(examples=["C0123456789"])] = None
