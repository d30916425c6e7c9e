"""Checkpoints that survive a crash, and networks that start from saved weights.

A checkpoint is a folder `step_NNNNNNNN`. Each process writes tensors as safetensors and all else as JSON, so nothing is
ever unpickled; `complete.json`, written last, says what made it and holds the sums of all files.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.logging import get_logger
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from leed_hub.errors import ConfigError, LeedHubError
from leed_hub.hub import first_line, sha256
from leed_hub.models.hub_mixin import HubModel

COMPLETE = "complete.json"  # written last: a checkpoint without it was cut off
_FOLDER = re.compile(r"step_(\d{8})")
# What cannot change within a run, and what may without a word.
_FIXED = ("config.task", "config.model", "config.optimizer", "config.frozen")
_FREE = (
    "command",
    *("config.output_dir", "config.card", "config.init", "config.save_half"),
    *("config.log_every", "config.evaluate_every", "config.checkpoint_every", "config.workers"),
)
logger = get_logger(__name__)


class Part(Protocol):
    """What a checkpoint holds: a network, an optimizer, the progress."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, which nobody has loaded yet.

    Attributes:
        folder: where it lies.
        step: how many steps it has seen.
        processes: how many made it.
        run: what made it, as `run_record` says.
    """

    folder: Path
    step: int
    processes: int
    run: dict[str, Any]

    def load(self, parts: dict[str, Part], rank: int = 0) -> None:
        """Bring all parts back to where they were.

        Raises:
            ConfigError: if they are not those that were saved.
        """
        try:
            state = _read(self.folder / "process_0")
            own = _read(self.folder / f"process_{rank}")
            for name, part in parts.items():
                if isinstance(part, Optimizer):
                    _load_optimizer(part, state[name])
                else:
                    part.load_state_dict(state[name] | own.get(name, {}))
        except (OSError, SafetensorError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{self.folder} does not fit the networks of this config: {first_line(error)}. Train into another "
                "output_dir."
            ) from error

    def check(self, run: dict[str, Any], processes: int) -> None:
        """Refuse to go on where the networks or the optimizer would be others; warn of all else that has changed.

        Raises:
            ConfigError: if the run, with so many processes, cannot go on from here.
        """
        if self.processes != processes:
            raise ConfigError(
                f"{self.folder.name} was made by {self.processes} processes; this run has {processes}. "
                "Start as many, or train into another output_dir."
            )
        changed = dict(_differences(self.run, run))
        for name, (before, now) in changed.items():
            if name.startswith(_FIXED):
                raise ConfigError(
                    f"{self.folder.name} was trained with {name.removeprefix('config.')} {before!r}; this config says "
                    f"{now!r}. Give it back its value, or train into another output_dir."
                )
        said = [
            f"{name.removeprefix('config.')} was {before!r:.60} and is {now!r:.60}"
            for name, (before, now) in changed.items()
            if not name.startswith(_FREE)
        ]
        if said:
            logger.warning("The run goes on, but not as it would have without the pause: %s.", "; ".join(said))


def save_checkpoint(
    accelerator: Accelerator, parts: dict[str, Part], folder: Path, step: int, run: dict[str, Any], *, keep: int = 2
) -> None:
    """Save all parts as `folder/step_NNNNNNNN`, then remove all but the newest `keep`.

    The files go to a temporary folder that is renamed when it is complete; only then are old ones deleted, so at any
    moment one whole checkpoint exists.

    Raises:
        LeedHubError: if a number is not finite or the disk is full; the checkpoints before are as they were.
    """
    final = folder / f"step_{step:08d}"
    unfinished = folder / f".{final.name}.tmp"
    rank = accelerator.process_index
    with _says_what_is_left(folder, step):
        if accelerator.is_main_process:
            for left_over in folder.glob(".step_*.tmp"):
                shutil.rmtree(left_over)
            unfinished.mkdir(parents=True)
        accelerator.wait_for_everyone()
        # Gradients are averaged over the processes, so all have the same parameters and optimizers, but running
        # statistics are each one's own.
        _write(
            {name: part.state_dict() for name, part in parts.items()} if rank == 0 else _buffers(parts),
            unfinished / f"process_{rank}",
            step,
        )
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            sums = {path.name: sha256(path) for path in sorted(unfinished.iterdir())}
            made = {"step": step, "processes": accelerator.num_processes, "run": run, "sha256": sums}
            (unfinished / COMPLETE).write_text(json.dumps(made, indent=2) + "\n")
            if final.exists():  # broken, or it would have been gone on from
                shutil.rmtree(final)
            os.replace(unfinished, final)
    if accelerator.is_main_process:
        earlier = [path for path in checkpoint_folders(folder) if path < final]
        for path in checkpoint_folders(folder):
            if path != final and path not in earlier[len(earlier) - keep + 1 :]:
                _remove(path)  # also what was broken and has been passed over, which is later than this one
    accelerator.wait_for_everyone()


def _remove(path: Path) -> None:
    """Delete an old checkpoint; the new one is whole, so one that stays is no reason to stop."""
    try:
        shutil.rmtree(path)
    except OSError as error:
        logger.warning("%s could not be removed (%s).", path.name, first_line(error))


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint below `folder`; broken ones are passed over with a warning. None if there is none.

    Raises:
        ConfigError: if there are checkpoints and all are broken.
    """
    faults = []
    for path in reversed(checkpoint_folders(folder)):
        try:
            made = json.loads((path / COMPLETE).read_text())
            for rank in range(made["processes"]):
                for name in (f"process_{rank}.json", f"process_{rank}.safetensors"):
                    if sha256(path / name) != made["sha256"][name]:
                        raise ValueError(f"{name} is not what was written")
            found = Checkpoint(path, made["step"], made["processes"], made["run"])
        except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
            lacking = isinstance(error, FileNotFoundError) and Path(error.filename).name
            faults.append(f"{path.name} ({f'{lacking} is missing' if lacking else first_line(error)})")
            continue
        if faults:
            logger.warning("Not whole, and passed over: %s. Going on from %s.", ", ".join(faults), path.name)
        return found
    if faults:
        raise ConfigError(f"No checkpoint in {folder} is whole: {', '.join(faults)}. Start anew in another output_dir.")
    return None


