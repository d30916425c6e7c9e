"""Schedules are functions of the step; checkpoints are there whole or not at all."""

import shutil

import pytest
import torch
from accelerate import Accelerator

from leed_hub.errors import ConfigError
from leed_hub.training import checkpoints, schedule


def test_an_epoch_sees_every_picture_once_over_all_processes():
    seen = torch.cat([schedule.indices_of_step(24, 4, step, 0, rank, 2) for step in range(3) for rank in range(2)])
    assert sorted(seen.tolist()) == list(range(24))


def test_epochs_and_seeds_shuffle_differently_and_a_step_repeats_itself():
    first, again = schedule.indices_of_step(100, 100, 0, 0), schedule.indices_of_step(100, 100, 0, 0)
    assert torch.equal(first, again)
    assert not torch.equal(first, schedule.indices_of_step(100, 100, 1, 0))
    assert not torch.equal(first, schedule.indices_of_step(100, 100, 0, 1))


def test_a_step_larger_than_the_corpora_is_refused():
    with pytest.raises(ConfigError, match="lower batch_size"):
        schedule.indices_of_step(7, 4, 0, 0, rank=0, world_size=2)


def test_the_rate_rises_to_its_peak_and_falls_to_nothing():
    rates = [schedule.learning_rate(step, peak=2.0, steps=100, warmup_steps=10) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[9] == rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.0)


def test_a_longer_run_repeats_the_constant_part_of_a_shorter_one():
    short, long = (
        [schedule.learning_rate(step, peak=1.0, steps=steps, warmup_steps=10, decay_steps=30) for step in range(steps)]
        for steps in (100, 150)
    )
    assert short[:71] == long[:71] and short[10:71] == [1.0] * 61
    assert short[70:] == long[120:] and short[-1] < 0.01


def test_steps_and_ranks_draw_differently():
    draws = {
        torch.rand(1, generator=schedule.generator_of_step(*key)).item()
        for key in [(0, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0)]
    }
    assert len(draws) == 4


@pytest.mark.parametrize("keep", [1, 2])
def test_checkpoints_are_pruned_after_the_new_one_is_complete_and_loaded_back(tmp_path, monkeypatch, keep):
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(2, 2)
    whole_at_each_removal, remove_tree = [], shutil.rmtree

    def remove(path, **options):
        found = checkpoints.newest_checkpoint(tmp_path)
        whole_at_each_removal.append(found and found.step)
        remove_tree(path, **options)

    monkeypatch.setattr(checkpoints.shutil, "rmtree", remove)
    for step in (1, 2, 3):
        torch.nn.init.constant_(model.weight, step)
        checkpoints.save_checkpoint(accelerator, {"model": model}, tmp_path, step, {}, keep=keep)
    monkeypatch.undo()
    assert [path.name for path in checkpoints.checkpoint_folders(tmp_path)] == [
        f"step_0000000{step}" for step in (1, 2, 3)[-keep:]
    ]
    assert whole_at_each_removal == [2, 3][keep - 1 :]
    torch.nn.init.zeros_(model.weight)
    found = checkpoints.newest_checkpoint(tmp_path)
    found.load({"model": model})
    assert found.step == 3 and torch.equal(model.weight, torch.full((2, 2), 3.0))


def test_a_checkpoint_of_other_processes_is_refused(tmp_path):
    checkpoints.save_checkpoint(Accelerator(cpu=True), {"model": torch.nn.Linear(2, 2)}, tmp_path, 1, {})
    with pytest.raises(ConfigError, match="was made by 1 processes; this run has 4"):
        checkpoints.newest_checkpoint(tmp_path).check({}, processes=4)
