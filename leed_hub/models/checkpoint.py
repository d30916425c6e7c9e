"""Reading a saved network strictly: which files, which config, which tensors."""

import dataclasses
import difflib
import json
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from leed_hub.errors import ModelLoadError
from leed_hub.hub import CONFIG, CONVERT, PICKLES, WEIGHTS, broken_weights

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
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{path} ({path.stat().st_size} bytes) is not JSON: {first_line(error)}") from error
    if not isinstance(values, dict):
        raise ModelLoadError(f"{path} must hold a JSON object, got {type(values).__name__}.")
    fields = {each.name for each in dataclasses.fields(config_class)}
    kinds = {name: kind for name, kind in get_type_hints(config_class).items() if name in fields}
    for name, value in values.items():
        if name not in kinds:
            close = difflib.get_close_matches(name, kinds, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "is it from a newer leed_hub?"
            raise ModelLoadError(f"{path} has the key {name!r}, which {config_class.__name__} does not know; {hint}")
        try:
            values[name] = _as(kinds[name], value)
        except TypeError as error:
            raise ModelLoadError(f"{path}: {name} must be {_spelled(kinds[name])}, got {value!r:.80}.") from error
    try:
        return config_class(**values)
    except (TypeError, ValueError) as error:  # a field without default is lacking; a ConfigError of the class itself
        raise ModelLoadError(f"{path}: {first_line(error)}") from error


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill every tensor of a network from a safetensors file that holds exactly these.

    Raises:
        ModelLoadError: if the file is broken, or a tensor is missing, unexpected, of another shape, or not finite.
    """
    try:
        found = load_file(path)
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror or error}.") from error
    except SafetensorError as error:
        raise ModelLoadError(broken_weights(path, error)) from error
    own = model.state_dict()
    # A tensor that goes by two names is saved under one of them; its place in memory tells.
    filled = {own[name].data_ptr() for name in found if name in own}
    if missing := [name for name in own if name not in found and own[name].data_ptr() not in filled]:
        raise ModelLoadError(f"{path} lacks {_some(missing)}, which {CONFIG} asks for.")
    if unexpected := [name for name in found if name not in own]:
        raise ModelLoadError(f"{path} holds {_some(unexpected)}, for which {CONFIG} has no place.")
    for name, value in found.items():
        if value.shape != own[name].shape:
            raise ModelLoadError(
                f"{path}: {name} is {tuple(value.shape)}, but {CONFIG} makes it {tuple(own[name].shape)}; "
                "config and weights do not belong together."
            )
    if spoilt := [name for name, value in found.items() if not _is_finite(value)]:
        raise ModelLoadError(f"{path} has NaN or infinite numbers in {_some(spoilt)}; use an earlier checkpoint.")
    model.load_state_dict(found, strict=False)  # strict it was, above, with shared tensors understood


def _as(kind: Any, value: Any) -> Any:
    """A JSON value as a field's type: lists become tuples, whole numbers may stand for floats, nothing else bends."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (tuple, list):
        if type(value) is not list:
            raise TypeError
        return origin(_as(arguments[0], item) for item in value)
    if origin in (Union, UnionType):
        for option in arguments:
            try:
                return _as(option, value)
            except TypeError:
                continue
        raise TypeError
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # not isinstance: True is no number here
        raise TypeError
    return value


def _spelled(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value.float()).all())


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its type's name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
