"""Exit codes: what a script may rely on."""

from enum import IntEnum

from distilled import errors


class Exit(IntEnum):
    """What a command ends with; `MEANINGS` says each in words."""

    OK = 0
    FAILED = 1
    INVALID = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4
    CONFLICT = 5
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "done",
    Exit.FAILED: "the job or an evaluation failed or was cancelled, `doctor` found a fault, or something broke",
    Exit.INVALID: "wrong usage, input that the service refuses, or a key that it does not accept",
    Exit.NOT_FOUND: "no such job, artifact, dataset or name",
    Exit.UNAVAILABLE: "the service does not answer or is not ready",
    Exit.CONFLICT: "what is there does not allow it: the job has ended, the name is taken",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
}

_BY_ERROR: dict[type[Exception], Exit] = {
    errors.NotFound: Exit.NOT_FOUND,
    errors.Conflict: Exit.CONFLICT,
    errors.Unavailable: Exit.UNAVAILABLE,
    errors.Invalid: Exit.INVALID,
    errors.NotAllowed: Exit.INVALID,
    errors.InvalidInput: Exit.INVALID,
    FileNotFoundError: Exit.INVALID,
    IsADirectoryError: Exit.INVALID,
    PermissionError: Exit.INVALID,
}


def exit_of(error: Exception) -> Exit:
    """The code that this failure ends with."""
    return next((_BY_ERROR[kind] for kind in type(error).__mro__ if kind in _BY_ERROR), Exit.FAILED)
