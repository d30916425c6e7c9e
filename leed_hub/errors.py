"""The errors a user of leed_hub can meet; each carries one sentence that says what to do."""


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
