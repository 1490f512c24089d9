"""Stripe's topics as our events: pure functions of one snapshot event, one file a family."""
