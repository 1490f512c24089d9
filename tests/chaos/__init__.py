"""Processes that really die under load, and a judge outside the app that counts every effect."""
