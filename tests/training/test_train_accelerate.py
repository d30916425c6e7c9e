"""The training script as a user starts it: two steps, resumed to the same weights, on one process and on two."""

import dataclasses
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import typer
import yaml
from forked_script import ForkedScript
from safetensors.torch import load_file
from tiny_training import COMMON, EDITING, RECOGNITION, draw_face, make_corpora
from typer.testing import CliRunner

from leed_hub import ExpressionEncoderConfig, ExpressionEncoderModel, LEEDConfig, LEEDModel
from leed_hub.errors import ConfigError, LeedHubError
from leed_hub.training.checkpoints import warm_start
from leed_hub.training.config import MODELS, read_config, submodule

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    return make_corpora(tmp_path_factory.mktemp("corpora"))


def write_config(folder: Path, config: dict) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(COMMON | {"output_dir": str(folder / "run"), "mixed_precision": "no"} | config))
    return path


def command(config: Path, *options: str, processes: int = 1) -> list[str]:
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return [*launcher, str(ROOT / "train_accelerate.py"), "--config", str(config), *options]


def environment(corpora: Path) -> dict[str, str]:
    single = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    places = {"LEED_HUB_CORPORA": corpora, "HF_HOME": corpora / "cache", "LEED_HUB_CACHE": corpora / "tables"}
    return os.environ | single | {name: str(place) for name, place in places.items()}


@pytest.fixture(scope="module")
def script(corpora, tmp_path_factory):
    """The training script; `script.run("--config", file)` starts it as a user does, but for its imports."""
    script = ForkedScript(ROOT / "train_accelerate.py", environment(corpora), tmp_path_factory.mktemp("printed"))
    yield script
    script.close()


def run_here(config: Path, *options: str):
    """The script's command line within this process, for what ends before a training."""
    script = runpy.run_path(str(ROOT / "train_accelerate.py"))
    app = typer.Typer()
    app.command()(script["main"])
    return CliRunner().invoke(app, ["--config", str(config), *options])


