"""What users do with `huggingface_hub` and `datasets`, unmodified: `python hugging_face.py NAMES`, which prints JSON.

A process of its own, because both libraries read HF_ENDPOINT, HF_HOME and HF_TOKEN when they are imported. NAMES is a
JSON object: {"repo", "id", "digest", "alias" of the same artifact, "open": URL of a door without a key}.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import get_dataset_config_names, load_dataset, load_dataset_builder
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, HfApi, HfFileSystem, get_session, hf_hub_download, snapshot_download
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

ENDPOINT = os.environ["HF_ENDPOINT"]
#: A cache that holds nothing yet: what is cached is used where the service refuses.
ELSEWHERE = os.environ["HF_HOME"] + "/elsewhere"
PARQUET = "ipc10/train-00000-of-00001.parquet"


def mark(name: str) -> None:
    """A line in the server's memory, between what one step asks and what the next one does."""
    get_session().get(f"{ENDPOINT}/mark/{name}")


def failure(act: Callable[[], Any]) -> list[str]:
    """The names of an error's classes, the nearest first, and its message."""
    try:
        act()
    except Exception as error:
        return [*(kind.__name__ for kind in type(error).__mro__[:-3]), str(error)]
    return ["none"]


def describe(repo: str, names: dict[str, str]) -> dict[str, Any]:
    api = HfApi()
    paths = api.get_paths_info(repo, ["ipc10", PARQUET, "no"], repo_type="dataset")
    info = api.dataset_info(repo, files_metadata=True)
    tree = {entry.path: entry for entry in api.list_repo_tree(repo, repo_type="dataset", recursive=True)}
    return {
        "id": info.id,
        "sha": info.sha,
        "private": info.private,
        "licence": info.card_data["license"],
        "siblings": [[file.rfilename, file.size, file.blob_id, file.lfs and file.lfs.sha256] for file in info.siblings],
        "tree": [
            [path, entry.size, entry.blob_id, entry.lfs and entry.lfs.sha256]
            for path, entry in sorted(tree.items())
            if hasattr(entry, "size")
        ],
        "files": sorted(api.list_repo_files(repo, repo_type="dataset")),
        "refs": [ref.name for ref in api.list_repo_refs(repo, repo_type="dataset").tags],
        "paths": sorted(entry.path for entry in paths),
        "listed": [one.id for one in api.list_datasets(author="distilled", search="TOY", limit=5)],
        "filtered": [one.id for one in api.list_datasets(filter=["dataset-distillation", "generator"])],
        "who": api.whoami()["name"],
        "exists": [
            api.repo_exists(repo, repo_type="dataset"),
            api.repo_exists("distilled/no", repo_type="dataset"),
            api.revision_exists(repo, names["digest"], repo_type="dataset"),
            api.revision_exists(repo, "no", repo_type="dataset"),
            api.file_exists(repo, "README.md", repo_type="dataset"),
            api.file_exists(repo, "no.md", repo_type="dataset"),
        ],
    }


def download(repo: str, names: dict[str, str]) -> dict[str, Any]:
    def fetch(path: str, revision: str | None = None) -> str:
        return hf_hub_download(repo, path, repo_type="dataset", revision=revision)

    mark("first")
    first = fetch("artifact.safetensors")
    mark("second")
    again = fetch("artifact.safetensors")
    mark("card")
    card = DatasetCard.load(Path(fetch("README.md")))
    configs = MetadataConfigs.from_dataset_card_data(card.data)
    infos = DatasetInfosDict.from_dataset_card_data(card.data)
    return {
        "same": first == again,
        "commit": Path(first).parts[-2],
        "content": Path(first).read_bytes().hex(),
        "revisions": [Path(fetch("manifest.json", names[name])).parts[-2] for name in ("digest", "alias", "id")],
        "configs": dict(configs),
        "features": {name: info.features.to_dict() for name, info in infos.items()},
        "text": card.text,
    }


def snapshot(repo: str, names: dict[str, str]) -> dict[str, Any]:
    mark("first")
    folder = Path(snapshot_download(repo, repo_type="dataset"))
    mark("second")
    again = Path(snapshot_download(repo, repo_type="dataset"))
    table = pq.read_table(folder / PARQUET)
    return {
        "same": folder == again,
        "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()),
        "rows": table.num_rows,
        "parquet_features": json.loads(table.schema.metadata[b"huggingface"])["info"]["features"],
    }


