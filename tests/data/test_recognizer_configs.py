"""The recogniser's recipes: those of corpora on request run on made-up copies in the true layout, and corpora mix."""

import dataclasses
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from accelerate.state import AcceleratorState, GradientState

import leed_hub.training.recipes
from leed_hub.data import load_corpus
from leed_hub.errors import ConfigError
from leed_hub.models.expression_encoder import ExpressionEncoderModel
from leed_hub.models.hub_mixin import CardFacts
from leed_hub.models.labels import EXPRESSIONS
from leed_hub.training.config import TrainConfig, read_config
from leed_hub.training.recipes import build_recipe
from train_accelerate import train_stages

CONFIGS = Path(__file__).parents[2] / "configs" / "untested"
SMALL = {"image_size": 16, "widths": [4, 4, 8, 8], "non_expression_width": 4, "code_dim": 8}


class NoFaces:
    """A detector that finds none, and counts how often it is asked."""

    name = "none at all"

    def __init__(self):
        self.asked = 0

    def __call__(self, photo):
        self.asked += 1
        return []


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEED_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def detector(tmp_path, monkeypatch):
    """Stands for every detector; corpora lie in the test's folder and so does their cache."""
    monkeypatch.setenv("LEED_HUB_CORPORA", str(tmp_path))
    monkeypatch.setattr(leed_hub.training.recipes, "load_corpus", partial(load_corpus, cache_dir=tmp_path / "cache"))
    detector = NoFaces()
    monkeypatch.setattr(leed_hub.training.recipes, "build_detector", lambda name: None if name == "none" else detector)
    return detector


@pytest.fixture
def process():
    """What a training changes in its process, put back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("name", "count"), [("affectnet7", 7), ("affectnet8", 8), ("rafdb", 7)], ids=["affectnet7", "affectnet8", "rafdb"]
)
def test_a_config_trains_two_steps_on_its_corpus_and_saves_what_loads(
    name, count, make, detector, process, tmp_path, monkeypatch
):
    make("rafdb" if name == "rafdb" else "affectnet")
    started_from = []
    monkeypatch.setattr(leed_hub.training.recipes, "load_backbone_weights", started_from.append)
    config = read_config(CONFIGS / f"{name}.yaml")
    assert config.data["pretrained"] and config.data["balance"] == 1.0
    small = {"backbone": "test_efficientnet", "image_size": 32, "widths": (8, 8, 8, 8), "code_dim": 8}
    config = dataclasses.replace(
        config,
        model=config.model | small,
        data=config.data | {"store": str(tmp_path / "store")},
        output_dir=str(tmp_path / "run"),
        **{
            "steps": 2,
            "batch_size": 4,
            "workers": 1,
            "warmup_steps": 1,
            "log_every": 1,
            "evaluate_every": 1,
            "checkpoint_every": 2,
        },
    )
    best = train_stages(config, resume=False, max_steps=None, command="a test")

    assert len(started_from) == 1
    assert len(list((tmp_path / "store").glob("*.npy"))) == 2
    asked = detector.asked
    feed = build_recipe(config).feed
    assert detector.asked == asked  # the next start reads the store
    batch = feed.batch(torch.arange(4), torch.Generator().manual_seed(0), torch.device("cpu"))
    assert batch["images"].shape == (4, 3, 32, 32)
    per_category = torch.zeros(count).index_add(0, feed.labels, feed.draw_weights.float())
    assert torch.allclose(per_category, torch.ones(count))

    model = ExpressionEncoderModel.from_pretrained(best)
    assert set(model.config.labels) == set(EXPRESSIONS[:count])
    assert model(batch["images"]).logits.isfinite().all()
    facts = CardFacts.read(best)
    assert facts.license_name and len(facts.datasets) == 2
    assert any("validation" in text if "affectnet" in name else "held out" in text for text in facts.limitations)


def entry(corpus: str, split: str, **options) -> dict:
    return {"corpus": corpus, "data_dir": corpus, "split": split} | options


def config(data: dict, model: dict = SMALL, losses: dict | None = None) -> TrainConfig:
    return TrainConfig(task="recognition", output_dir="runs", steps=1, model=model, losses=losses or {}, data=data)


def recipe(data: dict, **model):
    data = {"validation": entry("fer2013", "test_public")} | data
    return build_recipe(config(data, model=SMALL | model))


def test_two_corpora_mix_each_with_its_own_aligner_and_categories(make, detector):
    make("fer2013"), make("affectnet")
    mixed = recipe({"corpora": [entry("fer2013", "train"), entry("affectnet", "train", detector="yunet")]}).feed
    alone = [recipe({"corpora": [entry(name, "train")]}).feed for name in ("fer2013", "affectnet")]
    assert len(mixed) == 7 + 7  # AffectNet's contempt is not among the labels
    assert detector.asked == 7
    everything = torch.arange(14)
    assert torch.equal(mixed.images[everything], torch.cat([feed.images[everything[:7]] for feed in alone]))
    assert torch.equal(mixed.labels, torch.cat([feed.labels for feed in alone]))
    with_contempt = recipe({"corpora": [entry("affectnet", "train", config="eight")]}, labels=list(EXPRESSIONS))
    assert sorted(with_contempt.feed.labels.tolist()) == list(range(8))


def test_validation_is_another_split_and_its_accuracy_is_the_score(make, detector):
    make("fer2013")
    made = recipe({"corpora": [entry("fer2013", "train")]})
    numbers = made.evaluate(made.model.eval(), torch.device("cpu"))
    assert made.score(numbers) == numbers["accuracy"]
    wanted = recipe({"corpora": [entry("fer2013", "test_public")]}).feed  # the judge's pictures, to count by hand
    images = wanted.images[torch.arange(7)].float() / 127.5 - 1
    with torch.inference_mode():
        right = made.model(images).logits.argmax(dim=1) == wanted.labels
    assert numbers["accuracy"] == pytest.approx(right.float().mean().item())


def test_the_likelihood_that_chooses_is_that_at_the_best_temperature(make, detector):
    make("fer2013")
    made = recipe({"corpora": [entry("fer2013", "train")], "chosen_by": "log_likelihood"})
    model = made.model.eval()
    with torch.no_grad():
        model.classifier[-1].weight *= 30  # an untrained network that is sure
    numbers = made.evaluate(model, torch.device("cpu"))
    assert made.score(numbers) == numbers["log_likelihood"]
    judge = recipe({"corpora": [entry("fer2013", "test_public")]}).feed
    with torch.inference_mode():
        logits = model(judge.images[torch.arange(7)].float() / 127.5 - 1).logits
    by_temperature = [-F.cross_entropy(logits / t, judge.labels).item() for t in torch.logspace(-1, 1.3, 400)]
    assert max(by_temperature) > -F.cross_entropy(logits, judge.labels).item() + 0.01
    assert numbers["log_likelihood"] == pytest.approx(max(by_temperature), abs=1e-3)


def test_a_reconstruction_needs_its_decoder_and_a_misspelt_key_is_named():
    data = {"corpora": [entry("fer2013", "train")], "validation": entry("fer2013", "test_public")}
    with pytest.raises(ConfigError, match="reconstructs"):
        config(data, losses={"beta1": 0.1})
    with pytest.raises(ConfigError, match="RecognitionData.*balanced"):
        config(data | {"balanced": True})
