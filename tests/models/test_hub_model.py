"""What every model of ours owes to `HubModel`, on a network of a few numbers."""

import dataclasses
import json
import os
import pickle
import re
import shutil
import stat
from pathlib import Path
from typing import Annotated

import pytest
import torch
import yaml
from hub_server import TOKEN, LoopbackHub
from huggingface_hub import PyTorchModelHubMixin
from pydantic import Field, Strict
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from leed_hub import ExpressionEncoderConfig, ExpressionEncoderModel, LEEDConfig, LEEDModel, __version__
from leed_hub.errors import ConfigError, ModelLoadError
from leed_hub.models.config import checked_config
from leed_hub.models.hub_mixin import CardFacts, HubModel


@checked_config
class TinyConfig:
    widths: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Strict(False)] = (3, 4)
    template: Annotated[tuple[float, ...], Strict(False)] = (0.25, 0.75)
    dropout: float = 0.5
    is_tied: bool = False
    name: str = "tiny"
    depth: int | None = None


class TinyModel(HubModel, pipeline_tag="image-to-image", tags=["tiny"]):
    def __init__(self, config: TinyConfig):
        super().__init__()
        self.config = config
        w0, w1 = config.widths
        self.first = nn.Linear(w0, w1)
        self.norm = nn.BatchNorm1d(w1)
        self.dropout = nn.Dropout(config.dropout)
        self.last = nn.Linear(w1, w0)
        self.twin = nn.Linear(w1, w0)
        if config.is_tied:
            self.twin.weight = self.last.weight

    def forward(self, x):
        return self.last(self.dropout(self.norm(self.first(x)))) + self.twin(self.norm(self.first(x)))


FACTS = CardFacts(
    title="LEED tiny",
    summary="Trained on nothing --> a test.",
    training_command="accelerate launch train_accelerate.py --config tiny.yaml",
    training_notes="Step 3 of 4.",
    datasets=[{"name": "Drawn Faces", "license": "CC0", "url": "https://example.org/faces"}],
    metrics=[{"name": "macro F1", "value": 0.25, "dataset": "Drawn Faces", "split": "test", "protocol": "by person"}],
    limitations=["Knows circles only."],
)
INPUT = torch.linspace(-1, 1, 15).reshape(5, 3)


def tiny_model(**changes) -> TinyModel:
    torch.manual_seed(0)
    model = TinyModel(TinyConfig(**changes))
    model.train()(INPUT)  # moves the running statistics away from their start
    return model.eval()


@pytest.fixture
def folder(tmp_path):
    """A saved model."""
    tiny_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def refusal(folder) -> str:
    with pytest.raises(ModelLoadError) as caught:
        TinyModel.from_pretrained(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    "changes", [{}, {"widths": (3, 6), "template": (0.1, 0.2, 0.3), "dropout": 0.0, "depth": 2}, {"is_tied": True}]
)
def test_reload_from_the_path_alone_gives_an_equal_config_and_exactly_equal_output(tmp_path, changes):
    model = tiny_model(**changes)
    model.save_pretrained(tmp_path)
    for path in (tmp_path, str(tmp_path)):
        again = TinyModel.from_pretrained(path)
        assert again.config == model.config
        assert not again.training
        assert torch.equal(again(INPUT), model(INPUT))


def test_averaged_copy_is_saved_like_the_model_itself(tmp_path):
    averaged = AveragedModel(tiny_model())
    averaged.module.save_pretrained(tmp_path)
    assert torch.equal(TinyModel.from_pretrained(tmp_path)(INPUT), tiny_model()(INPUT))


def test_config_file_is_what_the_mixin_itself_would_write(folder):
    assert issubclass(HubModel, PyTorchModelHubMixin)
    written = json.loads((folder / "config.json").read_text())
    assert written == json.loads(json.dumps(dataclasses.asdict(TinyConfig())))
    mixins_own = PyTorchModelHubMixin.from_pretrained.__func__(TinyModel, folder)
    assert torch.equal(mixins_own(INPUT), tiny_model()(INPUT))


