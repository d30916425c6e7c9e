"""The face detectors, by name. A new one is a class with a `name` that is called with a picture, and a row here."""

import functools
import importlib
import warnings
from typing import Protocol

import numpy as np

from leed_hub.errors import ConfigError
from leed_hub.faces.face import Face

# Name -> the class, imported at first use.
_DETECTORS = {
    "yunet": "leed_hub.faces.yunet:YuNetDetector",
    "face-alignment": "leed_hub.faces.face_alignment:FaceAlignmentDetector",
}
DETECTORS = (*_DETECTORS, "none")
_FORMER = {"auto": "yunet", "leed": "yunet"}  # names of version 0.1


class FaceDetector(Protocol):
    """What finds faces; `name` is what users call it by."""

    name: str

    def __call__(self, image: np.ndarray) -> list[Face]:
        """(H, W, 3) RGB uint8 -> its faces, largest box first."""
        ...


def build_detector(name: str) -> FaceDetector | None:
    """The detector of that name, built once a process; None for "none": pictures are face crops already.

    Raises:
        ConfigError: if there is no detector of that name.
        ModelLoadError, HubError: as the detectors do.
    """
    if isinstance(name, str) and name in _FORMER:
        warnings.warn(f'The detector is now called "{_FORMER[name]}", not {name!r}.', DeprecationWarning, stacklevel=3)
        name = _FORMER[name]
    if name not in DETECTORS:
        raise ConfigError(f"detector is one of {', '.join(DETECTORS)}; got {name!r}.")
    return None if name == "none" else _built(name)


@functools.cache
def _built(name: str) -> FaceDetector:
    module, class_name = _DETECTORS[name].split(":")
    return getattr(importlib.import_module(module), class_name)()
