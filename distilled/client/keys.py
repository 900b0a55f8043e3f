"""What a client does with keys: make one for each who calls, look who uses them, renew and end them; who did what."""

from collections.abc import Iterator, Sequence
from typing import Any

from distilled.client.queries import query_of, segment
from distilled.client.upkeep import Upkeep
from distilled.client.values import Json


class Keys(Upkeep):
    """The part of a client that looks after who may do what. All but `whoami` needs a key with the scope `admin`."""

    def whoami(self) -> Json:
        """The key that this client sends: `id`, `name` and all the `scopes` that it opens."""
        return self._wire.json("GET", "/v1/keys/self")

    def create_key(self, name: str, *, scopes: Sequence[str], expires_in_seconds: float | None = None) -> Json:
        """A new key; its `secret` stands in this answer and nowhere else.

        scopes: of `read`, `submit` and `admin`, each of which contains those before it. Without an end it opens until
        it is revoked. It is not sent again where no answer comes: revoke what `list_keys` then shows.
        """
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if expires_in_seconds is not None:
            body["expires_in_seconds"] = expires_in_seconds
        return self._wire.json("POST", "/v1/keys", body=body)

    def list_keys(self) -> Iterator[Json]:
        """The keys, the newest first, with those that are over; never their secrets."""
        return self._pages("/v1/keys", {})

    def rotate_key(
        self, key_id: str, *, grace_seconds: float | None = None, expires_in_seconds: float | None = None
    ) -> Json:
        """A key of the same name and scopes in the place of one, with its `secret`; the old one opens for the grace.

        Raises Conflict for a key that is over, or that was rotated before.
        """
        query = query_of(grace_seconds=grace_seconds, expires_in_seconds=expires_in_seconds)
        return self._wire.json("POST", f"/v1/keys/{segment(key_id)}/rotate", query=query)

    def revoke_key(self, key_id: str) -> None:
        """End a key for good. Raises Conflict for the last one that could make another."""
        self._wire.request("DELETE", f"/v1/keys/{segment(key_id)}")

    def audit(
        self,
        *,
        key_id: str | None = None,
        action: str | None = None,
        target: str | None = None,
        outcome: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Iterator[Json]:
        """Who changed what, and who was refused, the newest first. since, until: RFC 3339 times with a zone."""
        filters = {"key_id": key_id, "action": action, "target": target, "outcome": outcome}
        return self._pages("/v1/admin/audit", {**filters, "since": since, "until": until})
