"""How much memory graphs hold for their way back, on any device and to the byte."""

import weakref
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


class Held:
    """Bytes that autograd holds at a time, each storage once: `now`, and `peak` since it was last set.

    `besides`: tensors that are there anyway, such as weights, and do not count.
    """

    def __init__(self, besides: Iterable[Tensor] = ()) -> None:
        self._besides = {tensor.untyped_storage().data_ptr() for tensor in besides}
        self._holders, self._sizes = Counter[int](), dict[int, int]()
        self.now = self.peak = 0

    @contextmanager
    def watched(self) -> Generator["Held"]:
        """Watch the graphs that are made inside."""
        with saved_tensors_hooks(self._pack, lambda box: box.tensor):
            yield self

    def _pack(self, tensor: Tensor) -> "_Box":
        storage, box = tensor.untyped_storage(), _Box(tensor)
        where = storage.data_ptr()
        if where in self._besides:
            return box
        if not self._holders[where]:
            self._sizes[where] = storage.nbytes()
            self.now += self._sizes[where]
            self.peak = max(self.peak, self.now)
        self._holders[where] += 1
        weakref.finalize(box, self._let_go, where)
        return box

    def _let_go(self, where: int) -> None:
        self._holders[where] -= 1
        if not self._holders[where]:
            self.now -= self._sizes[where]


class _Box:
    """What a graph holds in a tensor's place: gone when the graph lets go of it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
