"""From what a user sent to the npz that everything else reads.

Nothing in it is trusted, and nothing is unpacked to disk under a name of its own.
"""

from workers.intake.limits import Limits
from workers.intake.making import make

__all__ = ["Limits", "make"]
