"""Stripe's objects as our nouns: pure functions, one file a family."""
