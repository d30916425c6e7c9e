"""The errors a user of leed_hub can meet; each carries one sentence that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager


class LeedHubError(Exception):
    """Base of every error this package raises on purpose; `str(error)` is fit for an end user."""


class BadImageError(LeedHubError):
    """The picture cannot be read, is too large, or is of a format we do not open."""


class BadVideoError(LeedHubError):
    """The video cannot be read or written, or is none."""


class NoFaceError(LeedHubError):
    """No face was found where one is needed."""


class ModelLoadError(LeedHubError):
    """Weights or config are missing, broken, or do not belong together."""


class HubError(LeedHubError):
    """The Hub refused or could not be reached; the sentence says which and what to do."""


class ExportError(LeedHubError):
    """A network cannot be written as ONNX; the sentence says why, or which package is missing."""


class CorpusError(LeedHubError):
    """A corpus folder is not laid out as expected; the sentence shows the layout and whom to ask."""


class ConfigError(LeedHubError, ValueError):
    """A configuration value is out of range; the sentence names it and what it got."""


class MissingExtraError(LeedHubError, ImportError):
    """A package is not installed that only some uses need; the sentence names the extra that brings it."""


@contextmanager
def needs_extra(extra: str, purpose: str) -> Iterator[None]:
    """For the imports of what an extra of ours brings.

    Args:
        extra: its name in pyproject.toml.
        purpose: what needs it, the beginning of the sentence.
    Raises:
        MissingExtraError: in place of a ModuleNotFoundError.

    Examples:
        >>> with needs_extra("video", "Reading and writing videos"):
        ...     import av
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "leed_hub":
            raise
        package = error.name.partition(".")[0]
        raise MissingExtraError(f'{purpose} needs {package}: pip install "leed-hub[{extra}]".', name=package) from error
