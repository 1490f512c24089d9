"""What several tests stand on: real servers, receivers, builders. Nothing here is shipped."""
