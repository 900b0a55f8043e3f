"""Files that were made to break whoever opens them, opened in the process that workers open them in."""

import dataclasses
import gzip
import io
import json
import os
import resource
import stat
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from distilled.kinds import HEAD_BYTES, Kind, kind_of
from distilled.npz import NpzLimits
from tests.unit.intake.sets import folder, png, tarred, told_kind, zipped
from workers.intake import Limits, apart

ZEROS = bytes(12 * 1024**2)
#: What the process has before it opens anything is about 80 MiB.
MOST_MEMORY = 192 * 1024**2
#: The limits at a quarter, so that bombs are made in no time.
LIMITS = Limits(memory_bytes=MOST_MEMORY, ratio_from_bytes=8 * 1024**2, unpacked_bytes=1024**3)
MOST_SECONDS = 30.0


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_bomb(width: int, height: int, *, rows: int = 0) -> bytes:
    """A PNG that claims a size; `rows` rows of its grey pixels are there."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((width + 1) * rows), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def flat_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for i in range(3):
            archive.writestr(f"train/cat/{i}.png", ZEROS)
    return buffer.getvalue()


def overlapping_zip() -> bytes:
    """Twenty members whose bytes are the same ones, as in a zip bomb without recursion (Fifield 2019)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("train/cat/0.png", ZEROS)
        (first,) = archive.infolist()
        for i in range(1, 20):
            again = zipfile.ZipInfo(first.filename)
            for field in ("header_offset", "compress_type", "CRC", "compress_size", "file_size", "external_attr"):
                setattr(again, field, getattr(first, field))
            again.filename = f"train/cat/{i}.png"
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
        archive._didModify = True
    return buffer.getvalue()


def table(images: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    columns = pa.table({"image": images, "label": pa.array([0] * len(images))})
    pq.write_table(columns, buffer, compression="zstd", write_statistics=False, **options)
    return buffer.getvalue()


def large_value(size: int) -> Any:
    offsets = pa.py_buffer(struct.pack("<qq", 0, size))
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(bytes(size))])


def repeated(times: int) -> bytes:
    """A megabyte that stands in the file once, and in a column many times."""
    values = pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([bytes(1024**2)]))
    return table(values.cast(pa.binary()))


