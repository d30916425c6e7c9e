"""Fit a recogniser's temperature on held-out rows, and write it into a saved model."""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor
from torch.nn import functional as F

from leed_hub.errors import ConfigError, ModelLoadError
from leed_hub.evaluation.corpus_reader import RecognizerEvaluation
from leed_hub.evaluation.evaluation import CardRows
from leed_hub.media.files import write_text
from leed_hub.metrics import fit_temperature, recognition_scores
from leed_hub.models.checkpoint import described, files_of_folder, read_config
from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel


@dataclass(frozen=True, kw_only=True)
class Calibration(RecognizerEvaluation):
    """Fit the temperature by which a recogniser's logits are best divided, and what it changes on these very rows.

    The split should be neither trained on nor reported; `Recognition` on another one shows the gain. Fit it as the
    recogniser will be used: `ExpressionRecognizer` sees one view.

    Results: `temperature_factor` (by which the logits are to be divided; the model's own temperature is to be
        multiplied by it); `expected_calibration_error_before`, `..._after` (as in `recognition_scores`),
        `negative_log_likelihood_before`, `..._after` (nats a row); `accuracy`, which does not change; with `save`,
        `saved_temperature`; and those of `RecognizerEvaluation`.
    """

    name = "calibration"
    card = (
        CardRows(
            ("expected_calibration_error_before", "expected_calibration_error_after")
            + ("negative_log_likelihood_before", "negative_log_likelihood_after"),
            "{n} pictures, {reading}; before and after fitting the temperature on these very pictures",
        ),
    )

    split: Annotated[str, "The split to fit on, such as test_public: not one that is reported."]
    save: Annotated[bool, "Write the temperature into MODEL, which must be a folder."] = False

    def load(self) -> Any:
        if self.save and not (self.model and Path(self.model).is_dir()):
            raise ConfigError("--save writes into a model's folder; name it with --model.")
        return super().load()

    def measure(self, recognizer: Any) -> dict:
        reader, rows, labels, unmatched = self.scored_rows(recognizer)
        logits = self.predict(reader, rows)["logits"]
        factor = fit_temperature(logits, labels)

        def error(scaled: Tensor) -> float:
            return recognition_scores(scaled, labels, recognizer.labels)["expected_calibration_error"]

        return {
            "n": len(rows),
            "temperature_factor": factor,
            "expected_calibration_error_before": error(logits),
            "expected_calibration_error_after": error(logits / factor),
            "negative_log_likelihood_before": F.cross_entropy(logits, labels).item(),
            "negative_log_likelihood_after": F.cross_entropy(logits / factor, labels).item(),
            "accuracy": float((logits.argmax(dim=1) == labels).float().mean()),
            **reader.protocol,
            **unmatched,
        } | ({"saved_temperature": save_temperature(self.model, factor)} if self.save and self.model else {})


def save_temperature(folder: str | os.PathLike, factor: float) -> float:
    """Multiply the temperature in a saved recogniser's config.json by the `temperature_factor` that was fitted on it.

    Returns:
        The new temperature.
    Raises:
        ModelLoadError: if the folder holds no recogniser.
    """
    if not Path(folder).is_dir():
        raise ModelLoadError(f"A temperature is saved into a model's folder, and {folder} is none.")
    path, _ = files_of_folder(Path(folder))
    config = read_config(path, ExpressionEncoderConfig, ExpressionEncoderModel.model_type)
    config = dataclasses.replace(config, temperature=config.temperature * factor)
    write_text(path, json.dumps(described(config, ExpressionEncoderModel.model_type), indent=2) + "\n")
    return config.temperature
