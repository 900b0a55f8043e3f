"""Runs the front end as a process, with the tests' small catalog: `python -m tests.integration.app.serve …`."""

import json
import sys
import tempfile
from pathlib import Path

from app import services
from app.__main__ import main
from tests.unit.app.catalog import CATALOG

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        services.CATALOG = Path(folder) / "catalog.json"
        services.CATALOG.write_text(json.dumps(CATALOG), encoding="utf-8")
        sys.exit(main(sys.argv[1:]))
