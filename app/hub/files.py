"""The files of a repository: which there are, what git and its large-file storage call them, their bytes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.artifacts.content import Content
from app.errors import EntryNotFound
from app.hub.repositories import Repository
from app.samples.exports import export
from app.services import Services

WEIGHTS = "artifact.safetensors"
MEDIA_TYPES = {"README.md": "text/markdown; charset=utf-8", "manifest.json": "application/json"}


@dataclass(frozen=True, kw_only=True)
class File:
    """A file at its path. large: it is in large-file storage, so that git holds a pointer in its place."""

    path: str
    content: Content
    large: bool

    @property
    def oid(self) -> str:
        """What git calls the file, or the pointer that stands for it."""
        return git_blob(self._pointer) if self.large or self.content.tag is None else self.content.tag

    @property
    def lfs(self) -> dict[str, Any] | None:
        """What large-file storage knows of it."""
        if not self.large:
            return None
        return {"oid": self.content.digest, "size": self.content.size, "pointerSize": len(self._pointer)}

    @property
    def _pointer(self) -> bytes:
        version = "https://git-lfs.github.com/spec/v1"
        return f"version {version}\noid sha256:{self.content.digest}\nsize {self.content.size}\n".encode()

    def entry(self) -> dict[str, Any]:
        """The file in a listing."""
        told = {"type": "file", "path": self.path, "size": self.content.size, "oid": self.oid}
        return told | ({"lfs": self.lfs} if self.large else {})


def git_blob(content: bytes) -> str:
    """git's name for a file of these bytes: 40 hex digits. It names, and secures nothing."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def paths(repository: Repository) -> list[str]:
    """All files, without making any."""
    return sorted([*repository.small, WEIGHTS, *(_parquet(size) for size in repository.sizes)])


def open_file(services: Services, repository: Repository, path: str) -> File:
    """The file at this path. Raises EntryNotFound."""
    artifact = repository.artifact
    if path in repository.small:
        text = repository.small[path]
        digest = hashlib.sha256(text).hexdigest()
        content = Content.of(text, digest=digest, media_type=MEDIA_TYPES[path], filename=path)
        return File(path=path, content=replace(content, tag=git_blob(text)), large=False)
    if path == WEIGHTS:
        content = Content.stored(services.store, artifact.digest, size=artifact.content_bytes, filename=path)
        return File(path=path, content=content, large=True)
    size = next((size for size in repository.sizes if _parquet(size) == path), None)
    if size is None:
        raise _no_entry(repository, path)
    made = export(services, artifact, format="parquet", ipc=size)
    return File(path=path, content=replace(made, filename=path.rpartition("/")[2]), large=True)


def listing(services: Services, repository: Repository, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    """What a folder holds (the root's name is empty), or the one file of this name. Raises EntryNotFound.

    Only files that are told of are made.
    """
    every = paths(repository)
    if folder in every:
        return [open_file(services, repository, folder).entry()]
    prefix = f"{folder}/" if folder else ""
    below = [path for path in every if path.startswith(prefix)]
    if not below:
        raise _no_entry(repository, folder)
    folders = dict.fromkeys(path.rpartition("/")[0] for path in below if "/" in path[len(prefix) :])
    files = below if recursive else [path for path in below if "/" not in path[len(prefix) :]]
    return [
        *(_folder(repository, name) for name in folders),
        *(open_file(services, repository, path).entry() for path in files),
    ]


def entries(services: Services, repository: Repository, asked: Sequence[str]) -> list[dict[str, Any]]:
    """Files and folders at these paths, without those that there are not."""
    every = paths(repository)
    found: list[dict[str, Any]] = []
    for path in dict.fromkeys(name.strip("/") for name in asked):
        if path in every:
            found.append(open_file(services, repository, path).entry())
        elif any(one.startswith(f"{path}/") for one in every):
            found.append(_folder(repository, path))
    return found


def siblings(services: Services, repository: Repository, *, blobs: bool) -> list[dict[str, Any]]:
    """All files, as the description of a repository names them. blobs: with sizes and digests."""
    if not blobs:
        return [{"rfilename": path} for path in paths(repository)]
    files = [open_file(services, repository, path) for path in paths(repository)]
    return [_sibling(file) for file in files]


def _sibling(file: File) -> dict[str, Any]:
    told = {"rfilename": file.path, "size": file.content.size, "blobId": file.oid}
    lfs = file.lfs
    return told if lfs is None else told | {"lfs": {"sha256": lfs["oid"], **lfs}}


def _parquet(size: int) -> str:
    return f"ipc{size}/train-00000-of-00001.parquet"


def _folder(repository: Repository, path: str) -> dict[str, Any]:
    # Not git's name of a tree, which would need every file in it to be made first.
    oid = hashlib.sha256(f"{repository.artifact.digest}/{path}".encode()).hexdigest()[:40]
    return {"type": "directory", "path": path, "size": 0, "oid": oid}


def _no_entry(repository: Repository, path: str) -> EntryNotFound:
    known = ", ".join(paths(repository))
    return EntryNotFound(f"there is no {path[:200]!r} here; there are {known}", commit=repository.commit)
