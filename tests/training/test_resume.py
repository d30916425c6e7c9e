"""What interrupted, broken and foreign runs lead to: one process, the script's own functions."""

import json
import pickle
import shutil
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import typer
import yaml
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from safetensors import SafetensorError
from safetensors.torch import load_file
from tiny_training import COMMON, EDITING, RECOGNITION, make_corpora

import leed_hub.training.checkpoints
import leed_hub.training.recipes
import train_accelerate
from leed_hub.data import CORPORA, load_corpus
from leed_hub.errors import ConfigError, LeedHubError
from leed_hub.models.card import CardFacts
from leed_hub.models.expression_encoder import ExpressionEncoderModel
from leed_hub.models.leed import LEEDConfig, LEEDModel
from leed_hub.training.checkpoints import newest_checkpoint, save_checkpoint
from leed_hub.training.config import TrainConfig
from leed_hub.training.recognition import RecognitionTask
from leed_hub.training.run import Progress


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    return make_corpora(tmp_path_factory.mktemp("corpora"))


@pytest.fixture
def train(corpora, tmp_path, monkeypatch):
    """`train(config, resume=, max_steps=)` into the test's own `run`, with a fresh Accelerator each time."""
    for name, place in (("LEED_HUB_CORPORA", corpora), ("LEED_HUB_CACHE", corpora / "tables")):
        monkeypatch.setenv(name, str(place))
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    cached = partial(load_corpus, cache_dir=corpora / "cache")
    monkeypatch.setattr(leed_hub.training.recipes, "load_corpus", cached)
    monkeypatch.setattr("leed_hub.data.tables.load_corpus", cached)

    def run(config: dict, *, resume: bool = False, max_steps: int | None = None) -> Path | None:
        AcceleratorState._reset_state(True)
        fields = COMMON | {"output_dir": str(tmp_path / "run"), "mixed_precision": "no"} | config
        return train_accelerate.train_stages(
            TrainConfig(**fields), resume=resume, max_steps=max_steps, command="a test"
        )

    yield run
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step_{step:08d}" / "process_0.safetensors")


def test_a_stage_starts_from_nothing_where_it_says_so_and_is_taught_by_stages_before_it(train, tmp_path, monkeypatch):
    stages = [
        {"name": "first", "seed": 1},
        {"name": "second", "init": []},
        {"name": "distilled", "teachers": ["first", "second"]},
    ]
    taught, init = [], RecognitionTask.__init__

    def remembering(task, losses, model, teachers):
        taught.append(teachers)
        init(task, losses, model, teachers)

    monkeypatch.setattr(RecognitionTask, "__init__", remembering)
    published = train(RECOGNITION | {"steps": 1, "warmup_steps": 1, "stages": stages})
    first, second, distilled = (tmp_path / "run" / name for name in ("1_first", "2_second", "3_distilled"))
    assert published == distilled / "best"
    train(RECOGNITION | {"steps": 1, "warmup_steps": 1, "output_dir": str(tmp_path / "alone")})
    alone, fresh = (load_file(folder / "best" / "model.safetensors") for folder in (tmp_path / "alone", second))
    assert all(torch.equal(alone[name], fresh[name]) for name in alone)  # nothing of the first stage is in the second
    assert [len(teachers) for teachers in taught[:3]] == [0, 0, 2]
    for folder, teacher in zip((first, second), taught[2], strict=True):
        saved = load_file(folder / "best" / "model.safetensors")
        assert all(torch.equal(saved[name], value) for name, value in teacher.state_dict().items() if name in saved)
    assert json.loads((distilled / "run.json").read_text())["config"]["init"] == str(second / "best")


def test_a_teacher_of_other_labels_is_refused(train, tmp_path):
    train(RECOGNITION | {"steps": 1})
    teacher = str(tmp_path / "run" / "best")
    with pytest.raises(ConfigError, match=r"best has labels .* and this network \('neutral', 'happiness'\)"):
        other = RECOGNITION | {"model": RECOGNITION["model"] | {"labels": ["neutral", "happiness"]}}
        train(other | {"steps": 1, "teachers": [teacher], "output_dir": str(tmp_path / "other")})


