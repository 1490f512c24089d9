"""The demo: a made-up shop that sends real webhooks, and its connections to sandboxes."""
