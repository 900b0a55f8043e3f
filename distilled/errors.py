"""Everything that can go wrong when distilled data is described, read or fetched.

* DistilledError
  - InvalidInput            carries a list of `Problem`s, each naming a field
    + RecipeError
    + UploadError
  - ArtifactError
    + NotHeld
  - ServiceError            an answer of the service, as a client sees it
    + NotFound, Conflict, Invalid, NotAllowed, Unavailable
  - DigestMismatch
  - MissingExtra            also an ImportError
  - NothingToPlot
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One fault in an input: where it is (a JSON pointer such as `/objective/width`) and what to do about it."""

    pointer: str
    detail: str


class DistilledError(Exception):
    """Something went wrong with distilled data."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or " ".join((self.__doc__ or "").split()))


class InvalidInput(DistilledError):
    """The input has faults; each problem names its field and its fix."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{p.pointer or '/'}: {p.detail}" for p in self.problems))


class RecipeError(InvalidInput):
    """The recipe cannot be distilled as it stands; each problem names its field and its fix."""


class UploadError(InvalidInput):
    """The uploaded file is no data set that we can read; each problem names its part and its fix."""


class ArtifactError(DistilledError):
    """The file is no artifact that this version can read; fetch it again, or update `distilled`."""


class NotHeld(ArtifactError):
    """The artifact holds fewer images of a class than were asked for; ask for fewer."""


class DigestMismatch(DistilledError):
    """The bytes that arrived are not the bytes that were named by their sha256; fetch them again."""


class MissingExtra(DistilledError, ImportError):
    """Something is not installed that the library can do without; the message says how to install it."""


class NothingToPlot(DistilledError):
    """There are no figures for this plot, or no way to write it as asked; the message says what to do."""


class ServiceError(DistilledError):
    """The service answered with an error."""

    def __init__(
        self, message: str = "", *, status: int = 0, title: str = "", detail: str = "", errors: Sequence[Problem] = ()
    ) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        super().__init__(message or ": ".join(part for part in (title, detail) if part))


class NotFound(ServiceError):
    """The service knows nothing under this name."""


class Conflict(ServiceError):
    """What is there does not allow this."""


class Invalid(ServiceError):
    """The service refused the request; each error names its field and its fix."""


class NotAllowed(ServiceError):
    """The key is missing or does not allow this."""


class Unavailable(ServiceError):
    """The service did not answer or is not ready; is it running, and at this address?"""