@pytest.mark.parametrize("config", [RECOGNITION | {"optimizer": "muon"}, EDITING | {"optimizer": "lamb"}])
def test_a_run_resumed_again_and_again_is_the_run_without_a_pause(train, tmp_path, config):
    losses = {"losses": {"r1": 0.1}} if config["task"] == "editing" else {}
    config = config | losses | {"steps": 5, "checkpoint_every": 2}
    train(config)
    expected = weights(tmp_path / "run", 5)
    shutil.rmtree(tmp_path / "run")
    train(config, max_steps=1)
    for _ in range(4):
        train(config, resume=True, max_steps=1)
    resumed = weights(tmp_path / "run", 5)
    assert expected.keys() == resumed.keys()
    assert [name for name in expected if not torch.equal(expected[name], resumed[name])] == []
    assert {path.name for path in (tmp_path / "run/checkpoints").iterdir()} == {"step_00000004", "step_00000005"}


@pytest.mark.parametrize("config", [RECOGNITION, EDITING])
def test_batches_made_ahead_by_other_processes_are_the_same(train, tmp_path, config):
    train(config, max_steps=3)
    expected = weights(tmp_path / "run", 3)
    shutil.rmtree(tmp_path / "run")
    train(config | {"workers": 2}, max_steps=2)
    train(config | {"workers": 1}, max_steps=1, resume=True)
    ahead = weights(tmp_path / "run", 3)
    assert [name for name in expected if not torch.equal(expected[name], ahead[name])] == []


@pytest.mark.parametrize("workers", [0, 1])
def test_too_large_a_batch_is_one_sentence(train, workers):
    with pytest.raises(ConfigError, match=r"^A step takes 99 pictures but the corpora hold 28; lower batch_size\.$"):
        train(RECOGNITION | {"batch_size": 99, "workers": workers})


def test_a_picture_of_a_held_out_person_under_another_name_is_told(train, corpora, tmp_path, caplog):
    train(EDITING, max_steps=1)
    assert "validation split" not in caplog.text
    (tmp_path / "faces").mkdir()
    shutil.copy(corpora / "rendered_faces/train/0040_00_1.jpg", tmp_path / "faces/anybody.jpg")
    entry = {"corpus": "folder", "data_dir": str(tmp_path / "faces"), "split": "train", "detector": "none"}
    data = EDITING["data"] | {"corpora": [*EDITING["data"]["corpora"], entry]}
    train(EDITING | {"data": data, "output_dir": str(tmp_path / "other")}, max_steps=1)
    assert "1 pictures and 0 persons of the validation split are in the training too" in caplog.text


def test_a_used_output_dir_is_refused_without_resume_and_stays_as_it_is(train, tmp_path):
    train(RECOGNITION, max_steps=2)
    before = content(tmp_path / "run")
    with pytest.raises(ConfigError, match="holds a run: --resume goes on with it"):
        train(RECOGNITION)
    (tmp_path / "run/run.json").write_text('{"config": ')
    with pytest.raises(ConfigError, match="run.json is broken: delete it"):
        train(RECOGNITION)
    (tmp_path / "run/run.json").unlink()
    with pytest.raises(ConfigError, match="holds a run"):
        train(RECOGNITION)
    del before["run.json"]
    assert content(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"optimizer": "sgd"}, "optimizer 'adamw'; this config says 'sgd'"),
        ({"model": {"widths": [4, 4, 8, 16], "code_dim": 8}}, r"model.widths \[4, 4, 8, 8\]; this config says"),
        ({"model": RECOGNITION["model"] | {"labels": ["neutral", "happiness"]}}, "model.labels"),
        ({"frozen": ["classifier"]}, r"frozen \[\]; this config says \['classifier'\]"),
    ],
)
def test_a_run_that_cannot_go_on_is_refused_before_anything_is_written(train, tmp_path, change, sentence):
    train(RECOGNITION, max_steps=2)
    before = content(tmp_path / "run")
    with pytest.raises(ConfigError, match=sentence):
        train(RECOGNITION | change, resume=True)
    assert content(tmp_path / "run") == before


