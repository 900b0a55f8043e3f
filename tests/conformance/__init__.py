"""What every service that speaks this API promises, held against a running one that is known by its address alone.

Nothing here imports the service: `python -m tests.conformance --url http://127.0.0.1:8000 --key KEY`.
"""
