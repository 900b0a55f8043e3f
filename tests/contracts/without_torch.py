"""Run in a process of its own by test_wheel.py: use the wheel as its user does who has not installed PyTorch."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: What this checkout has installed and the wheel does not ask for.
ABSENT = ("torch", "torchvision", "sklearn", "scipy", "PIL", "pyarrow", "pandas", "pydantic", "fastapi", "sqlalchemy")
OURS = ("app", "workers", "registry", "migrations")


class Absent:
    """Finds nothing under these names, before anyone else looks."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name.split(".", maxsplit=1)[0] in ABSENT + OURS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main(wheel: str, artifact: Path) -> None:
    sys.meta_path.insert(0, Absent())
    sys.path.insert(0, wheel)
    import distilled  # noqa: PLC0415 - that of the wheel, from here on

    assert str(distilled.__file__).startswith(wheel), distilled.__file__
    read(distilled, artifact)
    refuse(distilled, artifact)
    assert not {name.split(".")[0] for name in sys.modules} & {*ABSENT, *OURS}


def read(distilled: Any, artifact: Path) -> None:
    """Headers, batches, downloads, the cache and the command line need numpy and safetensors alone."""
    import numpy as np  # noqa: PLC0415
    from safetensors.numpy import load_file  # noqa: PLC0415

    from distilled.cli.main import build  # noqa: PLC0415
    from distilled.files import read_header, tensor_table  # noqa: PLC0415

    with service(distilled, artifact) as client:
        opened = client.open("best")
        assert opened.sample(count=1, seed=0, index=3).images.dtype == np.uint8
        assert load_file(opened.download(artifact.with_name("set")))["labels"].tolist() == [0]
        pulled = client.pull("best", artifact.with_name("pulled"))
    assert read_header(pulled)["kind"] == "images"
    assert tensor_table(pulled)["labels"]["shape"] == [9]
    assert build().registered_commands


def refuse(distilled: Any, artifact: Path) -> None:
    """What needs PyTorch says so, and how to install it."""
    with service(distilled, artifact) as client:
        opened = client.open("best")
        needs = [opened.dataset, opened.stream, lambda: distilled.open(artifact), lambda: distilled.DistilledDataset]
        for call in needs:
            assert "pip install 'distilled[torch]'" in said_by(call)


def said_by(call: Callable[[], Any]) -> str:
    """The ImportError that a call ends in, in words."""
    try:
        call()
    except ImportError as error:
        return f"{error}"
    return f"{call} works, and PyTorch is not here"


def service(distilled: Any, artifact: Path) -> Any:
    """A client of a service that knows one artifact."""
    import httpx2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from safetensors.numpy import save  # noqa: PLC0415

    from distilled.cache import Cache  # noqa: PLC0415

    content = artifact.read_bytes()
    about = {"id": "art_1", "digest": hashlib.sha256(content).hexdigest(), "bytes": len(content), "classes": ["a"]}
    arrays = {"images": np.zeros((1, 2, 2, 1), np.uint8), "labels": np.zeros(1, np.int64)}
    batch = save(arrays, metadata={"classes": '["a"]'})

    def answer(request: httpx2.Request) -> httpx2.Response:
        what = request.url.path.rpartition("/")[2]
        if what in ("best", "art_1"):
            return httpx2.Response(200, json=about)
        return httpx2.Response(200, stream=httpx2.ByteStream(content if what == "content" else batch))

    cache = Cache(folder=artifact.with_name("cache"))
    return distilled.Client("http://service", transport=httpx2.MockTransport(answer), cache=cache)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
