"""Prometheus metrics of this process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
WEBHOOKS = Counter("tradewind_webhooks", "Webhooks by what became of them", ["result"], registry=REGISTRY)
DUE = Gauge("tradewind_due", "Rows that are due, by stage", ["stage"], registry=REGISTRY)
OF_CONNECTIONS = CollectorRegistry()
"""What names connections: for a key of their workspace alone."""
LANES = Gauge(
    "tradewind_lane_open",
    "1 while a connection's lane is open, 0 while it is parked",
    ["connection"],
    registry=OF_CONNECTIONS,
)
ACK = Histogram(
    "tradewind_ack_seconds",
    "From the request to its durable answer",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5),
    registry=REGISTRY,
)
