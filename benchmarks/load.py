"""What a front end bears: many listeners, many downloads and a running job, while the time of one question is taken.

    python -m benchmarks.load > benchmarks/results/load.md

Starts `distilled up` on two cores, with everything else of this script on the same two. For `--seconds`, `--listeners`
follow the job's events, `--downloads` fetch a file of `--megabytes` again and again at 1 MB/s each, and the time of
`GET /v1/jobs/{id}` is taken `--asked` times a second. Then an hour's worth of requests (`--requests`) is sent as fast
as it goes, and the front end's memory is looked at after each quarter. Exit status 1: an error, or a figure beyond its
bound.
"""

import argparse
import hashlib
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import distilled
from benchmarks._load import ENDLESS, SHORT, SPEED, Figures, Target, bear, replay
from benchmarks._machine import machine
from benchmarks._service import free_port, service
from registry import artifacts, jobs
from registry.session import Database
from registry.store import Store

CORES = 2
#: One address asks here for all who would; what is measured is not how it is refused.
ENVIRONMENT = {
    "DISTILLED_TORCH_THREADS": "1",
    "DISTILLED_READS_PER_MINUTE": "0",
    "DISTILLED_WRITES_PER_MINUTE": "0",
}
P99_SECONDS = 0.2
#: Memory after the last quarter over that after the first one.
GROWTH = 1.1
#: Five requests a second for an hour.
BUSY_HOUR = 18_000
# -- what it is done to -----------------------------------------------------------------------------------------------


def prepare(client: distilled.Client, url: str, home: Path, *, megabytes: float) -> Target:
    """A running job, a small artifact, and a large file that is one only by its row."""
    small = client.wait(client.submit(SHORT))
    job = client.submit(ENDLESS)
    large = _large(home, like=small.artifact_id or "", num_bytes=int(megabytes * 1e6))
    while client.job(job.id).state != "running":
        time.sleep(0.2)
    return Target(url=url, job=job.id, large=large, small=small.artifact_id or "", pid=front_end(url))


def _large(home: Path, *, like: str, num_bytes: int) -> str:
    """Publish bytes that no reader opens, with the header of another artifact. Returns the artifact's id."""
    content = hashlib.shake_256(b"load").digest(num_bytes)
    digest = Store.open((home / "store").as_uri()).put(content)
    database = Database(f"sqlite:///{home}/registry.db")
    with database.write() as session:
        header = artifacts.get(session, like).header
        job = jobs.submit(session, recipe=SHORT, digest="0" * 64, request_id="load")
        claim = jobs.claim(session, job.id, worker="load", device="cpu", lease_seconds=60)
        assert claim is not None
        made = jobs.Publication(
            digest=digest, content_bytes=num_bytes, payload_bytes=num_bytes, kind=header["kind"], header=header
        )
        artifact = jobs.finish(session, job.id, attempt=claim.attempt, publication=made)
        assert artifact is not None
    database.close()
    return artifact.id


def front_end(url: str) -> int:
    """The process number of `python -m app` on this port."""
    port = str(urlsplit(url).port)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if "app" in words and port in words:
            return int(folder.name)
    raise SystemExit(f"no front end on port {port} runs on this machine")


# -- the record --------------------------------------------------------------------------------------------------------


def faults(figures: Figures, *, p99_seconds: float = P99_SECONDS, growth: float = GROWTH) -> list[str]:
    """What is not as it has to be."""
    found = list(dict.fromkeys(figures.errors))
    if figures.seconds and figures.percentile(0.99) > p99_seconds:
        found.append(f"p99 is {1000 * figures.percentile(0.99):.0f} ms; it has to be below {1000 * p99_seconds:.0f} ms")
    if figures.memory and figures.growth > growth:
        found.append(f"memory has grown by {figures.growth:.3f}; at most {growth} is flat")
    return found


def record(figures: Figures, asked: argparse.Namespace, arguments: Sequence[str]) -> str:
    """The figures in Markdown."""
    seen, ms = figures.clients, [f"{1000 * figures.percentile(share):.1f}" for share in (0.5, 0.9, 0.99, 1.0)]
    memory = " → ".join(f"{size / 2**20:.1f}" for size in figures.memory)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return "\n".join(
        [
            "# What a front end bears\n",
            f"- machine: {machine()}; everything on {CORES} of the cores; load average after it {load}",
            f"- command: `{shlex.join(['python', '-m', 'benchmarks.load', *arguments])}`",
            f"- {asked.seconds:.0f} s with {asked.listeners} listeners, {asked.downloads} downloads of "
            f"{asked.megabytes:g} MB at {SPEED / 1e6:g} MB/s each, a job at work\n",
            "| | |\n|---|---|",
            f"| `GET /v1/jobs/{{id}}`, {len(figures.seconds)} times: median, p90, p99, slowest | {', '.join(ms)} ms |",
            f"| events received | {seen['events']:,}, no gap |",
            f"| downloads that ended, by their digest | {seen['downloads']:,} |",
            f"| bytes downloaded a second | {seen['num_bytes'] / asked.seconds / 1e6:.1f} MB |",
            f"| processor time of the front end meanwhile | {figures.processor_share:.2f} of a core |",
            f"| errors | {len(figures.errors)} |",
            f"| {asked.requests:,} requests of an hour, replayed at | {figures.replayed_per_second:.0f} a second |",
            f"| memory of the front end after each quarter | {memory} MiB ({figures.growth:.3f} of the first) |",
        ]
    )


def main(arguments: list[str]) -> int:
    """Print the record; exit status 1 if a figure is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--listeners", type=int, default=200)
    parser.add_argument("--downloads", type=int, default=50)
    parser.add_argument("--megabytes", type=float, default=8.0)
    parser.add_argument("--asked", type=float, default=40.0, help="questions a second")
    parser.add_argument("--requests", type=int, default=BUSY_HOUR)
    asked = parser.parse_args(arguments)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="distilled-load-") as folder:
        home = Path(folder) / "home"
        with service(home=home, port=port, environment=ENVIRONMENT) as client:
            target = prepare(client, f"http://127.0.0.1:{port}", home, megabytes=asked.megabytes)
            figures = bear(
                target,
                listeners=asked.listeners,
                downloads=asked.downloads,
                seconds=asked.seconds,
                asked=asked.asked,
            )
            client.cancel(target.job)
            replay(target, figures, requests=asked.requests)
    print(record(figures, asked, arguments))
    found = faults(figures)
    for fault in found:
        print(f"load: {fault}", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