BOMBS: dict[str, Callable[[], bytes]] = {
    "zip": flat_zip,
    "zip without recursion": overlapping_zip,
    "zip of zips": lambda: zipped({f"train/cat/{i}.zip": flat_zip() for i in range(2)}),
    "tar.gz": lambda: gzip.compress(tarred({f"train/cat/{i}.png": ZEROS for i in range(3)}), 1),
    "tar.gz of nothing": lambda: gzip.compress(bytes(30 * 1024**2), 1),
    "gz in gz": lambda: gzip.compress(gzip.compress(tarred({"train/cat/0.png": ZEROS}), 1)),
    "png by its header": lambda: zipped({"train/cat/0.png": png_bomb(60_000, 60_000)}),
    "png of zeros": lambda: zipped({"train/cat/0.png": png_bomb(60_000, 1_000, rows=1_000)}),
    "parquet value": lambda: table(large_value(150 * 1024**2), use_dictionary=False),
    "parquet dictionary": lambda: repeated(50),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_seconds_and_in_bounded_memory(tmp_path: Path, name: str) -> None:
    content = BOMBS[name]()
    (tmp_path / "sent").write_bytes(content)
    order = apart.Order(
        sent=str(tmp_path / "sent"),
        made=str(tmp_path / "made.npz"),
        kind=str(told_kind(content)),
        num_bytes=len(content),
        limits=LIMITS,
        npz_limits=NpzLimits(),
        parent=os.getpid(),
    )
    began, peak = time.monotonic(), 0
    with (tmp_path / "said").open("w+b") as said:
        command = [sys.executable, "-m", "workers.intake", order.to_json()]
        process = subprocess.Popen(command, stdout=said, env=os.environ | ARROW)
        while process.poll() is None:
            peak = max(peak, peak_bytes(process.pid))
            time.sleep(0.02)
        said.seek(0)
        lines = [json.loads(line) for line in said]
    assert process.returncode == 0
    assert lines[-1]["report"]["problems"], lines
    assert 0 < peak < MOST_MEMORY
    assert time.monotonic() - began < MOST_SECONDS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["said", "sent"]


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had so far; 0 where it has ended. (Its usage as told at its end is no less
    than that of the process that started it.)
    """
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


ARROW = {"ARROW_DEFAULT_MEMORY_POOL": "system"}


def look(tmp_path: Path, content: bytes, **limits: Any) -> dict[str, Any]:
    """As a worker looks at it. Raises what `apart.look` does; nothing of the process is left either way."""
    (tmp_path / "sent").write_bytes(content)
    told: list[float] = []
    try:
        return apart.look(
            tmp_path / "sent",
            tmp_path / "made.npz",
            kind=kind_of(content[:HEAD_BYTES]) or Kind.ZIP,
            limits=Limits(**limits),
            npz_limits=NpzLimits(),
            tick=told.append,
            log=lambda said: (tmp_path / "log").write_text(said) and None,
        )
    finally:
        assert told == sorted(told)


def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A script in place of the process: what a decoder that was taken over could do."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(stat.S_IRWXU)
    monkeypatch.setattr(sys, "executable", str(program))


def test_a_good_file_is_made_and_reported(tmp_path: Path) -> None:
    report = look(tmp_path, zipped(folder()))
    assert (report["problems"], report["images"]) == ([], {"train": 10, "test": 10})
    assert (tmp_path / "made.npz").exists()


def test_an_image_that_takes_too_much_memory_is_left_out(tmp_path: Path) -> None:
    files = folder() | {"train/cat/large.png": png_bomb(8_000, 8_000, rows=8_000)}
    report = look(tmp_path, zipped(files), memory_bytes=256 * 1024**2)
    assert report["unreadable"]["first"] == [
        {"name": "train/cat/large.png", "detail": "takes more memory to open than an image may"}
    ]
    assert look(tmp_path, zipped(files))["unreadable"]["count"] == 0


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ("sleep 60", "takes longer"),
        ("kill -XCPU $$; sleep 60", "takes longer"),
        ("kill -SEGV $$", "breaks the decoder"),
        ("kill -ABRT $$", "breaks the decoder"),
    ],
)
def test_a_process_that_hangs_or_crashes_refuses_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, detail: str
) -> None:
    instead(tmp_path, monkeypatch, script)
    monkeypatch.setattr(apart, "SLACK_SECONDS", 0.3)
    (problem,) = look(tmp_path, zipped(folder()), seconds=0.2)["problems"]
    assert detail in problem["detail"]


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "kill -KILL $$",  # by the system, short of memory, or by an operator: no fault of the file
        "echo rubbish",
        "echo '{\"fraction\": 7}'",
        "echo '{\"report\": {}}'",
        "echo '[]'",
        "head -c 17000000 /dev/zero",
    ],
)
def test_what_says_something_else_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    instead(tmp_path, monkeypatch, script)
    with pytest.raises(apart.LookFailed):
        look(tmp_path, zipped(folder()))


def test_a_full_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(tmp_path, monkeypatch, "echo '{\"full\": true}'")
    with pytest.raises(OSError, match="No space left"):
        look(tmp_path, zipped(folder()))


def test_what_the_process_complains_of_goes_to_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(tmp_path, monkeypatch, "echo 'it is the decoder' >&2; exit 3")
    with pytest.raises(apart.LookFailed):
        look(tmp_path, zipped(folder()))
    assert "it is the decoder" in (tmp_path / "log").read_text()


def test_the_process_is_killed_when_its_worker_has_to_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Leave(Exception):
        pass

    def leave(fraction: float) -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip():
            raise Leave

    instead(tmp_path, monkeypatch, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    (tmp_path / "sent").write_bytes(b"")
    options = {"kind": Kind.ZIP, "limits": Limits(), "npz_limits": NpzLimits(), "log": print}
    with pytest.raises(Leave):
        apart.look(tmp_path / "sent", tmp_path / "made.npz", tick=leave, **options)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_process_knows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLED_DATABASE_URL", "postgresql://user:secret@db/distilled")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    instead(tmp_path, monkeypatch, f"env > {tmp_path}/environment; exit 1")
    with pytest.raises(apart.LookFailed):
        look(tmp_path, zipped(folder()))
    environment = (tmp_path / "environment").read_text()
    assert "PYTHONPATH=" in environment
    assert "secret" not in environment


def test_the_kernel_keeps_the_limits(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from workers.intake.__main__ import confine; from workers.intake import Limits\n"
        "confine(Limits(seconds=7, memory_bytes=2**28), written_bytes=1000)\n"
        "assert 'torch' not in sys.modules\n"
        "print([resource.getrlimit(what)[1] for what in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE,"
        " resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)])\n"
        "file = open(sys.argv[1], 'wb', buffering=0)\n"
        "try: file.write(bytes(2000)); file.write(b'x')\n"
        "except OSError as error: print(error.errno)\n"
        "try: bytearray(2**28)\n"
        "except MemoryError: print('memory')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == [str([2**28, 1000, 8, 64, 0]), "27", "memory"]
    assert (tmp_path / "file").stat().st_size == 1000
    assert resource.getrlimit(resource.RLIMIT_CPU)[0] == resource.RLIM_INFINITY  # of this process


def test_it_does_nothing_for_a_parent_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(zipped({"train/cat/0.png": png()}))
    made = tmp_path / "made.npz"
    order = apart.Order(
        sent=str(tmp_path / "sent"),
        made=str(made),
        kind="zip",
        num_bytes=1,
        limits=Limits(),
        npz_limits=NpzLimits(),
        parent=1,
    )
    assert apart.Order.from_json(order.to_json()) == order
    assert dataclasses.asdict(order)["limits"]["depth"] == Limits().depth
    done = subprocess.run([sys.executable, "-m", "workers.intake", order.to_json()], check=False, timeout=60)
    assert done.returncode == 1
    assert not made.exists()


def test_pillow_knows_no_larger_images_than_we_take() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert Limits().pixels <= Image.MAX_IMAGE_PIXELS
