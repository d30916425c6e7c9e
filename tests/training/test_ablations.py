"""The ablations' sweeps: variants that can be trained, no run made twice, a table that says what was measured."""

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from leed_hub.training.config import read_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sweep(monkeypatch, tmp_path):
    """`ablations` writing into the test's folder; a training notes its config, a result tells its seed."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import ablations

    trained = []

    def train(config: dict) -> Path:
        folder = tmp_path / config["output_dir"]
        folder.mkdir(parents=True, exist_ok=True)
        trained.append(config)
        return folder

    monkeypatch.setattr(ablations, "ROOT", tmp_path)
    monkeypatch.setattr(ablations, "train", train)
    task = ablations.SWEEPS["recognition"]
    numbers = dict.fromkeys(task.columns, 0.5)
    measured = dataclasses.replace(task, measure=lambda folder: numbers | {"accuracy": 0.6 + 0.1 * trained[-1]["seed"]})
    monkeypatch.setitem(ablations.SWEEPS, "recognition", measured)
    ablations.trained = trained
    return ablations


@pytest.mark.parametrize("task", ["editing", "recognition"])
def test_every_variant_can_be_trained(task, sweep, tmp_path):
    from variants import resolve

    settings = yaml.safe_load((ROOT / "configs/ablations" / f"{task}.yaml").read_text())
    folders = set()
    for name, changes in settings["variants"].items():
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(resolve(settings["base"], name, changes)))
        config = read_config(tmp_path / "config.yaml")
        settings_of_variant = config.settings()
        if task == "recognition":
            assert settings_of_variant.model.reconstructs == (settings_of_variant.losses.beta1 > 0)
        folders.add(config.output_dir)
    assert len(folders) == len(settings["variants"])


def test_a_sweep_makes_no_run_twice_and_reports_mean_and_deviation(sweep, tmp_path):
    (tmp_path / "sweep.yaml").write_text(
        "seeds: [0, 1]\nbase: {output_dir: runs, losses: {beta1: 0}}\nvariants: {plain: {}, more: {losses.beta1: 1}}\n"
    )
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- sweep -->\nold\n<!-- end of sweep -->\nbelow\n")
    files = {"task": "recognition", "file": tmp_path / "sweep.yaml", "json_file": tmp_path / "out.json", "page": page}
    sweep.main(**files)
    assert [(config["seed"], config["losses"]["beta1"]) for config in sweep.trained] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    sweep.main(**files)
    assert len(sweep.trained) == 4
    (tmp_path / "runs/more_seed_1/result.json").unlink()
    sweep.main(**files)
    assert sweep.trained[4:] == sweep.trained[3:4]

    (tmp_path / "runs/more_seed_1/result.json").unlink()
    sweep.main(report=True, **files)
    assert len(sweep.trained) == 5
    results = json.loads((tmp_path / "out.json").read_text())
    assert results["plain"]["mean"]["accuracy"] == pytest.approx(0.65)
    assert results["plain"]["deviation"]["accuracy"] == pytest.approx(0.0707, abs=1e-4)
    assert results["more"]["deviation"]["accuracy"] is None
    above, _, head, _, plain, more, _, below = page.read_text().splitlines()
    assert (above, below) == ("above", "below")
    assert head.startswith("| training | accuracy")
    assert plain.startswith("| plain | 0.650 ± 0.071 |") and plain.endswith("| 2 |")
    assert more.startswith("| more | 0.600 |") and more.endswith("| 1 |")
