"""What a step sees and how fast it learns: functions of the step alone, so a resumed run is the same run."""

import math

import torch
from torch import Tensor

from leed_hub.errors import ConfigError


def indices_of_step(count: int, batch_size: int, step: int, seed: int, rank: int = 0, world_size: int = 1) -> Tensor:
    """Which of `count` items a process sees at a step, from 0: int64 (batch_size,).

    Every epoch is a fresh permutation, cut into batches over all processes.

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
