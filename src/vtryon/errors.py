"""What can go wrong, as a tree. Callers catch :class:`VtryonError`; the command line makes one line and a code of it.

    VtryonError                 1   processing failed
    ├── UsageError              2   options that do not go together, names that are refused
    ├── BatchError              3   some items of many failed
    ├── BadInputError          65   the input is there but is not what it must be
    ├── MissingInputError      66   the input is not there or cannot be read
    ├── UnavailableError       69   weights, a device or a codec is not available
    ├── CannotCreateError      73   the output cannot be created
    └── WriteError             74   writing failed half way (disk full, I/O)

A message says what happened, to which file, and what to do about it, in one line.
The codes follow sysexits(3) where it has one.
"""

from __future__ import annotations


class VtryonError(Exception):
    """Any failure that is shown to the user as one line.

    ``details`` are further lines that are shown below it as they are, where one line cannot say what was expected.
    """

    exit_code: int = 1

    def __init__(self, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class UsageError(VtryonError):
    """Options or names that cannot be used (exit code 2)."""

    exit_code = 2


class BatchError(VtryonError):
    """Some items of a batch failed, the others are done (exit code 3)."""

    exit_code = 3


class BadInputError(VtryonError):
    """The input exists but is not a usable video, picture or checkpoint (exit code 65)."""

    exit_code = 65


class MissingInputError(VtryonError):
    """The input does not exist or may not be read (exit code 66)."""

    exit_code = 66


class UnavailableError(VtryonError):
    """Weights, a device or a codec is not available here (exit code 69)."""

    exit_code = 69


class CannotCreateError(VtryonError):
    """The output exists, is the input, or its folder cannot be written (exit code 73)."""

    exit_code = 73


class WriteError(VtryonError):
    """Writing failed half way; nothing is left at the final name (exit code 74)."""

    exit_code = 74
