"""What people and files change and look up by hand, with SQLAlchemy Core. No worker loads it: it takes 15 MB."""