def last_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(max((run / "checkpoints").glob("step_*")) / "process_0.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(("config", "model_class"), [(RECOGNITION, ExpressionEncoderModel), (EDITING, LEEDModel)])
def test_a_run_ends_with_a_folder_that_loads(config, model_class, script, tmp_path):
    path = write_config(tmp_path, config)
    whole = script.run("--config", str(path))
    assert whole.returncode == 0, whole.stderr[-3000:]
    model_class.from_pretrained(tmp_path / "run" / "best")
    assert "train_accelerate.py" in (tmp_path / "run" / "best" / "README.md").read_text()
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["config"]["steps"] == 4 and run["published"] == "best" and run["minutes"] > 0
    (fingerprint,) = run["corpora"].values()
    card = (tmp_path / "run" / "best" / "README.md").read_text()
    assert len(fingerprint) == 16 and fingerprint in card and run["commit"] in card and "hours in all" in card


@pytest.mark.slow
def test_any_folder_of_faces_trains_an_editor(script, tmp_path):
    (tmp_path / "faces").mkdir()
    for number in range(6):
        draw_face(number, number / 5).save(tmp_path / "faces" / f"{number}.png")
    mine = {"corpus": "folder", "data_dir": str(tmp_path / "faces"), "split": "train", "detector": "none"}
    wild = {"model": EDITING["model"] | {"pairs": "none"}, "data": {"corpora": [mine], "held_out": []}, "steps": 2}
    run = script.run("--config", str(write_config(tmp_path, EDITING | wild)))
    assert run.returncode == 0, run.stderr[-3000:]
    assert "error_ratio" in run.stdout
    assert LEEDModel.from_pretrained(tmp_path / "run" / "best").config.pairs == "none"


@pytest.mark.slow
def test_stages_go_on_from_one_another_and_a_cut_off_run_from_its_stage(script, tmp_path):
    stages = [
        {"name": "joint", "steps": 2, "data": {"disentangle": {"identity_dim": 3}}},
        {"name": "settled", "steps": 2, "frozen": ["encoder", "extractor"], "model": {"identity_dim": 3}},
    ]
    path = write_config(tmp_path, EDITING | {"stages": stages})
    whole = script.run("--config", str(path))
    assert whole.returncode == 0, whole.stderr[-3000:]
    joint, settled = tmp_path / "run" / "1_joint", tmp_path / "run" / "2_settled"
    assert LEEDModel.from_pretrained(joint / "finished").config.identity_dim == 3
    assert LEEDModel.from_pretrained(joint / "best").config.identity_dim == 16
    before, after = (load_file(folder / "model.safetensors") for folder in (joint / "finished", settled / "last"))
    changed = {name.split(".")[0] for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert {"decoder", "transformer_common"} <= changed and not changed & {"encoder", "extractor"}
    assert "of 2_settled" in (settled / "best" / "README.md").read_text()

    shutil.rmtree(tmp_path / "run")
    for options in (("--max_steps", "1"), ("--resume",)):
        part = script.run("--config", str(path), *options)
        assert part.returncode == 0, part.stderr[-3000:]
        assert (settled / "best").exists() == (options == ("--resume",))
    resumed = load_file(settled / "last" / "model.safetensors")
    assert all(torch.equal(after[name], resumed[name]) for name in after)


@pytest.mark.parametrize(
    ("stages", "culprit"),
    [
        ([{"steps": 2}], "name"),
        ([{"name": "a"}, {"name": "a"}], "name"),
        ([{"name": "a", "output_dir": "elsewhere"}], "output_dir"),
        ([{"name": 5}], r"of letters, digits, _ and -; got \[5\]"),
        ([{"name": "../up"}], "of letters, digits"),
        ([{"name": "a"}, {"name": "b", "init": "weights"}], "first stage"),
        ([{"name": "a"}, {"name": "b", "losses": {"pixel": 1}}], "pixel"),
        ([{"name": "a"}, {"name": "b", "teachers": ["a"]}], "teachers are for recognition"),
    ],
)
def test_a_stage_that_cannot_be_is_known_before_the_training(stages, culprit, tmp_path):
    with pytest.raises(ConfigError, match=culprit):
        read_config(write_config(tmp_path, EDITING | {"stages": stages}))


@pytest.mark.parametrize(
    ("config", "change", "culprit"),
    [
        (EDITING, {"model": {"image_sise": 32}}, "image_sise"),
        (EDITING, {"losses": {"pixel": 1.0}}, "pixel"),
        (EDITING, {"data": EDITING["data"] | {"bending": 0.1}}, "bending"),
        (EDITING, {"data": {"corpora": [{"corpus": "rendered_face"}], "held_out": []}}, "rendered_face"),
        (EDITING, {"data": {"corpora": [{"corpus": "london", "splitt": "train"}], "held_out": []}}, "splitt"),
        (EDITING, {"data": EDITING["data"] | {"disentangle": {"identity": 3}}}, "identity_dim"),
        (EDITING, {"card": {"titel": "?"}}, "titel"),
        (EDITING, {"card": {"datasets": [{"nam": "?"}]}}, "name"),
        (EDITING, {"frozen": ["encoders"]}, "encoders"),
        (EDITING, {"steps": 0}, "steps"),
        (EDITING, {"task": "edit"}, "edit"),
        (RECOGNITION, {"losses": {"beta3": 1.0}}, "beta3"),
        (RECOGNITION, {"data": RECOGNITION["data"] | {"balanced": 1.0}}, "balanced"),
        (RECOGNITION, {"data": {"corpora": []}}, "validation"),
        (RECOGNITION, {"mixed_precision": "fp8"}, "fp8"),
        (RECOGNITION, {"mixed_precision": "fp16"}, "mixed_precision"),
        (RECOGNITION, {"batch_size": 1}, "batch_size should be greater than or equal to 2; got 1"),
        (RECOGNITION, {"batch_size": 1.5}, "batch_size should be a valid integer; got 1.5"),
        (RECOGNITION, {"learning_rate": "1e-3"}, "learning_rate should be a valid number; got '1e-3'"),
        (RECOGNITION, {"init": 5}, "^init should be a valid string; got 5"),
        (RECOGNITION, {"extends": 5}, "^extends names a file; got 5"),
        (RECOGNITION, {"card": {"title": 5}}, "title should be a valid string"),
        (RECOGNITION, {"card": {"limitations": "few"}}, "limitations should be a valid list"),
        (RECOGNITION, {"data": RECOGNITION["data"] | {"corpora": []}}, "corpora should have at least 1 item"),
        (RECOGNITION, {"data": RECOGNITION["data"] | {"corpora": [{"corpus": "fer2013"}]}}, "fer2013 needs a split"),
        (
            RECOGNITION,
            {"data": RECOGNITION["data"] | {"validation": {"corpus": "fer2013", "repeats": "2"}}},
            "^repeats s",
        ),
        (EDITING, {"data": EDITING["data"] | {"corpora": []}}, "corpora should have at least 1 item"),
    ],
)
def test_whatever_is_misspelt_is_known_before_any_corpus_is_read(config, change, culprit, tmp_path):
    with pytest.raises(LeedHubError, match=culprit):
        read_config(write_config(tmp_path, config | change))


@pytest.mark.parametrize(
    ("teachers", "culprit"), [(["b"], "'b' is none"), (["a"], "'a' is none"), ("b", "^teachers should be a valid list")]
)
def test_only_stages_before_it_teach_a_stage(teachers, culprit, tmp_path):
    stages = [{"name": "a", "teachers": teachers}, {"name": "b"}]
    with pytest.raises(ConfigError, match=culprit):
        read_config(write_config(tmp_path, RECOGNITION | {"stages": stages}))


def test_a_part_that_is_not_there_cannot_stand_still():
    with pytest.raises(ConfigError, match="it has no 'decoders'"):
        submodule(LEEDModel(LEEDConfig(image_size=32, widths=(2, 2, 2, 2), manifold_dim=4)), "decoders")


@pytest.mark.slow
def test_two_processes_killed_and_resumed_end_as_without_a_pause(corpora, script, tmp_path):
    stages = [
        {"name": "first", "steps": 1, "data": {"disentangle": {"identity_dim": 3}}},
        {"name": "second", "steps": 5},
    ]
    stages[1]["model"] = {"identity_dim": 3}
    path = write_config(tmp_path, EDITING | {"batch_size": 2, "stages": stages})
    whole = script.run("--config", str(path), processes=2)
    assert whole.returncode == 0, whole.stderr[-3000:]
    assert (tmp_path / "run/1_first/finished").is_dir() and not (tmp_path / "run/2_second/finished").exists()
    expected = last_weights(tmp_path / "run/2_second")
    # They know of each other, without any environment but the launcher's own.
    assert (tmp_path / "run/2_second/checkpoints/step_00000005/process_1.safetensors").is_file()

    shutil.rmtree(tmp_path / "run")
    with subprocess.Popen(
        command(path, processes=2), env=environment(corpora), cwd=ROOT, stderr=subprocess.DEVNULL
    ) as run:
        while not (tmp_path / "run/2_second/checkpoints/step_00000002").exists() and run.poll() is None:
            time.sleep(0.01)
        for process in [*psutil.Process(run.pid).children(recursive=True), run]:
            process.kill()
    assert not (tmp_path / "run/2_second/checkpoints/step_00000005").exists()
    resumed = script.run("--config", str(path), "--resume", processes=2)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    weights = last_weights(tmp_path / "run/2_second")
    assert [name for name in expected if not torch.equal(expected[name], weights[name])] == []


@pytest.mark.slow
def test_a_stop_signal_leaves_a_checkpoint_to_go_on_from(corpora, tmp_path):
    path = write_config(
        tmp_path, RECOGNITION | {"steps": 100_000, "checkpoint_every": 100_000, "evaluate_every": 100_000}
    )
    with subprocess.Popen(command(path), env=environment(corpora), cwd=ROOT, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as run:  # fmt: skip
        while not list((tmp_path / "run" / "logs").rglob("events*")) and run.poll() is None:
            time.sleep(0.2)
        time.sleep(3)
        run.send_signal(signal.SIGTERM)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors[-3000:]
    (checkpoint,) = (tmp_path / "run" / "checkpoints").glob("step_*")
    assert (checkpoint / "complete.json").is_file()


def test_a_dry_run_prints_the_whole_config_and_trains_nothing(tmp_path):
    dry = run_here(write_config(tmp_path, RECOGNITION), "--dry_run")
    assert yaml.safe_load(dry.stdout)["ema_halflife_steps"] == 100
    elsewhere = run_here(write_config(tmp_path, RECOGNITION), "--dry_run", "--output_dir", "elsewhere")
    assert yaml.safe_load(elsewhere.stdout)["output_dir"] == "elsewhere"
    assert not (tmp_path / "run").exists()


def test_a_misspelt_field_is_one_sentence(tmp_path):
    wrong = run_here(write_config(tmp_path, RECOGNITION | {"learing_rate": 1}), "--dry_run")
    assert wrong.exit_code == 2
    assert "learing_rate" in wrong.stderr and "Traceback" not in wrong.stderr


def test_a_config_extends_another_and_changes_what_it_names(tmp_path):
    base = write_config(tmp_path, RECOGNITION | {"losses": {"beta1": 0.0, "beta2": 0.1}, "decay_steps": 5})
    (tmp_path / "second.yaml").write_text("extends: config.yaml\nlosses: {beta2: 0.7}\ndecay_steps: null\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more/third.yaml").write_text("extends: ../second.yaml\nseed: 3\n")
    third = read_config(tmp_path / "more/third.yaml")
    losses = {"beta1": 0.0, "beta2": 0.7}
    assert third == dataclasses.replace(read_config(base), losses=losses, decay_steps=None, seed=3)
    (tmp_path / "circle.yaml").write_text("extends: circle.yaml\n")
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    (tmp_path / "on_empty.yaml").write_text("extends: empty.yaml\n")
    for name, culprit in (("circle", "circle"), ("empty", "empty"), ("on_empty", "empty")):
        with pytest.raises(ConfigError, match=f"^{culprit}.yaml is not a usable"):
            read_config(tmp_path / f"{name}.yaml")


CONFIGS = [path for path in sorted((ROOT / "configs").rglob("*.yaml")) if path.parent.name != "ablations"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_repository_is_valid(path):
    for stage in read_config(path).as_stages():
        MODELS[stage.task](stage.settings().model)
        assert stage.card["title"]


def test_a_grown_network_starts_as_the_saved_one_and_a_smaller_one_is_refused(tmp_path):
    small, grown = (
        LEEDModel(LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=16, expression_dim=4, refinements=count))
        for count in (0, 1)
    )
    small.save_pretrained(tmp_path / "small")
    warm_start(grown, [str(tmp_path / "small")])
    faces = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        edits = [model.eval().edit(faces, faces.flip(0)).edited for model in (small, grown)]
    assert torch.allclose(*edits, atol=1e-6)
    grown.save_pretrained(tmp_path / "grown")
    with pytest.raises(ConfigError, match="decoder.refine.0.0.inner.conv.weight among"):
        warm_start(small, [str(tmp_path / "grown")])


def test_several_networks_start_a_training_as_their_mean(tmp_path):
    config = ExpressionEncoderConfig(widths=(4, 4, 8, 8), code_dim=8)
    one, other, mean = (ExpressionEncoderModel(config) for _ in range(3))
    for name, network in (("one", one), ("other", other)):
        network.save_pretrained(tmp_path / name)
    warm_start(mean, [str(tmp_path / "one"), str(tmp_path / "other")])
    weight = "classifier.2.weight"
    assert torch.allclose(mean.state_dict()[weight], (one.state_dict()[weight] + other.state_dict()[weight]) / 2)
    for change in ({"reconstructs": True}, {"code_dim": 12}):
        ExpressionEncoderModel(dataclasses.replace(config, **change)).save_pretrained(tmp_path / "unlike")
        with pytest.raises(ConfigError, match="different parts"):
            warm_start(mean, [str(tmp_path / "one"), str(tmp_path / "unlike")])