def filesystem(repo: str, names: dict[str, str]) -> dict[str, Any]:
    files = HfFileSystem()
    mark("read")
    with files.open(f"datasets/{repo}/{PARQUET}", "rb", block_size=64) as file:
        head = file.read(4)
        file.seek(-4, os.SEEK_END)
        tail = file.read(4)
    mark("rest")
    with files.open(f"datasets/{repo}@{names['digest']}/{PARQUET}", "rb") as file:
        rows = pq.ParquetFile(file).metadata.num_rows
    return {
        "ls": sorted(files.ls(f"datasets/{repo}", detail=False)),
        "glob": sorted(files.glob(f"datasets/{repo}/**/*.parquet")),
        "ends": [head.decode(), tail.decode()],
        "rows": rows,
        "size": files.info(f"datasets/{repo}/{PARQUET}")["size"],
        "missing": failure(lambda: files.open(f"datasets/{repo}/no.parquet", "rb").read()),
        "missing_repository": failure(lambda: files.ls("datasets/distilled/no")),
    }


def data(repo: str, names: dict[str, str]) -> dict[str, Any]:
    mark("whole")
    whole = load_dataset(repo, "ipc10", split="train")
    mark("again")
    pinned = load_dataset(repo, "ipc1", revision=names["digest"], split="train")
    named = load_dataset(repo, "ipc1", revision=names["alias"], split="train")
    mark("streaming")
    flow = load_dataset(repo, "ipc10", split="train", streaming=True)
    streamed = list(flow.take(15))
    mark("end")
    return {
        "names": get_dataset_config_names(repo),
        "default": len(load_dataset(repo, split="train")),
        "rows": len(whole),
        "classes": whole.features["label"].names,
        "labels": list(whole["label"]),
        "first": whole[0]["image"].tobytes().hex(),
        "soft": whole[0]["soft_label"],
        "size": [whole[0]["image"].size, whole[0]["image"].mode],
        "streamed": [[row["image"].tobytes().hex(), row["label"]] for row in streamed],
        "pinned": [len(pinned), len(named)],
        "built": list(load_dataset_builder(repo, "ipc1").info.features),
        "no_config": failure(lambda: load_dataset(repo, "ipc7")),
        "no_dataset": failure(lambda: load_dataset("distilled/no")),
        "no_revision": failure(lambda: load_dataset(repo, "ipc1", revision="no")),
        "no_split": failure(lambda: load_dataset(repo, "ipc1", split="test")),
    }


def refused(repo: str, names: dict[str, str]) -> dict[str, Any]:
    def fetch(path: str = "README.md", **options: Any) -> Callable[[], Any]:
        asked = {"repo_id": repo, "repo_type": "dataset", "cache_dir": ELSEWHERE, **options}
        return lambda: hf_hub_download(filename=path, **asked)

    def past_the_end() -> None:
        headers = build_hf_headers() | {"Range": "bytes=99999999-"}
        hf_raise_for_status(get_session().get(f"{ENDPOINT}/datasets/{repo}/resolve/main/{PARQUET}", headers=headers))

    return {
        "repository": failure(fetch(repo_id="distilled/no")),
        "namespace": failure(fetch(repo_id="someone/else")),
        "model": failure(fetch(repo_type="model")),
        "revision": failure(fetch(revision="no")),
        "old_commit": failure(fetch(revision="0" * 40)),
        "entry": failure(fetch("no.txt")),
        "tree": failure(lambda: list(HfApi().list_repo_tree(repo, "no/folder", repo_type="dataset"))),
        "no_token": failure(fetch(token=False)),
        "no_token_info": failure(lambda: HfApi(token=False).dataset_info(repo)),
        "no_token_data": failure(lambda: load_dataset(f"distilled/{names['alias']}", token=False)),
        "wrong_token": failure(lambda: HfApi(token="hf_wrong").dataset_info(repo)),
        "wrong_token_data": failure(lambda: load_dataset(f"distilled/{names['alias']}", token="hf_wrong")),
        "wrong_who": failure(lambda: HfApi(token="hf_wrong").whoami()),
        "powerless": failure(fetch(token=names["powerless"])),
        "powerless_info": failure(lambda: HfApi(token=names["powerless"]).dataset_info(repo)),
        "powerless_data": failure(lambda: load_dataset(f"distilled/{names['alias']}", token=names["powerless"])),
        "range": failure(past_the_end),
        "write": failure(lambda: HfApi().create_repo("distilled/new", repo_type="dataset")),
    }


def without_a_key(repo: str, names: dict[str, str]) -> dict[str, Any]:
    api = HfApi(endpoint=names["open"], token=False)
    folder = os.environ["HF_HOME"] + "/open"
    files = HfFileSystem(endpoint=names["open"], token=False)
    return {
        "private": api.dataset_info(repo).private,
        "file": Path(api.hf_hub_download(repo, "manifest.json", repo_type="dataset", cache_dir=folder)).name,
        "read": files.read_bytes(f"datasets/{repo}/{PARQUET}")[:4].decode(),
    }


FLOWS = (describe, download, snapshot, filesystem, data, refused, without_a_key)

if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    told = {}
    for flow in FLOWS:
        mark(flow.__name__)
        told[flow.__name__] = flow(given["repo"], given)
    sys.stdout.write(json.dumps(told))
