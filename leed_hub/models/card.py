"""`CardFacts`, what a model card says that config and code cannot know, and the card made from it."""

import copy
import dataclasses
import json
import os
import re
from dataclasses import field
from pathlib import Path
from typing import Self

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from leed_hub.errors import ConfigError, ModelLoadError
from leed_hub.hub import CARD
from leed_hub.models.config import checked_config

_FACTS = re.compile(r"<!-- card facts\n(.*?)\n-->", re.DOTALL)  # at the foot of a card, so that it can be written anew
_PLAIN = "---\n{{ card_data }}\n---\n\n# {{ title }}\n\n{{ summary }}\n\n{{ facts }}\n"


@checked_config
class CardFacts:
    """What a model card says that config and code cannot know.

    Attributes:
        title: the card's heading and the model's name beside its results.
        summary: what was trained and how, a paragraph of Markdown.
        training_command: the line that trains it again.
        training_notes: how far the training went, a sentence.
        datasets: {"name", "license"} and, where there are, "id" (on the Hub), "url" and "role" ("test only").
        metrics: {"name", "value", "dataset", "split"} and, where it needs saying, "protocol", and "weights", the first
            digits of the SHA-256 of the weights measured.
        fairness: how well groups of people are read, a table of Markdown with a sentence before it.
        limitations: known failures, a sentence each.
        license_name: where the training data restrict the weights, the terms' name instead of Apache-2.0.
        license_link: where those terms can be read.
    """

    title: str = ""
    summary: str = ""
    training_command: str = ""
    training_notes: str = ""
    datasets: list[dict] = field(default_factory=list)
    metrics: list[dict] = field(default_factory=list)
    fairness: str = ""
    limitations: list[str] = field(default_factory=list)
    license_name: str = ""
    license_link: str = ""

    def __post_init__(self):
        for name, needed in (("datasets", {"name", "license"}), ("metrics", {"name", "value", "dataset", "split"})):
            for entry in getattr(self, name):
                if lacking := needed - set(entry):
                    raise ConfigError(f"Each of the card's {name} needs {', '.join(sorted(lacking))}; got {entry}.")

    @classmethod
    def read(cls, folder: str | os.PathLike) -> Self:
        """The facts a saved model's card was written from; to change some: `dataclasses.replace(facts, ...)`.

        Raises:
            ModelLoadError: if the folder has no card of ours.
        """
        path = Path(folder) / CARD
        found = _FACTS.search(path.read_text(encoding="utf-8")) if path.is_file() else None
        try:
            return cls(**json.loads(found[1] if found else ""))
        except (TypeError, ValueError) as error:
            raise ModelLoadError(f"{path} is no card that leed_hub wrote.") from error


def make_card(
    data: ModelCardData, card: CardFacts, *, template: str | None, config: dict, parameters: int
) -> ModelCard:
    """Fill a template of model_cards/: front matter for the Hub, text, and the facts in a comment at its foot.

    Args:
        data: the model class's own front matter; what the facts add goes into a copy.
        template: file name; None for a heading and the summary.
        config, parameters: the architecture and how many numbers it has, for the text.
    """
    data = copy.deepcopy(data)
    if card.license_name:
        data.license, data.license_name, data.license_link = "other", card.license_name, card.license_link or None
    elif not card.datasets:
        data.license = "unknown"  # nobody may tell terms of weights whose data nobody recorded
    data.datasets = [entry.get("id", _slug(entry["name"])) for entry in card.datasets] or None
    data.metrics = list(dict.fromkeys(_slug(entry["name"]) for entry in card.metrics)) or None
    if card.metrics:
        data.model_name = card.title
        data.eval_results = [
            EvalResult(
                task_type=data.pipeline_tag or "other",
                dataset_type=_slug(entry["dataset"]),
                dataset_name=entry["dataset"],
                dataset_split=entry["split"],
                metric_type=_slug(entry["name"]),
                metric_name=entry["name"],
                metric_value=entry["value"],
            )
            for entry in card.metrics
        ]
    facts = dataclasses.asdict(card)
    hidden = json.dumps(facts, ensure_ascii=False).replace(">", "\\u003e")  # a comment may not hold "-->"
    return ModelCard.from_template(
        data,
        template_str=_PLAIN if template is None else _template_path(template).read_text(encoding="utf-8"),
        facts=f"<!-- card facts\n{hidden}\n-->",
        config=config,
        parameters=parameters,
        **facts,  # where front matter and facts have a field of one name, the text gets the facts'
    )


def _template_path(name: str) -> Path:
    """A card template: `model_cards/` lies beside the package in a checkout and inside it once installed."""
    inside = Path(__file__).parents[1] / "model_cards" / name
    return inside if inside.is_file() else Path(__file__).parents[2] / "model_cards" / name


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
