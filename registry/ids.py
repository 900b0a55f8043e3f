"""Ids that people can read and lists can sort by: a kind, an underscore, and a UUIDv7 in hex.

UUIDv7 begins with the time, so the order of ids is the order of creation and no list needs a second column for it.
"""

import re
import secrets
import time
from uuid import UUID

KINDS = {
    "job": "job",
    "artifact": "art",
    "dataset": "ds",
    "evaluation": "eval",
    "upload": "up",
    "validation": "val",
    "portion": "port",
    "move": "move",
    "message": "msg",
    "key": "key",
    "audit": "aud",
}
ID_PATTERN = re.compile(rf"(?:{'|'.join(KINDS.values())})_[0-9a-f]{{32}}")


def new_id(kind: str) -> str:
    """A fresh id such as `job_0198c1…` for one of KINDS; raises KeyError for any other kind."""
    return f"{KINDS[kind]}_{uuid7().hex}"


def is_id(text: str, *, kind: str) -> bool:
    """Whether the text has the form of an id of this kind (nothing is looked up)."""
    return ID_PATTERN.fullmatch(text) is not None and text.startswith(f"{KINDS[kind]}_")


def uuid7() -> UUID:
    """RFC 9562, section 5.7, with method 3 of section 6.2: 12 bits of the millisecond's fraction follow the time."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return UUID(int=value)
