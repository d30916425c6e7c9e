"""Reading a saved network strictly: which files, which config, which tensors."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor, nn

from leed_hub.errors import ConfigError, ModelLoadError
from leed_hub.hub import CONFIG, CONVERT, PICKLES, WEIGHTS, broken_weights, read_json_object

BUNDLED = Path(__file__).parents[1] / "checkpoints"  # what comes with the package: editor and recognizer
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
    return folder / CONFIG, folder / WEIGHTS


def read_config(path: Path, config_class: type) -> Any:
    """Rebuild a config from its file, which may lack fields that have a default and may hold no others.

    Raises:
        ModelLoadError: if the file is missing, is no JSON object, or has a key or value that does not fit.
    """
    values = read_json_object(path)
    try:
        return config_class(**values)
    except ConfigError as error:
        raise ModelLoadError(f"{path}: {error}") from error


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
    if spoilt := [name for name, value in model.state_dict().items() if not _is_finite(value)]:
        raise ModelLoadError(f"{path} has NaN or infinite numbers in {_some(spoilt)}; use an earlier checkpoint.")


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value).all())


def _some(names: list[str] | set[str]) -> str:
    names = sorted(names)
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest
