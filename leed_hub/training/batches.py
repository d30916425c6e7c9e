"""The batches of a training's steps, made by the training itself or by processes that work ahead of it."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from leed_hub.data.labelled import LabelledFaces
from leed_hub.data.pairs import EditingPairs
from leed_hub.training.schedule import generator_of_step, indices_of_step

Feed = EditingPairs | LabelledFaces


@dataclass
class StepBatches(Dataset):
    """`batches[step]`: a step's batch, and the seed of what the network draws; both functions of the step alone.

    Attributes:
        feed: what they are drawn from.
        batch_size: pictures a process takes a step.
        seed: of the run.
        rank, world_size: which process of how many.
        device: where they are made.
    """

    feed: Feed
    batch_size: int
    seed: int
    rank: int
    world_size: int
    device: torch.device

    def __getitem__(self, step: int) -> tuple[dict[str, Tensor], int]:
        indices = self._indices(step)
        draws = generator_of_step(self.seed, step, self.rank)
        batch = self.feed.batch(indices, draws, self.device)
        return batch, int(torch.randint(2**62, (), generator=draws))

    def _indices(self, step: int) -> Tensor:
        return indices_of_step(len(self.feed), self.batch_size, step, self.seed, self.rank, self.world_size)

    def made_ahead(self, steps: range, workers: int) -> Iterator[tuple[dict[str, Tensor], int]]:
        """Those of some steps in turn; where there are workers, so many processes make them on the CPU meanwhile."""
        if not workers:
            yield from map(self.__getitem__, steps)
            return
        self._indices(steps.start)  # too large a batch is told here, in one sentence; a worker would add a traceback
        loader = DataLoader(
            replace(self, device=torch.device("cpu")),
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            pin_memory=self.device.type == "cuda",
            multiprocessing_context="fork" if sys.platform == "linux" else None,  # which shares the pictures
        )
        for batch, seed in loader:
            yield {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}, seed
