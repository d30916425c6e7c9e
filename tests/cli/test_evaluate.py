"""The evaluate commands are made from the measurements' fields."""

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_origin, get_type_hints

import pytest
from typer.testing import CliRunner

from leed_hub.cli import app, evaluate
from leed_hub.evaluation import EVALUATIONS, Evaluation, evaluation_class
from leed_hub.evaluation.card import weights_name
from leed_hub.evaluation.evaluation import CardRows
from leed_hub.models.card import CardFacts
from leed_hub.models.leed import LEEDConfig, LEEDModel

# Spellings that published cards, the README and scripts use.
OPTIONS = {
    "editing": {"--data"},
    "recognition": {"--corpus", "--split", "--data-dir", "--detector", "--mirrored"},
    "calibration": {"--corpus", "--split", "--data-dir", "--detector", "--mirrored", "--save"},
    "robustness": {"--corpus", "--split", "--data-dir", "--detector", "--mirrored"},
    "fairness": {"--data-dir", "--detector"},
    "non-faces": {"--corpus", "--split", "--data-dir", "--london", "--detector"},
    "disentanglement": {"--data-dir"},
    "damage": {"--corpus", "--split", "--data-dir", "--faces-dir", "--limit", "--fuzzed", "--detector"},
    "domains": {"--people-dir", "--data-dir", "--person"},
    "strength": {"--data-dir"},
    "photographs": {"--data-dir", "--detector"},
    "transfer": {"--sources", "--references", "--detector"},
}


def options_of(command) -> dict:
    return {flag: parameter for parameter in command.params for flag in parameter.opts}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_every_measurement_has_a_command_whose_options_are_its_fields(name):
    evaluation = evaluation_class(name)
    options = options_of(evaluate.build_command(name))
    hints = get_type_hints(evaluation, include_extras=True)
    fields = [field for field in dataclasses.fields(evaluation) if get_origin(hints[field.name]) is Annotated]
    assert set(options) == {"--json", "--card"} | {f"--{field.name.replace('_', '-')}" for field in fields}
    for field in fields:
        option = options[f"--{field.name.replace('_', '-')}"]
        assert option.required == (field.default is dataclasses.MISSING) and option.help
    assert OPTIONS[name] | {"--model"} <= set(options)
    assert evaluation.name == name.replace("-", "_") and evaluation.kind in ("editor", "recognizer")


@dataclass(frozen=True, kw_only=True)
class Made(Evaluation):
    """A measurement of nothing."""

    name, kind, finds_faces = "editing", "editor", True
    card = (CardRows(("error_ratio", "ssim"), "{n} pictures", ("Made up", "{split}")),)

    split: Annotated[str, "A split."]
    detector: Annotated[str, "How faces are found."] = "yunet"

    def measure(self, editor):
        return {"split": self.split, "n": 3, "error_ratio": 0.25, "ssim": None, "detector": editor.cropper.detector}


@pytest.fixture
def made(monkeypatch, tmp_path):
    """`evaluate editing` measures `Made`, of a small editor in a folder."""
    for module in ("leed_hub.cli.evaluate", "leed_hub.evaluation.card"):
        monkeypatch.setattr(f"{module}.evaluation_class", lambda name: Made)
    model = LEEDModel(LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=8, expression_dim=4))
    stale = {"name": "ssim", "value": 0.5, "dataset": "Made up", "split": "test"}
    model.save_pretrained(tmp_path / "model", card=CardFacts(metrics=[stale]))

    def run(*options):
        base = ["evaluate", "editing", "--split", "test", "--model", str(tmp_path / "model")]
        return CliRunner().invoke(app, [*base, *map(str, options)])

    return run


def test_the_command_writes_json_and_the_card_writes_the_rows(made, tmp_path):
    done = made("--json", tmp_path / "new/n.json", "--card")
    assert done.exit_code == 0, done.output
    assert "error_ratio: 0.2500" in done.stdout and "n: 3" in done.stdout
    numbers = json.loads((tmp_path / "new/n.json").read_text())
    assert numbers["measured"] == "editing" and numbers["detector"] == "yunet"
    (row,) = CardFacts.read(tmp_path / "model").metrics  # the older number of what is None now is gone
    protocol = {"dataset": "Made up", "split": "test", "protocol": "3 pictures"}
    assert row == {"name": "error_ratio", "value": 0.25, "weights": weights_name(tmp_path / "model")} | protocol


@pytest.mark.parametrize(
    ("options", "detector"),
    [
        (["--detector", "none"], "none"),
        (["--aligner", "face-alignment"], "face-alignment"),
        (["--aligner", "auto"], "auto"),
        (["--detector", "leed"], "leed"),
    ],
)
def test_former_spellings_are_accepted(made, tmp_path, options, detector):
    done = made("--json-file", tmp_path / "n.json", *options)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "n.json").read_text())["detector"] == detector


def test_an_unknown_detector_or_command_is_refused(made, tmp_path):
    done = made("--json", tmp_path / "n.json", "--detector", "dowser")
    assert done.exit_code == 2 and "yunet" in done.stderr
    assert CliRunner().invoke(app, ["evaluate", "editting"]).exit_code == 2


@pytest.mark.parametrize("arguments", [["--help"], ["evaluate", "--help"], ["classify", "--help"]])
def test_help_does_not_import_torch(arguments):
    code = (
        f"import sys\nfrom leed_hub.cli import app\ntry: app({arguments!r})\nfinally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert "read-video" not in done.stdout
