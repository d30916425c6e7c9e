"""Reading a saved network strictly: which files, which config, which tensors."""

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from packaging.version import InvalidVersion, Version
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from leed_hub import __version__
from leed_hub.errors import ConfigError, ModelLoadError
from leed_hub.hub import CONFIG, CONVERT, PICKLES, WEIGHTS, broken_weights, check_sum, read_json_object

BUNDLED = Path(__file__).parents[1] / "checkpoints"  # what comes with the package: editor and recognizer
# What config.json calls a network -> a field that tells it in files of version 0.1, and what loads it.
KINDS = {
    "leed": ("manifold_dim", "LEEDModel and ExpressionEditor"),
    "expression_encoder": ("labels", "ExpressionEncoderModel and ExpressionRecognizer"),
}
_ANY_SIZE = 100_000_000  # numbers that no machine lacks the room for
_NAMED = 3  # how many tensors an error names


def files_of_folder(folder: Path) -> tuple[Path, Path]:
    """A model folder's config and weights.

    Raises:
        ModelLoadError: if one is missing; a pickle in place of the weights is named, and never opened.
    """
    for name in (WEIGHTS, CONFIG):
        if (folder / name).is_file():
            continue
        pickle = next((path.name for path in sorted(folder.iterdir()) if path.suffix.lower() in PICKLES), None)
        if name == WEIGHTS and pickle:
            raise ModelLoadError(f"{folder} holds {pickle} but no {WEIGHTS}: {CONVERT}.")
        raise ModelLoadError(f"{folder} has no {name}; a model's folder holds {CONFIG} and {WEIGHTS}.")
    if folder.parent == BUNDLED:
        for name in (CONFIG, WEIGHTS):
            check_sum(folder / name, BUNDLED)
    return folder / CONFIG, folder / WEIGHTS


def described(config: Any, model_type: str | None) -> dict[str, Any]:
    """What config.json holds: the config's fields, and which network of which release they belong to."""
    origin = {"model_type": model_type, "library_version": __version__} if model_type else {}
    return origin | dataclasses.asdict(config)


def kind_of(values: dict[str, Any]) -> object:
    """What network the values of a config.json describe, a key of `KINDS` if it is one of ours; None if untold."""
    return values.get("model_type") or next((kind for kind, (field, _) in KINDS.items() if field in values), None)


def read_config(path: Path, config_class: type, model_type: str | None = None) -> Any:
    """Rebuild a config from its file, which may lack fields that have a default and may hold no others.

    Raises:
        ModelLoadError: if the file is missing, is no JSON object, describes another kind of network, or has a key or
            value that does not fit.
    """
    values = read_json_object(path)
    if model_type:
        kind = kind_of(values)
        if kind not in (None, model_type):
            is_ours = isinstance(kind, str) and kind in KINDS
            remedy = f"{KINDS[str(kind)][1]} load it" if is_ours else "leed_hub has no such network"
            raise ModelLoadError(
                f"{path} describes a network of another kind, {kind!r:.60}, not {model_type!r}: {remedy}."
            )
        values.pop("model_type", None)
        if doubt := _doubt_of_release(values.pop("library_version", __version__)):
            warnings.warn(f"{path} {doubt}: update leed_hub if anything is amiss.", stacklevel=3)
    try:
        return config_class(**values)
    except ConfigError as error:
        raise ModelLoadError(f"{path}: {error}") from error


def _doubt_of_release(written_by: object) -> str:
    """Why a file of that library_version may not fit this release; "" where nothing speaks against it."""
    try:
        is_newer = Version(str(written_by)).release[:2] > Version(__version__).release[:2]
    except InvalidVersion:
        return f"has the library_version {written_by!r:.40}, which is no release"
    return f"is of leed_hub {written_by}, newer than this {__version__}" if is_newer else ""


class _Unfilled(TorchFunctionMode):
    """Draws no random numbers; where tensors have no content, torch would load its compiler for that: 4 s, 190 MB."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (Tensor.normal_, nn.init.normal_):
            return (*args, (kwargs or {}).get("tensor"))[0]
        return function(*args, **(kwargs or {}))


def check_room(build: Callable[[], nn.Module], config_path: Path, weights_path: Path) -> None:
    """Refuse a config that asks for far more numbers than its weights are, before there is memory for them.

    Args:
        build: makes the network; called where tensors have a shape and no content.
    """
    with torch.device("meta"), _Unfilled():
        count = sum(value.numel() for value in build().state_dict().values())
    size = weights_path.stat().st_size
    if count > max(size, _ANY_SIZE):  # a number takes at least a byte
        raise ModelLoadError(
            f"{config_path} asks for a network of {count:,} numbers, and {weights_path.name} has {size:,} bytes: they "
            "do not belong together."
        )


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill every tensor of a network from a safetensors file that holds exactly these.

    Raises:
        ModelLoadError: if the file is broken, or a tensor is missing, unexpected, of another shape, or not finite.
    """
    try:
        missing, unexpected = load_model(model, path, strict=False)  # refused below, in one sentence
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror or error}.") from error
    except SafetensorError as error:
        raise ModelLoadError(broken_weights(path, error)) from error
    except RuntimeError as error:  # a size mismatch: a heading, then a line for each tensor
        fault = str(error).splitlines()[1].strip()
        raise ModelLoadError(f"{path} and {CONFIG} do not belong together: {fault}") from error
    if missing:
        raise ModelLoadError(f"{path} lacks {_some(missing)}, which {CONFIG} asks for.")
    if unexpected:
        raise ModelLoadError(f"{path} holds {_some(unexpected)}, for which {CONFIG} has no place.")
    if spoilt := [name for name, value in model.state_dict().items() if not value.isfinite().all()]:
        raise ModelLoadError(f"{path} has NaN or infinite numbers in {_some(spoilt)}; use an earlier checkpoint.")


def _some(names: list[str] | set[str]) -> str:
    names = sorted(names)
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest
