"""`python -m tests.conformance --url URL [--url URL] [--key KEY] [--prefix NAME] [options of pytest]`."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def main(arguments: list[str]) -> int:
    """Run the suite by itself: its own settings, and nothing of the tests around it. Returns pytest's exit status."""
    own = ["-c", str(HERE / "pytest.ini"), "--rootdir", str(HERE), "--confcutdir", str(HERE)]
    return pytest.main([*own, "-p", "no:cacheprovider", *arguments, str(HERE)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
