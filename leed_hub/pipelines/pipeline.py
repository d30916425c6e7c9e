"""What both pipelines share: a network in eval mode, a `FaceCropper`, and loading both in one line."""

import os
import warnings
from typing import Any, Generic, Self, TypeVar

import torch

from leed_hub import __version__
from leed_hub.models.checkpoint import BUNDLED
from leed_hub.models.hub_mixin import HubModel
from leed_hub.pipelines.cropper import FaceCropper

ModelT = TypeVar("ModelT", bound=HubModel)


class Pipeline(Generic[ModelT]):
    """A network in eval mode on a device, and the way from a picture to its aligned crops.

    Attributes:
        model: the network.
        cropper: what finds and cuts faces out for it.
    """

    model_class: type[Any]
    bundled_name: str
    model: ModelT

    def __init__(self, model: ModelT, *, detector: str = "yunet", device: str = "auto", aligner: str | None = None):
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.model = model.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        config: Any = model.config
        self.cropper = FaceCropper(
            config.image_size,
            config.template,
            getattr(config, "channels", 3),
            detector=renamed(detector, aligner) or "yunet",
            device=self.device,
        )

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | os.PathLike | None = None,
        *,
        detector: str = "yunet",
        device: str = "auto",
        aligner: str | None = None,
        **hub_options,
    ) -> Self:
        """Load weights.

        Args:
            name_or_folder: nothing for the checkpoint that comes with the package, a folder, or "org/name" on the Hub.
            detector: how faces are found: "yunet" (bundled), "face-alignment" (slow, precise) or "none" (pictures are
                face crops).
            device: "auto", or a torch device.
            aligner: the former name of `detector`.
            **hub_options: `revision`, `token`, `cache_dir`, `local_files_only`, `force_download`.
        Raises:
            ModelLoadError: if the weights are missing or broken.
            HubError: if the Hub has no such model or cannot be reached.
        """
        source = BUNDLED / cls.bundled_name if name_or_folder is None else name_or_folder
        model = cls.model_class.from_pretrained(source, **hub_options)
        return cls(model, detector=renamed(detector, aligner) or "yunet", device=device)

    @property
    def software(self) -> str:
        """Name and version, for the mark that edited pictures carry."""
        return f"leed_hub {__version__} {type(self.model).__name__}"


def renamed(detector: str | None, aligner: str | None) -> str | None:
    """The detector, where a caller may still use the argument's former name."""
    if aligner is not None:
        warnings.warn("`aligner` is now called `detector`.", DeprecationWarning, stacklevel=3)
        return aligner
    return detector
