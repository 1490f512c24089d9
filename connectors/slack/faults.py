"""Slack's errors: `ok: false` in a 200 of the Web API, plain text beside a status from an incoming webhook.

Source: the error tables of Slack's method pages and of "Sending messages using incoming webhooks".
"""

from collections.abc import Mapping

import orjson

from app.connector import Reply
from app.errors import CredentialError, PermanentError, RetryableError, TradewindError, UnsureError

_CREDENTIAL = {
    "not_authed": "no token came with the request",
    "invalid_auth": "the token is not valid",
    "account_inactive": "the token's user or workspace is gone",
    "token_revoked": "the token was revoked",
    "token_expired": "the token has expired",
    "org_login_required": "the workspace is being moved into an organisation",
    "team_access_not_granted": "the app is not allowed in this workspace",
    "invalid_token": "the webhook's URL is not valid any more",
    "no_service": "the webhook was removed or switched off",
    "no_active_hooks": "the webhook was switched off",
    "no_team": "the workspace is gone",
    "team_disabled": "the workspace is gone",
}
_RETRYABLE = {
    "ratelimited": "too many messages",
    "rate_limited": "too many messages",
    "message_limit_exceeded": "too many messages",
    "service_unavailable": "Slack is not available",
    "team_added_to_org": "the workspace is being moved",
    "request_timeout": "Slack did not get the whole request",
}
_UNSURE = {
    "internal_error": "Slack failed; part may have succeeded",
    "fatal_error": "Slack failed; part may have succeeded",
    "rollup_error": "Slack failed; the message may have been posted",
}
_PERMANENT = {
    "channel_not_found": "there is no such channel, or the bot cannot see it: use the channel's id, or invite the bot",
    "not_in_channel": "the bot is not in the channel: invite it with /invite",
    "is_archived": "the channel is archived",
    "channel_is_archived": "the channel is archived",
    "msg_too_long": "the text is too long",
    "msg_blocks_too_long": "the blocks hold more than some 12,000 characters",
    "no_text": "the message is empty",
    "too_many_attachments": "there are too many attachments",
    "invalid_blocks": "the blocks are not as Slack wants them",
    "invalid_payload": "the body is not as Slack wants it",
    "missing_scope": "the token lacks a scope: chat:write to post, files:write to upload",
    "restricted_action": "a rule of the workspace forbids it",
    "action_prohibited": "a rule of the workspace forbids it",
    "message_not_found": "there is no such message",
    "cant_update_message": "the message is another's",
    "edit_window_closed": "the message is too old to be changed",
    "thread_not_found": "there is no such thread",
}


def problem(reply: Reply) -> TradewindError | None:
    """The error that an answer says in its body; None for a success, or to leave it to the status."""
    error = _error(reply)
    if error is None:
        return None
    if error in _CREDENTIAL:
        return CredentialError(_said(error, _CREDENTIAL), reply.status)
    if error in _RETRYABLE or reply.status == 429:
        return RetryableError(_said(error, _RETRYABLE), _seconds(reply), reply.status)
    if error in _UNSURE or reply.status >= 500:
        return UnsureError(_said(error, _UNSURE), _seconds(reply), reply.status)
    return PermanentError(_said(error, _PERMANENT), reply.status)


def _error(reply: Reply) -> str | None:
    if reply.body[:1] == b"{":
        return _web_api_error(reply.body)
    text = reply.body[:100].decode(errors="replace").strip()
    known = (_CREDENTIAL, _RETRYABLE, _UNSURE, _PERMANENT)
    return text if reply.status >= 400 and any(text in table for table in known) else None


def _web_api_error(body: bytes) -> str | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return str(answer.get("error", "unknown_error")) if answer.get("ok") is False else None


def _said(error: str, table: Mapping[str, str]) -> str:
    return f"Slack refuses ({error}): {table[error]}" if error in table else f"Slack refuses: {error}"


def _seconds(reply: Reply) -> float | None:
    value = {name.lower(): value for name, value in reply.headers.items()}.get("retry-after", "")
    return float(value) if value.isdigit() else None
