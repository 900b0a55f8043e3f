"""What a client does with artifacts that have been there for a while: compare, follow a name, take back, free room."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from distilled.client.queries import query_of, segment
from distilled.client.values import Artifact, Job, Json
from distilled.client.wire import Wire


class Upkeep:
    """The part of a client that looks after what is there."""

    _wire: Wire

    def _pages(self, path: str, filters: Mapping[str, Any]) -> Iterator[Json]:
        """The items of all pages of a list."""
        query = dict(query_of(**filters))
        while True:
            page = self._wire.json("GET", path, query=query)
            yield from cast("list[Json]", page["items"])
            if not page.get("next_cursor"):
                return
            query = {**query, "cursor": page["next_cursor"]}

    def compare(self, a: Artifact | str, b: Artifact | str) -> Json:
        """Two artifacts side by side: sizes, classes, recipes, lineage; accuracies of what was measured alike, with the
        95 % interval of their difference, b - a.
        """
        return self._wire.json("GET", f"/v1/artifacts/{_id(a)}/compare/{_id(b)}")

    def alias(self, name: str, artifact: Artifact | str, *, expected: Artifact | str | None = None) -> Json:
        """Point a name at an artifact; it moves if it pointed elsewhere.

        expected: the artifact that it is to point to until then. Raises Conflict if it does not.
        """
        headers = {} if expected is None else {"If-Match": f'"{_id(expected)}"'}
        body = {"artifact_id": _id(artifact)}
        # With a condition it is not repeated: of two, the second would find what the first has done.
        repeatable = None if expected is None else False
        return self._wire.json("PUT", f"/v1/aliases/{segment(name)}", body=body, headers=headers, repeatable=repeatable)

    def alias_history(self, name: str) -> Iterator[Json]:
        """Where a name has pointed, the newest move first; also of one that was taken away."""
        return self._pages(f"/v1/aliases/{segment(name)}/history", {})

    def delete_alias(self, name: str) -> None:
        """Take a name away; its artifact stays."""
        self._wire.request("DELETE", f"/v1/aliases/{segment(name)}")

    def delete_artifact(self, artifact: Artifact | str) -> None:
        """Hide an artifact; `restore` takes it back until the sweep."""
        self._wire.request("DELETE", f"/v1/artifacts/{_id(artifact)}")

    def restore(self, artifact: Artifact | str) -> Artifact:
        """Take back a deletion. Raises NotFound after the sweep. `find(deleted=True)` lists what can be restored."""
        path = f"/v1/artifacts/{_id(artifact)}/restore"
        return Artifact.from_json(self._wire.json("POST", path, repeatable=True))

    def sweep(self, *, dry_run: bool = True, grace_seconds: float | None = None, resources: bool = False) -> Json:
        """What would be freed of the service's store; with dry_run=False it is freed, for good.

        grace_seconds: how long what was deleted is left alone, by default as the service is set. resources: also
        experts, teachers and warm-ups, which later jobs must make again.
        """
        query = query_of(dry_run=dry_run, grace_seconds=grace_seconds, resources=resources or None)
        return self._wire.json("POST", "/v1/admin/sweep", query=query, repeatable=True)

    def webhooks(self, job: Job | str) -> list[Json]:
        """What was told of a job's end, or is still to be told, and to whom."""
        return list(self._pages(f"/v1/jobs/{_id(job)}/webhooks", {}))


def _id(item: Job | Artifact | str) -> str:
    return segment(item if isinstance(item, str) else item.id)