def test_what_else_has_changed_is_said_and_the_run_goes_on(train, tmp_path, caplog):
    train(RECOGNITION, max_steps=2)
    train(RECOGNITION | {"learning_rate": 0.5, "log_every": 3}, resume=True)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "leed_hub.training.checkpoints"]
    assert said.endswith("but not as it would have without the pause: learning_rate was 0.001 and is 0.5.")


def test_another_batch_size_and_other_code_are_named(train, caplog, monkeypatch):
    monkeypatch.setattr("leed_hub.training.run.commit", lambda: "1a2b3c4")
    train(RECOGNITION, max_steps=1)
    monkeypatch.setattr("leed_hub.training.run.commit", lambda: "5d6e7f8+")
    train(RECOGNITION | {"batch_size": 7}, resume=True, max_steps=1)
    assert "batch_size was 8 and is 7" in caplog.text and "commit was '1a2b3c4' and is '5d6e7f8+'" in caplog.text


def spoil_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


class _Trap:
    """Makes a file when unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


BROKEN = {
    "missing": ("process_0.safetensors", Path.unlink, "process_0.safetensors is missing"),
    "empty": ("process_0.safetensors", lambda path: path.write_bytes(b""), "process_0.safetensors is not what"),
    "cut": ("process_0.json", lambda path: path.write_bytes(path.read_bytes()[:50]), "process_0.json is not what"),
    "bit": ("process_0.safetensors", spoil_bit, "process_0.safetensors is not what was written"),
    "marker": ("complete.json", Path.unlink, "complete.json is missing"),
    "marker cut": ("complete.json", lambda path: path.write_text('{"step": 4'), "Expecting"),
    "pickle": (
        "process_0.safetensors",
        lambda path: path.write_bytes(pickle.dumps(_Trap(path.parents[2] / "sprung"))),
        "process_0.safetensors is not what was written",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_checkpoint_is_passed_over_by_name_and_the_one_before_is_gone_on_with(tmp_path, caplog, fault):
    name, spoil, said = BROKEN[fault]
    folder = tmp_path / "checkpoints"
    save(folder, 2, 4)
    spoil(folder / "step_00000004" / name)
    found = newest_checkpoint(folder)
    assert found.step == 2
    assert f"step_00000004 ({said}" in caplog.text and "Going on from step_00000002" in caplog.text
    assert not (tmp_path / "sprung").exists()
    save(folder, 3)  # what was passed over does not come before the new one
    assert newest_checkpoint(folder).step == 3
    assert [path.name for path in sorted(folder.iterdir())] == ["step_00000002", "step_00000003"]


def save(folder: Path, *steps: int, part=None) -> dict:
    AcceleratorState._reset_state(True)
    accelerator = Accelerator(cpu=True)
    parts = {"model": part or torch.nn.Linear(2, 2), "progress": Progress()}
    for step in steps:
        save_checkpoint(accelerator, parts, folder, step, {"config": {}})
    return parts


def test_a_run_with_no_whole_checkpoint_left_does_not_start_anew_by_itself(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "step_00000001" / "process_0.json").unlink()
    with pytest.raises(ConfigError, match=r"No checkpoint in .* is whole: step_00000001 \(process_0.json is missing\)"):
        newest_checkpoint(tmp_path)


def test_checkpoints_of_pickles_are_refused_and_nothing_in_them_runs(tmp_path):
    folder = tmp_path / "step_00000003"
    folder.mkdir()
    for name in ("optimizer.bin", "random_states_0.pkl", "custom_checkpoint_0.pkl"):
        (folder / name).write_bytes(pickle.dumps(_Trap(tmp_path / "sprung")))
    (folder / "complete.json").write_text(json.dumps({"step": 3, "processes": 1}))
    with pytest.raises(ConfigError, match="is whole: step_00000003"):
        newest_checkpoint(tmp_path)
    assert not (tmp_path / "sprung").exists()


def fail_at(monkeypatch, write: str, error: BaseException) -> None:
    """Let a save end at one of its calls, or in the middle of one of its texts."""

    def fail(*_):
        raise error

    def half_written(path: Path, text: str) -> None:
        whole = text if path.name != write else text[: len(text) // 2]
        path.write_bytes(whole.encode())
        if path.name == write:
            fail()

    if write.endswith(".json"):
        monkeypatch.setattr(Path, "write_text", half_written)
    else:
        monkeypatch.setattr(f"leed_hub.training.checkpoints.{write}", fail)


@pytest.mark.parametrize("write", ["save_file", "process_0.json", "sha256", "complete.json", "os.replace"])
@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), SafetensorError("No space left on device"), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_a_save_that_fails_anywhere_leaves_the_checkpoint_before_and_says_so(tmp_path, monkeypatch, write, error):
    save(tmp_path, 1)
    fail_at(monkeypatch, write, error)
    is_told = not isinstance(error, KeyboardInterrupt)
    with pytest.raises(LeedHubError if is_told else KeyboardInterrupt) as caught:
        save(tmp_path, 2)
    if is_told:
        caught.match("step 2 could not be written .*No space left.* goes on from the one before")
    monkeypatch.undo()
    assert newest_checkpoint(tmp_path).step == 1
    save(tmp_path, 3)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step_00000001", "step_00000003"]


def test_a_file_that_the_system_does_not_let_grow_leaves_the_checkpoint_before(tmp_path):
    resource = pytest.importorskip("resource")
    save(tmp_path, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(LeedHubError, match=r"step 2 could not be written .*File too large"):
            save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert newest_checkpoint(tmp_path).step == 1


@pytest.mark.parametrize("error", [OSError(13, "Permission denied"), KeyboardInterrupt()], ids=["refused", "stopped"])
def test_old_checkpoints_that_cannot_be_removed_do_not_spoil_the_new_one(tmp_path, monkeypatch, caplog, error):
    save(tmp_path, 1, 2)
    fail_at(monkeypatch, "shutil.rmtree", error)
    with nullcontext() if isinstance(error, OSError) else pytest.raises(KeyboardInterrupt):
        save(tmp_path, 3)
    if isinstance(error, OSError):
        assert "step_00000001 could not be removed ([Errno 13] Permission denied)" in caplog.text
    monkeypatch.undo()
    assert newest_checkpoint(tmp_path).step == 3
    save(tmp_path, 4)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step_00000003", "step_00000004"]


def test_a_save_that_fails_ends_the_training_with_exit_code_2(train, tmp_path, monkeypatch, capsys):
    train(RECOGNITION, max_steps=1)
    AcceleratorState._reset_state(True)
    path = tmp_path / "mine.yaml"
    fields = {"output_dir": str(tmp_path / "run"), "mixed_precision": "no"}
    path.write_text(yaml.safe_dump(COMMON | fields | RECOGNITION))
    fail_at(monkeypatch, "save_file", SafetensorError("I/O error: No space left on device"))
    with pytest.raises(typer.Exit) as caught:
        train_accelerate.main(path, resume=True)
    assert caught.value.exit_code == 2
    assert "Error: The checkpoint of step 2 could not be written" in capsys.readouterr().err
    assert newest_checkpoint(tmp_path / "run/checkpoints").step == 1


def test_numbers_that_are_not_finite_are_never_saved(tmp_path):
    network = torch.nn.BatchNorm1d(2)
    network.running_var[1] = torch.nan
    with pytest.raises(LeedHubError, match="At step 7 model.running_var is not finite, so no checkpoint was written"):
        save(tmp_path, 7, part=network)
    assert newest_checkpoint(tmp_path) is None


def test_a_run_without_finite_gradients_stops_with_the_step_and_keeps_its_checkpoint(train, tmp_path, monkeypatch):
    train(RECOGNITION | {"steps": 30, "evaluate_every": 30}, max_steps=2)
    monkeypatch.setattr(
        "leed_hub.training.recognition.RecognitionTask.generator_losses",
        lambda task, batch, step: ({"loss": task.model(batch["images"]).logits.sum() * torch.nan}, None),
    )
    told = r"Ten steps in a row .* \(now at step 11, where the learning rate is 0\.000734\); lower learning_rate\.$"
    with pytest.raises(LeedHubError, match=told):
        train(RECOGNITION | {"steps": 30, "evaluate_every": 30, "checkpoint_every": 50}, resume=True)
    assert newest_checkpoint(tmp_path / "run/checkpoints").step == 2


def test_one_step_without_a_finite_gradient_is_skipped_and_the_run_goes_on(train, tmp_path, monkeypatch):
    train(RECOGNITION, max_steps=2)
    before = weights(tmp_path / "run", 2)
    losses = RecognitionTask.generator_losses

    def broken_once(task, batch, step):
        terms, judged = losses(task, batch, step)
        return terms | {"loss": terms["loss"] * (torch.nan if step == 2 else 1)}, judged

    monkeypatch.setattr(RecognitionTask, "generator_losses", broken_once)
    assert train(RECOGNITION | {"checkpoint_every": 1}, resume=True)
    skipped, after = weights(tmp_path / "run", 3), weights(tmp_path / "run", 4)
    changed = {name for name in before if not torch.equal(before[name], skipped[name])}
    assert {name.rpartition(".")[2] for name in changed} <= {"running_mean", "running_var", "num_batches_tracked"}
    trained = {name for name in before if not torch.equal(skipped[name], after[name])}
    assert {"model.classifier.2.weight", "ema.module.classifier.2.weight"} <= trained
    assert all(value.isfinite().all() for value in after.values())


def test_a_checkpoint_of_other_parts_is_refused(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(ConfigError, match="does not fit the networks of this config"):
        newest_checkpoint(tmp_path).load({"model": torch.nn.Linear(2, 3)})


@pytest.mark.parametrize("name", ["adamw", "muon", "lamb", "adafactor"])
def test_every_kind_of_optimizer_state_comes_back_equal_without_a_pickle(tmp_path, name):
    from timm.optim import create_optimizer_v2

    def made() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4, 2))
        network = network.to(memory_format=torch.channels_last)
        return network, create_optimizer_v2(network, name, 1e-2, 0.01)

    def step(network, optimizer, number: int) -> None:
        optimizer.zero_grad()
        network(torch.rand(2, 3, 3, 3, generator=torch.Generator().manual_seed(number))).square().sum().backward()
        optimizer.step()

    network, optimizer = made()
    for number in range(3):
        step(network, optimizer, number)
    AcceleratorState._reset_state(True)
    save_checkpoint(Accelerator(cpu=True), {"model": network, "optimizer": optimizer}, tmp_path, 3, {})
    assert {path.suffix for path in (tmp_path / "step_00000003").iterdir()} == {".json", ".safetensors"}
    again, its_optimizer = made()
    newest_checkpoint(tmp_path).load({"model": again, "optimizer": its_optimizer})
    torch.manual_seed(1)
    step(network, optimizer, 3)
    torch.manual_seed(1)
    step(again, its_optimizer, 3)
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), again.parameters(), strict=True))


def test_each_process_gets_its_own_running_statistics_back(tmp_path, monkeypatch):
    networks = [torch.nn.BatchNorm1d(2) for _ in range(2)]
    networks[1].running_mean += 3
    AcceleratorState._reset_state(True)
    accelerator = Accelerator(cpu=True)
    save_checkpoint(accelerator, {"model": networks[0]}, tmp_path, 1, {})
    state = leed_hub.training.checkpoints._buffers({"model": networks[1]})
    assert state["model"].keys() == {"running_mean", "running_var", "num_batches_tracked"}
    leed_hub.training.checkpoints._write(state, tmp_path / "step_00000001" / "process_1", 1)
    fresh = torch.nn.BatchNorm1d(2)
    found = newest_checkpoint(tmp_path)
    found.load({"model": fresh}, rank=1)
    assert torch.equal(fresh.running_mean, torch.tensor([3.0, 3.0]))


@pytest.mark.parametrize("judges", [{"siamese": 0.0}, {"adversarial": 0.0}, {"siamese": 0.0, "adversarial": 0.0}])
def test_an_editor_trains_with_any_of_its_judges_left_out(train, tmp_path, judges):
    train(EDITING | {"losses": judges, "steps": 1, "evaluate_every": 1})
    assert (tmp_path / "run/best/model.safetensors").is_file()


def test_a_card_tells_the_corpora_and_their_terms_whatever_the_config_leaves_out(train, tmp_path):
    best = train(RECOGNITION | {"steps": 1, "evaluate_every": 1})
    text = (best / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert (front["license"], front["license_name"]) == ("other", "fer2013-research-use")
    assert front["license_link"] == CORPORA["fer2013"].about.homepage and front["datasets"] == ["fer2013"]
    assert "FER2013](https://www.kaggle.com" in text and "Not recorded" not in text
    assert str(tmp_path) not in text

    ExpressionEncoderModel.from_pretrained(best).save_pretrained(tmp_path / "copy")  # as a push of it does
    assert CardFacts.read(tmp_path / "copy") == CardFacts.read(best)

    renders = {"corpus": "rendered_faces", "data_dir": "rendered_faces", "split": "train"}
    shutil.rmtree(tmp_path / "run")
    mine = {"name": "Rendered faces (by us)", "license": "MIT"}
    data = {"data": RECOGNITION["data"] | {"corpora": [renders]}, "card": {"datasets": [mine]}}
    facts = CardFacts.read(
        train(RECOGNITION | data | {"steps": 1, "evaluate_every": 1, "init": str(tmp_path / "copy")})
    )
    assert [entry["name"] for entry in facts.datasets] == ["Rendered faces (by us)", "FER2013"]
    assert facts.license_name == "fer2013-research-use"  # by the weights it started from


def front_matter(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---")[1])


def test_an_editors_card_tells_its_corpora_too_and_what_it_started_from(train, tmp_path):
    config = EDITING | {"steps": 1, "evaluate_every": 1}
    first = shutil.copytree(train(config), tmp_path / "first")
    front = front_matter(first)
    assert (front["license"], front["datasets"]) == ("apache-2.0", ["rendered-faces"])
    assert str(tmp_path) not in (first / "README.md").read_text()

    shutil.copytree(first, tmp_path / "bare", ignore=shutil.ignore_patterns("README.md"))
    LEEDModel(LEEDConfig(**EDITING["model"])).save_pretrained(tmp_path / "unrecorded")
    front = front_matter(tmp_path / "unrecorded")
    assert front["license"] == "unknown" and "datasets" not in front

    for start in ("first", "bare", "unrecorded"):
        shutil.rmtree(tmp_path / "run")
        best = train(config | {"init": str(tmp_path / start)})
        front = front_matter(best)
        if start == "first":
            assert (front["license"], front["datasets"]) == ("apache-2.0", ["rendered-faces"])
        else:
            assert (front["license"], front["license_name"]) == ("other", "not-recorded")
            assert f"the weights of {start}" in (best / "README.md").read_text()
        assert str(tmp_path) not in (best / "README.md").read_text()


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_main_process_alone_pushes_and_asks_for_its_right_to_before_the_first_step(
    train, tmp_path, monkeypatch, rank
):
    order = []
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(train_accelerate, "ensure_repository", lambda name: order.append(f"asked for {name}"))
    monkeypatch.setattr(train_accelerate, "train_stages", lambda *_, command, **__: order.append(command) or tmp_path)
    monkeypatch.setattr(train_accelerate, "push_folder", lambda folder, name: order.append(f"pushed {name}"))
    state = SimpleNamespace(destroy_process_group=lambda: None, is_main_process=rank == "0")
    monkeypatch.setattr(train_accelerate, "PartialState", lambda: state)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(RECOGNITION | {"steps": 1, "output_dir": "run"}))
    train_accelerate.main(path, push_to_hub="org/name")
    trained = "accelerate launch train_accelerate.py --config mine.yaml"
    assert order == (["asked for org/name", trained, "pushed org/name"] if rank == "0" else [trained])
