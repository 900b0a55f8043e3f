"""Formats that can be written batch after batch without an end: a head, then bodies, then perhaps a tail."""

import importlib
from typing import Protocol, cast

from distilled.formats.sets import SyntheticSet

#: name -> the module that writes it.
STREAMS = {"webdataset": "distilled.formats.webdataset", "arrow": "distilled.formats.arrow"}


class StreamFormat(Protocol):
    """The bytes of a batch depend on the batch and its number alone, so a stream can begin at any of them."""

    def head(self, synthetic: SyntheticSet) -> bytes:
        """What the stream begins with; `synthetic` is any batch of it."""
        ...

    def body(self, synthetic: SyntheticSet, *, first: int) -> bytes:
        """One batch. first: number of its first image, counted from 0 over all batches."""
        ...

    def tail(self) -> bytes:
        """What the stream ends with."""
        ...


def stream_format(name: str) -> StreamFormat:
    """The writer of one of `STREAMS`."""
    return cast(StreamFormat, importlib.import_module(STREAMS[name]))
