"""Many clients in one process, for `benchmarks.load`: listeners to a job's events, and downloads at a line's speed.

    python -m benchmarks._clients URL JOB ARTIFACT --listeners 200 --downloads 50 --speed 1000000

It prints `ready` once all of them have what they asked for, goes on until its standard input is closed, and prints what
came of it as a line of JSON. Each listener checks that events are numbered without a gap, each download its digest.
"""

import argparse
import asyncio
import hashlib
import json
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

PIECE = 64 * 1024
#: What the kernel may take before a download has read it. Else it takes nearly all of a file at once, and a line of
#: 1 MB/s would be one that brings 6 MB in its first moment.
RECEIVE_BYTES = 128 * 1024
#: From the beginning of one download to that of the next there is at least so long, in seconds.
PAUSE = 1.0
MAX_ERRORS = 20


@dataclass
class Seen:
    """What the clients have seen. num_bytes: of downloads."""

    listening: int = 0
    begun: int = 0
    events: int = 0
    downloads: int = 0
    num_bytes: int = 0
    errors: list[str] = field(default_factory=list[str])

    def fault(self, what: str) -> None:
        """Note an error."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(what)


class Clients:
    """They live until `stop` is set."""

    def __init__(self, url: str, *, job: str, artifact: str, speed: int, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._job, self._artifact, self._speed, self._headers = job, artifact, speed, headers
        self.seen = Seen()
        self.stop = asyncio.Event()

    async def listen(self) -> None:
        """Follow the job's events from the first one."""
        reader, writer, _ = await self._get(f"/v1/jobs/{self._job}/events")
        number = 0
        try:
            self.seen.listening += 1
            while not self.stop.is_set():
                line = await reader.readline()
                if not line and not self.stop.is_set():
                    raise ConnectionError(f"a story ended after event {number}")
                if line.startswith(b"id: "):
                    if int(line[4:]) != number + 1:
                        raise ValueError(f"event {line[4:].decode().strip()} came after event {number}")
                    number += 1
                    self.seen.events += 1
        finally:
            writer.close()

    async def download(self) -> None:
        """Fetch the artifact's file again and again, at the line's speed and at most once in PAUSE."""
        while not self.stop.is_set():
            reader, writer, told = await self._get(f"/v1/artifacts/{self._artifact}/content")
            self.seen.begun += 1
            digest, left, began, have = hashlib.sha256(), int(told["content-length"]), time.monotonic(), 0
            try:
                while have < left:
                    piece = await reader.read(min(PIECE, left - have))
                    if not piece:
                        raise ConnectionError(f"a download ended after {have} of {left} bytes")
                    digest.update(piece)
                    have += len(piece)
                    self.seen.num_bytes += len(piece)
                    await asyncio.sleep(max(0.0, began + have / self._speed - time.monotonic()))
            finally:
                writer.close()
            if f'"{digest.hexdigest()}"' != told["etag"]:
                raise ValueError("a download has another digest than its ETag")
            self.seen.downloads += 1
            await asyncio.sleep(max(0.0, began + PAUSE - time.monotonic()))

    async def _get(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, dict[str, str]]:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        line.setblocking(False)
        await asyncio.get_running_loop().sock_connect(line, (self._host, self._port))
        reader, writer = await asyncio.open_connection(sock=line, limit=2 * PIECE)
        lines = [f"GET {path} HTTP/1.1", f"Host: {self._host}:{self._port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self._headers.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        status, *told = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        if " 200 " not in status:
            writer.close()
            raise ConnectionError(f"{path.rpartition('/')[2]}: {status}")
        return (
            reader,
            writer,
            {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in told)},
        )


async def run(clients: Clients, *, listeners: int, downloads: int) -> Seen:
    """All of them until standard input is closed."""

    async def guarded(kind: str) -> None:
        try:
            await (clients.listen() if kind == "listener" else clients.download())
        except Exception as error:
            clients.seen.fault(f"{kind}: {error!r}")

    kinds = ["listener"] * listeners + ["download"] * downloads
    tasks = [asyncio.create_task(guarded(kind)) for kind in kinds]
    while (clients.seen.listening < listeners or clients.seen.begun < downloads) and not clients.seen.errors:
        await asyncio.sleep(0.05)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    clients.stop.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return clients.seen


def main() -> int:
    """Print what the clients have seen; exit status 1 if any had cause to complain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("job")
    parser.add_argument("artifact")
    parser.add_argument("--listeners", type=int, required=True)
    parser.add_argument("--downloads", type=int, required=True)
    parser.add_argument("--speed", type=int, required=True, help="bytes a second of each download")
    parser.add_argument("--header", action="append", default=[], help="NAME=VALUE of every request")
    asked = parser.parse_args()
    headers = dict(given.split("=", 1) for given in asked.header)

    async def measured() -> Seen:
        clients = Clients(asked.url, job=asked.job, artifact=asked.artifact, speed=asked.speed, headers=headers)
        return await run(clients, listeners=asked.listeners, downloads=asked.downloads)

    seen = asyncio.run(measured())
    print(json.dumps(asdict(seen)), flush=True)
    return int(bool(seen.errors))


if __name__ == "__main__":
    sys.exit(main())
