"""Checkpoints that survive a crash, and networks that start from saved weights."""

import json
import os
import re
import shutil
from pathlib import Path

import torch
from accelerate import Accelerator

from leed_hub.errors import ConfigError
from leed_hub.models.hub_mixin import HubModel

COMPLETE = "complete.json"  # written last: a checkpoint without it was cut off
_FOLDER = re.compile(r"step_(\d{8})")


def save_checkpoint(accelerator: Accelerator, folder: Path, step: int, *, keep: int = 2) -> None:
    """Save the whole state as `folder/step_NNNNNNNN`, then remove all but the newest `keep`.

    The state goes to a temporary folder that is renamed when it is complete; only then are old ones deleted, so at
    any moment one complete checkpoint exists. (accelerate's own numbering deletes before it writes.)
    """
    final = folder / f"step_{step:08d}"
    temporary = folder / f".{final.name}.tmp"
    if accelerator.is_main_process:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(temporary))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (temporary / COMPLETE).write_text(json.dumps({"step": step, "processes": accelerator.num_processes}))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
        for old in complete_checkpoints(folder)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def complete_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = folder.glob("step_*") if folder.is_dir() else []
    return sorted(path for path in found if _FOLDER.fullmatch(path.name) and (path / COMPLETE).is_file())


def load_checkpoint(accelerator: Accelerator, folder: Path) -> int:
    """Load the newest complete checkpoint below `folder` and return its step; 0 when there is none.

    Raises:
        ConfigError: if it was made by another number of processes, whose batches would be other ones.
    """
    found = complete_checkpoints(folder)
    if not found:
        return 0
    made = json.loads((found[-1] / COMPLETE).read_text())
    if made["processes"] != accelerator.num_processes:
        raise ConfigError(
            f"{found[-1].name} was made by {made['processes']} processes; this run has {accelerator.num_processes}. "
            "Start as many, or train into another output_dir."
        )
    accelerator.load_state(str(found[-1]))
    return made["step"]


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
