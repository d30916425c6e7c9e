"""Write results: numbers as JSON, and the main ones into a saved model's card."""

import dataclasses
import json
import os
from pathlib import Path

from leed_hub.evaluation import EVALUATIONS, evaluation_class
from leed_hub.hub import CARD, WEIGHTS, sha256
from leed_hub.media.files import write_text
from leed_hub.models.card import CardFacts
from leed_hub.models.hub_mixin import HubModel


def record_in_card(model: HubModel, folder: str | os.PathLike, numbers: dict) -> None:
    """Write the main numbers of `Evaluation.run` into a model's card, in place of older ones of the same name and data.

    Each row names the weights it was measured with; rows of other weights than lie in the folder now are dropped, for
    the card would ascribe them to these.

    Args:
        model: the network that was measured, as loaded from `folder`.
    Raises:
        ModelLoadError: if the folder has no card that leed_hub wrote.
    """
    evaluation = evaluation_class(next(name for name in EVALUATIONS if name.replace("-", "_") == numbers["measured"]))
    rows = evaluation.card_rows(numbers)
    facts = CardFacts.read(folder)
    weights = weights_name(folder)
    replaced = {(row["dataset"], row["split"], row["name"]) for row in rows}
    kept = [
        row
        for row in facts.metrics
        if row.get("weights", weights) == weights and (row["dataset"], row["split"], row["name"]) not in replaced
    ]
    measured = [row | {"value": round(row["value"], 4), "weights": weights} for row in rows if row["value"] is not None]
    facts = dataclasses.replace(facts, metrics=kept + measured, **evaluation.card_facts(numbers))
    write_text(Path(folder) / CARD, str(model.generate_model_card(facts)))


def weights_name(folder: str | os.PathLike) -> str:
    """What a row of a card calls the weights of a folder: the first 16 digits of the file's SHA-256."""
    return sha256(Path(folder) / WEIGHTS)[:16]


def write_json(numbers: dict, path: str | os.PathLike) -> None:
    """Write what `Evaluation.run` returned; the folder is made if need be, and the file is complete or as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(numbers, indent=2, allow_nan=False) + "\n")
