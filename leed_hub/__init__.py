"""leed_hub: edit and read facial expressions with models that load in one line."""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from leed_hub.errors import LeedHubError

if TYPE_CHECKING:
    from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel
    from leed_hub.models.leed import LEEDConfig, LEEDModel
    from leed_hub.pipelines.batch import PictureEdit, PicturePrediction, classify_many, edit_many
    from leed_hub.pipelines.editor import EditResult, EditSession, ExpressionEditor
    from leed_hub.pipelines.recognizer import ExpressionRecognizer, FacePrediction
    from leed_hub.pipelines.tables import to_frame
    from leed_hub.pipelines.video_classification import FramePrediction, classify_video

__version__ = "0.2.0"
__all__ = [
    "EditResult",
    "EditSession",
    "ExpressionEditor",
    "ExpressionEncoderConfig",
    "ExpressionEncoderModel",
    "ExpressionRecognizer",
    "FacePrediction",
    "FramePrediction",
    "LEEDConfig",
    "LEEDModel",
    "LeedHubError",
    "PictureEdit",
    "PicturePrediction",
    "classify_many",
    "classify_video",
    "edit_many",
    "to_frame",
]

# Public name -> its module, imported at first use, so that importing leed_hub takes no time.
_HOMES = {
    name: module
    for module, names in {
        "models.expression_encoder": ("ExpressionEncoderConfig", "ExpressionEncoderModel"),
        "models.leed": ("LEEDConfig", "LEEDModel"),
        "pipelines.batch": ("PictureEdit", "PicturePrediction", "classify_many", "edit_many"),
        "pipelines.editor": ("EditResult", "EditSession", "ExpressionEditor"),
        "pipelines.recognizer": ("ExpressionRecognizer", "FacePrediction"),
        "pipelines.tables": ("to_frame",),
        "pipelines.video_classification": ("FramePrediction", "classify_video"),
    }.items()
    for name in names
}
# Names of version 0.1.
_FORMER = {
    "FaceReading": "FacePrediction",
    "PictureReading": "PicturePrediction",
    "read_many": "classify_many",
    "read_video": "classify_video",
}


def __getattr__(name: str) -> Any:
    if name in _FORMER:
        warnings.warn(f"leed_hub.{name} is now called {_FORMER[name]}.", DeprecationWarning, stacklevel=2)
        name = _FORMER[name]
    if name not in _HOMES:
        raise AttributeError(f"module 'leed_hub' has no attribute {name!r}")
    return getattr(importlib.import_module(f"leed_hub.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
