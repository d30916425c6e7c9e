"""What a run needs besides its task: schedules as functions of the step, and checkpoints that survive a crash."""

import functools
import json
import math
import os
import re
import shutil
from pathlib import Path

import torch
from accelerate import Accelerator
from timm.optim import muon
from torch import Tensor

from leed_hub.errors import ConfigError

COMPLETE = "complete.json"  # written last: a checkpoint without it was cut off
_FOLDER = re.compile(r"step_(\d{8})")


def computes_fast_in_bf16() -> bool:
    """Whether this machine has bfloat16 arithmetic; without it each operation is a detour through float32."""
    return torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def orthogonalise_in_float32() -> None:
    """Let timm's Muon run its Newton-Schulz iteration in float32, for which it has no option.

    Without bfloat16 arithmetic a step of our networks takes 9.2 s in its default bfloat16 and 0.4 s in float32.
    """
    if not isinstance(muon.zeropower_via_newtonschulz, functools.partial):
        muon.zeropower_via_newtonschulz = functools.partial(muon.zeropower_via_newtonschulz, dtype=torch.float32)


def anchors_of_step(count: int, batch_size: int, step: int, seed: int, rank: int = 0, world_size: int = 1) -> Tensor:
    """Which items a process sees at a step: every epoch is a fresh permutation, cut into batches over all processes.

    Args:
        count: items in the epoch.
        batch_size: items a process takes a step.
        step: from 0.
    Returns:
        Tensor: int64 (batch_size,) in 0..count - 1; a function of the arguments alone, so a resumed run is the same.
    Raises:
        ConfigError: if one step needs more items than there are.
    """
    whole = batch_size * world_size
    steps_an_epoch = count // whole
    if steps_an_epoch == 0:
        raise ConfigError(f"A step takes {whole} pictures but the corpora hold {count}; lower batch_size.")
    epoch, place = divmod(step, steps_an_epoch)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
    start = place * whole + rank * batch_size
    return order[start : start + batch_size]


def generator_of_step(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """The source of a step's random views: a function of its arguments alone."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) * 1_009 + rank)


def learning_rate(step: int, *, peak: float, steps: int, warmup_steps: int, decay_steps: int | None = None) -> float:
    """Linear warm-up to `peak`, constant, then a half cosine down to 0 over the last `decay_steps` (default: all).

    With a constant part a run can be made longer without changing what came before (Hägele et al. 2024,
    arXiv:2405.18392).
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    decay_start = max(warmup_steps, steps - decay_steps) if decay_steps else warmup_steps
    done = max(0, step - decay_start) / max(1, steps - decay_start)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


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