def checkpoint_folders(folder: Path) -> list[Path]:
    """All checkpoints, whole or not, oldest first."""
    found = folder.glob("step_*") if folder.is_dir() else []
    return sorted(path for path in found if _FOLDER.fullmatch(path.name))


def _write(state: dict[str, Any], stem: Path, step: int) -> None:
    tensors: dict[str, Tensor] = {}
    rest = _packed(state, "", tensors)
    spoilt = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if spoilt:
        raise LeedHubError(
            f"At step {step} {spoilt[0]} is not finite, so no checkpoint was written: --resume goes on from the one "
            "before; lower the learning rate."
        )
    save_file(tensors, stem.with_suffix(".safetensors"))
    stem.with_suffix(".json").write_text(json.dumps(rest))


def _read(stem: Path) -> dict[str, Any]:
    return _unpacked(json.loads(stem.with_suffix(".json").read_text()), load_file(stem.with_suffix(".safetensors")))


def _packed(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """A state as JSON; its tensors go into `tensors` and leave their names."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {str(key): _packed(item, f"{name}.{key}".lstrip("."), tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(item, f"{name}.{place}", tensors) for place, item in enumerate(value)]
    return value


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"tensor"}:
            return tensors[value["tensor"]]
        return {key: _unpacked(item, tensors) for key, item in value.items()}
    return [_unpacked(item, tensors) for item in value] if isinstance(value, list) else value


def _buffers(parts: dict[str, Part]) -> dict[str, Any]:
    """What no optimizer changes in each network."""
    networks = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
    learned = {name: dict(network.named_parameters()) for name, network in networks.items()}
    return {
        name: {key: value for key, value in network.state_dict().items() if key not in learned[name]}
        for name, network in networks.items()
    }


def _load_optimizer(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Its state as saved; rates and the like are the config's, which says them anew."""
    fresh = optimizer.state_dict()
    groups = [old | new for old, new in zip(saved["param_groups"], fresh["param_groups"], strict=True)]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def laid_out(value: Any, parameter: Tensor) -> Any:
        """In memory as the parameter is, for sums in another order come out another way."""
        if not isinstance(value, Tensor) or value.shape != parameter.shape:
            return value
        return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)

    state = {
        int(number): {name: laid_out(value, parameters[int(number)]) for name, value in values.items()}
        for number, values in saved["state"].items()
    }
    optimizer.load_state_dict(saved | {"state": state, "param_groups": groups})


def _differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Dotted name of each value that is not the same in two nested mappings -> both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in before.keys() | now.keys():
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
    elif before != now:
        yield name, (before, now)


@contextmanager
def _says_what_is_left(folder: Path, step: int) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise LeedHubError(
            f"The checkpoint of step {step} could not be written to {folder} ({first_line(error)}): make room there; "
            "--resume goes on from the one before."
        ) from error


def warm_start(model: HubModel, names_or_folders: list[str]) -> None:
    """Take over the weights of a saved model, or the mean of several; parts that they lack stay as they are."""
    saved = [type(model).from_pretrained(name).state_dict() for name in names_or_folders]
    if unknown := sorted(saved[0].keys() - model.state_dict().keys()):
        raise ConfigError(f"init has weights that the new network lacks, {unknown[0]} among {len(unknown)}.")
    shapes = [{name: weight.shape for name, weight in one.items()} for one in saved]
    if any(one != shapes[0] for one in shapes):
        raise ConfigError("init names networks of different parts; only equal ones have a mean.")
    mean = {
        name: torch.stack([one[name].float() for one in saved]).mean(dim=0).to(weight.dtype)
        for name, weight in saved[0].items()
    }
    model.load_state_dict(model.state_dict() | mean)