def test_loading_prints_nothing(folder, capfd):
    TinyModel.from_pretrained(folder)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": [3, 4]}, "config.json: TinyConfig does not know 'width'; did you mean 'widths'?"),
        ({"spectral": 1}, "config.json: TinyConfig does not know 'spectral'; is it from a newer leed_hub?"),
        ({"widths": "34"}, "config.json: widths should be a valid tuple; got '34'."),
        ({"widths": [3, 4.5]}, "config.json: widths[1] should be a valid integer; got 4.5."),
        ({"is_tied": 1}, "config.json: is_tied should be a valid boolean; got 1."),
        ({"dropout": True}, "config.json: dropout should be a valid number; got True."),
        ({"name": None}, "config.json: name should be a valid string; got None."),
        ({"depth": "2"}, "config.json: depth should be a valid integer; got '2'."),
        ({"depth": True}, "config.json: depth should be a valid integer; got True."),
        ({"widths": [3, 0]}, "config.json: widths[1] should be greater than 0; got 0."),
        ({"widths": [3]}, "describes no network that can be built"),
    ],
)
def test_config_that_does_not_fit_is_refused_by_name(folder, changes, sentence):
    change_config(folder, **changes)
    assert sentence in refusal(folder)


def test_whole_number_may_stand_for_a_float(folder):
    change_config(folder, dropout=0)
    config = TinyModel.from_pretrained(folder).config
    assert config == TinyConfig(dropout=0.0)
    assert type(config.dropout) is float


@pytest.mark.parametrize(
    "text", ["", "<html></html>", "{'widths': [3, 4]}", '{"dropout": NaN}', "[" * 100_000, "\udcff"]
)
def test_config_that_is_no_json_is_refused_with_its_path_and_size(folder, text):
    (folder / "config.json").write_text(text, errors="surrogateescape")
    size = (folder / "config.json").stat().st_size
    assert f"{folder / 'config.json'} ({size} bytes) is not JSON" in refusal(folder)


def test_config_that_is_a_list_is_refused(folder):
    (folder / "config.json").write_text("[3, 4]")
    assert "config.json must hold a JSON object, got list" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert f"{folder} has no {name}" in refusal(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.PTH", "model.pkl"])
def test_pickle_is_refused_unopened_with_the_way_to_convert_it(folder, name):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(_Trap(folder / "sprung")))
    said = refusal(folder)
    assert f"holds {name} but no model.safetensors" in said
    assert "convert it once" in said
    assert not (folder / "sprung").exists()


