"""What both pipelines share: a network in eval mode, a `FaceCropper`, and loading both in one line."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar

import torch

from leed_hub import __version__
from leed_hub.errors import ConfigError
from leed_hub.models.checkpoint import BUNDLED
from leed_hub.models.hub_mixin import HubModel
from leed_hub.pipelines.arguments import a_path, known_arguments
from leed_hub.pipelines.cropper import FaceCropper

ModelT = TypeVar("ModelT", bound=HubModel)


class Pipeline(Generic[ModelT]):
    """A network in eval mode on a device, and the way from a picture to its aligned crops.

    Attributes:
        model: the network.
        cropper: what finds and cuts faces out for it.
        device: where it computes; `to` moves it.
        dtype: what it computes in, `torch.float32`, or `torch.bfloat16` by autocast.
        origin: where the weights come from: "org/name@commit", a folder, or the package's version.
    """

    model_class: type[Any]
    bundled_name: str
    model: ModelT
    origin: str = "weights of no file"

    @known_arguments
    def __init__(
        self,
        model: ModelT,
        *,
        detector: str = "yunet",
        device: str | torch.device = "auto",
        dtype: torch.dtype = torch.float32,
        aligner: str | None = None,
    ):
        self.model = model.eval()
        config: Any = model.config
        self.cropper = FaceCropper(
            config.image_size,
            config.template,
            getattr(config, "channels", 3),
            detector=renamed(detector, aligner) or "yunet",
        )
        self.to(device, dtype)

    @known_arguments
    def to(self, device: str | torch.device = "auto", dtype: torch.dtype = torch.float32) -> Self:
        """Move it, as `torch.nn.Module.to` does; the weights stay float32."""
        try:
            self.device = self.cropper.device = torch.device(default_device() if device == "auto" else device)
            self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        except (RuntimeError, TypeError, AssertionError) as error:  # no such kind, or none in this machine
            raise ConfigError(f'device {device!r:.80} cannot be used; "auto" takes what there is.') from error
        if not isinstance(dtype, torch.dtype):
            raise ConfigError(f"dtype must be a torch.dtype, such as torch.bfloat16; got {dtype!r:.80}.")
        self.dtype = dtype
        return self

    @contextmanager
    def inference(self) -> Iterator[None]:
        """No gradients, and the pipeline's `dtype`."""
        reduced = self.dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype if reduced else None, enabled=reduced):
            yield

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.origin}, detector={self.cropper.detector!r}, device='{self.device}')"

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | os.PathLike | None = None,
        *,
        detector: str = "yunet",
        device: str | torch.device = "auto",
        dtype: torch.dtype = torch.float32,
        aligner: str | None = None,
        engine: str | None = None,
        **hub_options,
    ) -> Self:
        """Load weights.

        Args:
            name_or_folder: nothing for the checkpoint that comes with the package, a folder, or "org/name" on the Hub.
            detector: how faces are found: "yunet" (bundled), "face-alignment" (slow, precise) or "none" (pictures are
                face crops).
            device: "auto", or a torch device.
            dtype: what it computes in: `torch.float32`, or `torch.bfloat16` where the machine is fast at it.
            aligner: the former name of `detector`.
            engine: of a recogniser, see there.
            **hub_options: `revision`, `token`, `cache_dir`, `local_files_only`, `force_download`.
        Raises:
            ModelLoadError: if the weights are missing or broken.
            HubError: if the Hub has no such model or cannot be reached.
        """
        source = BUNDLED / cls.bundled_name if name_or_folder is None else name_or_folder
        if not isinstance(source, str | os.PathLike):
            raise ConfigError(f'name_or_folder must be a folder or "org/name"; got {source!r:.80}.')
        model = known_arguments(cls.model_class.from_pretrained)(source, **hub_options)
        options: dict[str, Any] = {} if engine is None else {"engine": engine}
        pipeline = cls(model, detector=renamed(detector, aligner) or "yunet", device=device, dtype=dtype, **options)
        if name_or_folder is None:
            pipeline.origin = f"leed_hub {__version__} {cls.bundled_name}"
        else:
            pipeline.origin = f"{os.fspath(name_or_folder)}{'@' + model.revision if model.revision else ''}"
        pipeline._load_extras(source, hub_options)
        return pipeline

    def _load_extras(self, source: str | os.PathLike, hub_options: dict[str, Any]) -> None:
        """What else a pipeline reads beside its network."""

    @known_arguments
    def save_pretrained(self, folder: str | os.PathLike, **options) -> None:
        """Write the network, see `HubModel.save_pretrained`."""
        a_path("folder", folder)
        known_arguments(self.model.save_pretrained)(folder, **options)

    @known_arguments
    def push_to_hub(self, repo_id: str, **options) -> str:
        """Send the network to the Hub, see `HubModel.push_to_hub`; returns the commit's address."""
        if not isinstance(repo_id, str):
            raise ConfigError(f'repo_id must be "org/name"; got {repo_id!r:.80}.')
        return known_arguments(self.model.push_to_hub)(repo_id, **options)

    @property
    def software(self) -> str:
        """Name and version, for the mark that edited pictures carry."""
        return f"leed_hub {__version__} {type(self.model).__name__}"


def default_device() -> str:
    """The fastest that this machine has: an NVIDIA or AMD GPU, Apple's, or the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def renamed(detector: str | None, aligner: str | None) -> str | None:
    """The detector, where a caller may still use the argument's former name."""
    if aligner is not None:
        warnings.warn("`aligner` is now called `detector`.", DeprecationWarning, stacklevel=3)
        return aligner
    return detector
