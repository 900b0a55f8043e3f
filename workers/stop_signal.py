"""How a pool child hears that its worker stops: SIGUSR2, seen by a thread even while the main thread is in C code.

Python runs signal handlers in the main thread alone, and that one may sit in a matrix product for minutes. The
interpreter's wake-up descriptor is written at once, by whichever thread is hit; the pulse waits on its other end.
SIGUSR1 is not free: the pool's children use it for soft time limits.
"""

import os
import select
import signal
from types import FrameType

SIGNAL = signal.SIGUSR2


class StopSignal:
    """A bell with two uses: it remembers that a stop was asked for, and it wakes whoever waits."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self.heard = False

    def install(self) -> None:
        """Listen for the signal in this process; call it in the main thread."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.signal(SIGNAL, _nothing)

    def wait(self, seconds: float) -> None:
        """Sleep until the bell rings, at most so long. Afterwards `heard` tells whether a stop was asked for."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        if ready and SIGNAL in os.read(self._read, 4096):
            self.heard = True

    def ring(self, *, stop: bool = False) -> None:
        """Wake the waiter; with `stop`, as the signal itself would."""
        os.write(self._write, bytes([SIGNAL if stop else 0]))

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._read)
        os.close(self._write)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """The handler exists so that the signal writes to the descriptor rather than ends the process."""