class _Trap:
    """Makes a file when unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (lambda whole: b"", "it is empty"),
        (lambda whole: whole[:20], "fetch it again"),
        (lambda whole: whole[:-1], "fetch it again"),
        (lambda whole: whole + b"\0", "fetch it again"),
        (lambda whole: b"\n<!DOCTYPE html><html>Sign in</html>", "it is a web page"),
        (lambda whole: pickle.dumps({"weight": [1.0] * 99}), "it is a pickle"),
        (lambda whole: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "run `git lfs pull`"),
    ],
)
def test_weight_file_that_is_no_safetensors_is_refused_with_path_size_and_cause(folder, content, cause):
    path = folder / "model.safetensors"
    path.write_bytes(content(path.read_bytes()))
    said = refusal(folder)
    assert f"{path} ({path.stat().st_size} bytes) is no safetensors file" in said
    assert cause in said


def test_missing_and_unexpected_tensors_are_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "more")
    change_weights(folder, lambda tensors: tensors.pop("norm.running_mean"))
    assert "lacks norm.running_mean, which config.json asks for" in refusal(folder)
    change_weights(tmp_path / "more", lambda tensors: tensors.update({f"extra{i}": torch.ones(1) for i in range(5)}))
    assert "holds extra0, extra1, extra2 and 2 more, for which" in refusal(tmp_path / "more")


def test_tied_tensor_must_be_there_under_one_of_its_names(tmp_path):
    tiny_model(is_tied=True).save_pretrained(tmp_path)
    assert (
        len([name for name in load_file(tmp_path / "model.safetensors") if name.endswith("t.weight")]) == 2
    )  # first, last
    change_weights(tmp_path, lambda tensors: tensors.pop("last.weight"))
    assert "lacks last.weight" in refusal(tmp_path)


def test_config_and_weights_of_different_widths_give_one_line(folder):
    change_config(folder, widths=[3, 8])
    said = refusal(folder)
    assert "model.safetensors and config.json do not belong together: size mismatch for first.weight" in said
    assert "Size([4, 3]) from checkpoint, the shape in current model is torch.Size([8, 3])" in said


@pytest.mark.parametrize("spoiler", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(folder, spoiler):
    change_weights(folder, lambda tensors: tensors["last.bias"].__setitem__(1, spoiler))
    assert "has NaN or infinite numbers in last.bias" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["/nowhere/model", "./model", "model", "a/b/c", "model/", "~/nowhere", Path("org/model")]
)
def test_folder_that_is_not_there_is_told_apart_from_a_hub_id(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"Folder not found: {name} (a model on the Hub is written org/name)." in refusal(name)


def test_arguments_that_cannot_be_are_refused_by_name(folder):
    assert "got 5." in refusal(5)
    with pytest.raises(ConfigError, match="strict=False would leave random weights"):
        TinyModel.from_pretrained(folder, strict=False)
    for name in ("device", "map_location"):
        with pytest.raises(ConfigError, match="device 'quantum' cannot be used"):
            TinyModel.from_pretrained(folder, **{name: "quantum"})


def saved(model_class, config, folder):
    model_class(config).save_pretrained(folder)
    return folder


EDITOR = LEEDConfig(image_size=32, widths=(2, 2, 2, 2), manifold_dim=4, expression_dim=2)
RECOGNIZER = ExpressionEncoderConfig(image_size=16, widths=(2, 2, 2, 2), code_dim=5)


@pytest.mark.parametrize("is_of_today", [True, False])
def test_a_model_of_another_kind_is_named_as_such(tmp_path, is_of_today):
    editor, recognizer = (
        saved(LEEDModel, EDITOR, tmp_path / "e"),
        saved(ExpressionEncoderModel, RECOGNIZER, tmp_path / "r"),
    )
    for folder in (editor, recognizer):
        values = json.loads((folder / "config.json").read_text())
        assert values["library_version"] == __version__
        if not is_of_today:
            del values["model_type"], values["library_version"]
            (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(
        ModelLoadError, match="'leed', not 'expression_encoder': LEEDModel and ExpressionEditor load it"
    ):
        ExpressionEncoderModel.from_pretrained(editor)
    with pytest.raises(ModelLoadError, match="'expression_encoder', not 'leed': ExpressionEncoderModel and"):
        LEEDModel.from_pretrained(recognizer)
    assert LEEDModel.from_pretrained(editor).config == EDITOR
    for kind in ("bert", ["leed"], {"leed": 1}):
        change_config(editor, model_type=kind)
        with pytest.raises(ModelLoadError, match=r"kind, .*, not 'leed': leed_hub has no such network\.$"):
            LEEDModel.from_pretrained(editor)


def test_a_config_of_a_newer_release_gives_a_warning(tmp_path):
    folder = saved(LEEDModel, EDITOR, tmp_path)
    change_config(folder, library_version="9.1.2")
    with pytest.warns(UserWarning, match="is of leed_hub 9.1.2, newer than this"):
        LEEDModel.from_pretrained(folder)


@pytest.mark.parametrize("version", ["abc", "", None, ["0.2.0"]])
def test_a_config_of_no_known_release_loads_with_a_warning(version, tmp_path):
    folder = saved(LEEDModel, EDITOR, tmp_path)
    change_config(folder, library_version=version)
    with pytest.warns(UserWarning, match=f"has the library_version {re.escape(repr(version))}, which is no release"):
        assert LEEDModel.from_pretrained(folder).config == EDITOR


NO_FACES = [
    [0.5] * 8,
    [0.3, 0.4, 0.3, 0.4, 0.3, 0.7, 0.3, 0.7],
    [0.3, 0.4, 0.7, 0.4, 0.3, 0.4, 0.7, 0.4],
    [0.7, 0.4, 0.3, 0.4, 0.6, 0.7, 0.4, 0.7],
    [0.3, 0.4, 1.7, 0.4, 0.3, 0.7, 0.7, 0.7],
]


@pytest.mark.parametrize(
    ("model_class", "config", "changes", "sentence"),
    [
        (LEEDModel, EDITOR, {"image_size": 16384}, "image_size should be less than or equal to 1024; got 16384"),
        (ExpressionEncoderModel, RECOGNIZER, {"image_size": 16384}, "image_size should be less than or equal to 1024"),
        (LEEDModel, EDITOR, {"manifold_dim": 200_000}, "do not belong together"),
        (ExpressionEncoderModel, RECOGNIZER, {"widths": [2, 2, 90_000, 2]}, "do not belong together"),
        (LEEDModel, EDITOR, {"depths": [10**9] * 4}, "depths"),
        (LEEDModel, EDITOR, {"refinements": 10**9}, "refinements"),
        *(
            (*network, {"template": template}, "template must")
            for network in ((LEEDModel, EDITOR), (ExpressionEncoderModel, RECOGNIZER))
            for template in NO_FACES
        ),
    ],
)
def test_a_config_that_asks_for_too_much_or_for_no_face_is_refused_before_it_is_built(
    tmp_path, model_class, config, changes, sentence
):
    folder = saved(model_class, config, tmp_path)
    change_config(folder, **changes)
    with pytest.raises(ModelLoadError, match=sentence):
        model_class.from_pretrained(folder)


def test_file_in_place_of_a_folder_is_refused(folder):
    assert "is a file; give the folder it lies in" in refusal(folder / "model.safetensors")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_file_modes_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        tiny_model().save_pretrained(tmp_path / "model")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "model").iterdir()}
    assert modes == dict.fromkeys(("config.json", "model.safetensors", "README.md"), mode)


def test_save_that_fails_leaves_the_model_that_was_there(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("leed_hub.models.hub_mixin.save_model", full)
    with pytest.raises(OSError, match="No space left"):
        tiny_model(widths=(3, 9)).save_pretrained(folder, card=FACTS)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_card_is_written_anew_when_facts_are_given_and_else_kept(folder):
    card = folder / "README.md"
    card.write_text("by hand")
    tiny_model().save_pretrained(folder)
    assert card.read_text() == "by hand"
    tiny_model().save_pretrained(folder, card=FACTS)
    assert "# LEED tiny" in card.read_text()


def test_card_facts_can_be_read_back_and_extended(folder):
    model = tiny_model()
    model.save_pretrained(folder, card=FACTS)
    assert CardFacts.read(folder) == FACTS
    assert (folder / "README.md").read_text().split("<!-- card facts")[1].count("-->") == 1  # the summary's is hidden
    model.save_pretrained(folder, card=dataclasses.replace(CardFacts.read(folder), license_name="faces-terms"))
    front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert (front["license"], front["license_name"]) == ("other", "faces-terms")
    (folder / "README.md").write_text("# by hand")
    with pytest.raises(ModelLoadError, match="no card that leed_hub wrote"):
        CardFacts.read(folder)


@pytest.mark.parametrize("entry", [{"datasets": [{"name": "Faces"}]}, {"metrics": [{"name": "F1", "value": 1.0}]}])
def test_card_facts_without_licence_or_split_are_refused(entry):
    with pytest.raises(ConfigError, match="needs (license|dataset, split)"):
        CardFacts(**entry)


def test_card_front_matter_holds_what_the_hub_reads(folder):
    tiny_model().save_pretrained(folder, card=FACTS)
    front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "leed-hub"
    assert front["pipeline_tag"] == "image-to-image"
    assert {"tiny", "pytorch_model_hub_mixin"} <= set(front["tags"])
    assert front["datasets"] == ["drawn-faces"]
    (index,) = front["model-index"]
    (result,) = index["results"]
    assert index["name"] == "LEED tiny"
    assert result["dataset"] == {"name": "Drawn Faces", "type": "drawn-faces", "split": "test"}
    assert result["metrics"] == [{"type": "macro-f1", "value": 0.25, "name": "macro F1"}]


@pytest.mark.parametrize("card", [FACTS, None])
def test_published_models_have_cards_with_every_fact_and_every_warning(card):
    models = {
        LEEDModel(LEEDConfig(image_size=32, widths=(2, 2, 2, 2), manifold_dim=4, expression_dim=2)): (
            'ExpressionEditor.from_pretrained("org/name")',
            "(B, 3, 32, 32) in [-1, 1]",
            "compositeWithTrainedAlgorithmicMedia",
            "impersonating",
            "harassment",
            "Art. 50",
        ),
        ExpressionEncoderModel(ExpressionEncoderConfig(image_size=16, widths=(2, 2, 2, 2), code_dim=5)): (
            'ExpressionRecognizer.from_pretrained("org/name")',
            "(B, 1, 16, 16) in [-1, 1]",
            "apparent expression, not the inner state",
            "neutral, happiness, sadness, surprise, fear, disgust, anger",
            "Art. 5(1)(f)",
        ),
    }
    for model, phrases in models.items():
        text = str(model.generate_model_card(card))
        for phrase in (*phrases, "surveillance", "hiring", "education", "law enforcement"):
            assert phrase in " ".join(text.split())
        assert "{{" not in text and "{%" not in text and "None" not in text
        if card is not None:
            assert "- [Drawn Faces](https://example.org/faces): CC0" in text
            assert "| macro F1 | 0.25 | Drawn Faces | test | by person |" in text
            assert f"```bash\n{card.training_command}\n```" in text
            assert "- Knows circles only." in text


LOAD = """
import torch
from test_hub_model import INPUT, TinyModel
model = TinyModel.from_pretrained("org/tiny")
torch.save((model.config.__dict__, model(INPUT), model.revision), {path!r})
"""
PUSH = """
from test_hub_model import FACTS, TinyModel
model = TinyModel.from_pretrained({folder!r}, map_location="cpu")
print(model.push_to_hub("org/tiny", card=FACTS, private=True))
model.save_pretrained({folder!r} + "2", push_to_hub=True, repo_id="org/again", commit_message="Again", private=True)
print(model.push_to_hub("org/tiny", revision="trial", create_pr=None))
"""


def test_fresh_process_loads_a_pushed_model_by_name_with_bit_equal_output(folder, tmp_path):
    with LoopbackHub() as hub:
        pushed = hub.run_client(PUSH.format(folder=str(folder)), tmp_path / "pusher")
        assert pushed.stdout.startswith(f"{hub.url}/org/tiny/commit/"), pushed.stderr
        for repository in (hub.repositories["org/tiny"], hub.repositories["org/again"]):
            assert set(repository.head) == {"config.json", "model.safetensors", "README.md"}
        assert set(hub.repositories["org/tiny"].branches) == {"main", "trial"}
        loaded = hub.run_client(LOAD.format(path=str(tmp_path / "output.pt")), tmp_path / "loader")
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout == ""
    config, output, revision = torch.load(tmp_path / "output.pt")
    assert pushed.stdout.splitlines()[0] == f"{hub.url}/org/tiny/commit/{revision}"
    model = tiny_model()
    assert model.revision is None
    assert config == dataclasses.asdict(model.config)
    assert torch.equal(output, model(INPUT))
    assert TOKEN not in pushed.stdout + pushed.stderr + loaded.stderr
