"""Requests and files that were made to break the service: short and seeded in `make test`, long in `make fuzz`."""
