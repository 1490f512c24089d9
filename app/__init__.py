"""Tradewind: a self-hosted integration hub for online shops."""
