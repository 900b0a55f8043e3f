"""What Dockerfile, docker-compose.yml and the Kubernetes manifests say, for tests: no container engine is needed."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?:(?P<how>:-|:\?)(?P<text>[^}]*))?\}")

#: Values for all that .env.example leaves empty; each is to be found again where it belongs.
SECRETS = {
    "API_KEY": "callerskey",
    "POSTGRES_PASSWORD": "databasepassword",
    "REDIS_PASSWORD": "brokerpassword",
    "STORE_KEY_ID": "storename",
    "STORE_SECRET": "storesecret",
}


class Unset(Exception):
    """docker-compose.yml needs a variable that has no value."""


def compose(values: Mapping[str, str]) -> dict[str, Any]:
    """docker-compose.yml with its variables filled in. Raises Unset where one is needed and empty, as Compose does."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

    def fill(found: re.Match[str]) -> str:
        if found["name"] is None:
            return "$"
        value = values.get(found["name"], "")
        if not value and found["how"] == ":?":
            raise Unset(found["name"])
        return value or (found["text"] or "")

    return yaml.safe_load(_VARIABLE.sub(fill, text))


def docker_compose(values: Mapping[str, str]) -> dict[str, Any]:
    """The same as `docker compose` itself reads it, with all profiles."""
    command = ["docker", "compose", "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **values}, capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout)


def readers() -> list[Callable[[Mapping[str, str]], dict[str, Any]]]:
    """Whoever reads docker-compose.yml here: the tests themselves, and Compose where its plug-in is installed."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=60, check=False)
        if asked.returncode == 0:
            return [compose, docker_compose]
    return [compose]


def kubernetes(name: str) -> list[dict[str, Any]]:
    """The resources of deploy/kubernetes/NAME as `kubectl kustomize` puts them together, but for its labels."""
    folder = ROOT / "deploy" / "kubernetes" / name
    told = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    images = {
        image["name"]: f"{image.get('newName', image['name'])}:{image['newTag']}" for image in told.get("images", ())
    }
    found: list[dict[str, Any]] = []
    for entry in told["resources"]:
        if (folder / entry).is_dir():
            found += kubernetes(str((folder / entry).resolve().relative_to(folder.parent)))
        else:
            found += yaml.safe_load_all((folder / entry).read_text(encoding="utf-8"))
    for resource in found:
        for container in pod_of(resource).get("containers", ()):
            container["image"] = images.get(container["image"], container["image"])
    return found


def pod_of(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The specification of the pods that a resource makes; empty where it makes none."""
    return resource.get("spec", {}).get("template", {}).get("spec", {})


def env_example() -> dict[str, str]:
    """What .env.example sets."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@dataclass
class Stage:
    """One `FROM … AS name` of the Dockerfile. steps: its instructions as (WORD, rest), those of its base before."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """What follows this instruction, each time that it is given."""
        return [rest for given, rest in self.steps if given == word]

    def last(self, word: str) -> str:
        """What follows the instruction the last time, which is what holds."""
        return self.all(word)[-1]

    def copied(self) -> list[str]:
        """What comes from the folder of the build, as paths in it."""
        plain = [rest.split() for rest in self.all("COPY") if not rest.startswith("--from")]
        return [source.rstrip("/") for words in plain for source in words[:-1]]

    def environment(self) -> dict[str, str]:
        """Its ENV."""
        pairs = (pair.split("=", 1) for rest in self.all("ENV") for pair in rest.split())
        return {name: value for name, value in pairs}


def dockerfile() -> dict[str, Stage]:
    """The Dockerfile's stages by name; one that builds on another has its steps too."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for line in re.sub(r"\\\n\s*", " ", lines).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            before = stages[base].steps if base in stages else []
            current = stages[name] = Stage(name=name, base=base, steps=list(before))
        elif word and current is not None:
            current.steps.append((word, rest.strip()))
    return stages


def lay_out(target: str, folder: Path) -> Path:
    """The code of an image as its Dockerfile copies it, in a folder."""
    for source in dockerfile()[target].copied():
        place = folder / source
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place)
    return folder
