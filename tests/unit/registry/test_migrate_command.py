"""`python -m registry.schema`, as a process, and many of them at once."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def start(**variables: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "registry.schema"]
    environment = os.environ | variables
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_two_at_once_both_succeed(tmp_path: Path) -> None:
    both = [start(DISTILLED_HOME=str(tmp_path / "home")) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert all("is at revision" in out for out, _ in outputs)
    assert (tmp_path / "home" / "registry.db").exists()


def test_an_unreachable_server_is_named_without_its_password() -> None:
    process = start(DISTILLED_DATABASE_URL="postgresql://me:secret@127.0.0.1:1/none")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot be migrated" in err
    assert "DISTILLED_DATABASE_URL" in err
    assert "secret" not in out + err
    assert "Traceback" not in err
