"""States and kinds of rows that are spoken of without their tables."""

WEBHOOK_STATES = ("due", "reading", "normalised", "ignored", "unknown", "malformed")

PARTITIONED = {
    "webhook": "raw",
    "event": "events",
    "run": "events",
    "step": "events",
    "call": "attempts",
    "attempt": "attempts",
}
"""Partitioned table -> the kind of retention that drops its partitions."""
