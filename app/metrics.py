"""Prometheus metrics of this process."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
WEBHOOKS = Counter("tradewind_webhooks", "Webhooks by what became of them", ["result"], registry=REGISTRY)
DUE = Gauge("tradewind_due", "Rows that are due, by stage", ["stage"], registry=REGISTRY)
ACK = Histogram(
    "tradewind_ack_seconds",
    "From the request to its durable answer",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5),
    registry=REGISTRY,
)


def of_lanes(are_open: Mapping[str, bool]) -> CollectorRegistry:
    """What names connections (slug -> whether its lane is open), made for one answer: it is for a key of their
    workspace alone."""
    registry = CollectorRegistry()
    said = "1 while a connection's lane is open, 0 while it is parked"
    gauge = Gauge("tradewind_lane_open", said, ["connection"], registry=registry)
    for slug, is_open in are_open.items():
        gauge.labels(slug).set(1 if is_open else 0)
    return registry
