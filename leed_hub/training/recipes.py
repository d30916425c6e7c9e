"""What differs between our trainings: networks, data, task, and how a checkpoint is chosen.

`train_accelerate.py` runs any `Recipe`; a recipe knows nothing of devices, optimizers or processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
from torch import Tensor, nn

from leed_hub.data import corpus_kind, load_corpus
from leed_hub.data.labelled import LabelledFaces, labelled_crops, warn_of_leakage
from leed_hub.data.memory import JoinedPictures, cache_folder
from leed_hub.data.mesh_landmarks import with_mesh_landmarks
from leed_hub.data.pairs import EditingPairs
from leed_hub.data.tables import RENDERED_SPLITS, joined, kept_rows, photograph_table, rendered_table
from leed_hub.errors import ConfigError
from leed_hub.faces.alignment import to_bytes, to_unit
from leed_hub.faces.detectors import build_detector
from leed_hub.metrics.calibration import fit_temperature
from leed_hub.metrics.editing import EditingMetrics
from leed_hub.metrics.recognition import recognition_scores
from leed_hub.models.discriminators import EditingDiscriminators
from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel, load_backbone_weights
from leed_hub.models.hub_mixin import HubModel
from leed_hub.models.leed import LEEDConfig, LEEDModel
from leed_hub.training.config import CorpusEntry, EditingData, RecognitionData, TrainConfig
from leed_hub.training.disentangle import disentangle_codes
from leed_hub.training.editing import EditingLosses, EditingTask
from leed_hub.training.erasure import erase_expression
from leed_hub.training.recognition import RecognitionLosses, RecognitionTask

VALIDATION_TRIPLETS = 160  # held-out triplets by which checkpoints are chosen
DISENTANGLING_BATCHES = 100  # of 32 indices, some 14,000 faces
DISENTANGLING_DRAWS = 8  # of a picture at most, where there are few
ERASURE_PICTURES = 50_000  # of the training corpora at most, plain


@dataclass(kw_only=True)
class Recipe:
    """A training's parts.

    Attributes:
        model: the network that is published.
        discriminators: networks that only exist while training, or None.
        feed: `len()` and `batch(indices, generator, device)`.
        make_task: (model, discriminators) -> task; called with the prepared networks.
        evaluate: model in eval mode, device -> numbers for the log.
        score: the number of `evaluate` by which the best checkpoint is chosen; higher is better.
        samples: model in eval mode, device -> a picture (3, H, W) in [0, 1] for the log, or None.
        finish: the best weights' model, on the CPU -> the one that is published, or None: they are.
    """

    model: HubModel
    discriminators: nn.Module | None
    feed: EditingPairs | LabelledFaces
    make_task: Callable
    evaluate: Callable[[Any, torch.device], dict[str, float]]
    score: Callable[[dict[str, float]], float]
    samples: Callable[[Any, torch.device], Tensor] | None = None
    finish: Callable[[Any], HubModel] | None = None


def build_recipe(config: TrainConfig) -> Recipe:
    """The recipe a config asks for, its corpora read."""
    settings = config.settings()
    if config.task == "editing":
        return editing_recipe(settings.model, settings.losses, settings.data)
    return recognition_recipe(settings.model, settings.losses, settings.data, config.teachers)


def editing_recipe(config: LEEDConfig, weights: EditingLosses, data: EditingData) -> Recipe:
    """LEED on any mixture of renders and photographs."""
    held_out = tuple(data.held_out)
    tables, held_out_tables = [], []
    held_out_names: list[str] = []
    for entry in data.corpora:
        if (kind := corpus_kind(entry.corpus)) in RENDERED_SPLITS:
            tables.append(rendered_table(entry.corpus, entry.folder, repeats=entry.repeats, without=held_out))
            held_out_tables.append(rendered_table(entry.corpus, entry.folder, only=held_out))
            held_out_names += [f"{kind}_{split}" for split in RENDERED_SPLITS[kind]]
        else:
            photographs = photograph_table(
                entry.corpus,
                entry.folder,
                entry.named_split,
                config.template,
                entry.detector or "yunet",
                repeats=entry.repeats_of(entry.named_split),
                without=held_out,
                alone=entry.alone,
            )
            if entry.landmarks and not held_out_tables:
                raise ConfigError(
                    f"landmarks of {entry.corpus} are laid as renders have them: name a rendered corpus first."
                )
            tables.append(with_mesh_landmarks(photographs, tables[0]) if entry.landmarks else photographs)
    _warn_of_held_out_pictures(data)
    pairs = EditingPairs(joined(tables), config.pairs, config.image_size, config.template, data)
    # Without renders there is no exact target: the training pictures and their made-up expressions must do.
    validation = EditingPairs(joined(held_out_tables or tables), "rendered", config.image_size, config.template)
    triplets = validation.triplets(VALIDATION_TRIPLETS)

    def edit(network: LEEDModel, device: torch.device, shift: int = 0) -> Tensor:
        """The held-out triplets' edits; by the reference of the triplet `shift` places on."""
        edits = []
        for rows in torch.arange(len(triplets["source"])).split(32):
            references = triplets["reference"][(rows + shift) % len(triplets["source"])]
            edits.append(network.edit(triplets["source"][rows].to(device), references.to(device)).edited.cpu())
        return torch.cat(edits)

    def evaluate(network: LEEDModel, device: torch.device) -> dict[str, float]:
        numbers = {}
        for suffix, shift in (("", 0), ("_wrong_reference", len(triplets["source"]) // 2)):
            edits = edit(network, device, shift)
            for corpus in triplets["corpus"].unique().tolist():
                metrics = EditingMetrics(similarity=False)
                chosen = triplets["corpus"] == corpus
                pictures = (
                    to_bytes(images[chosen]).permute(0, 2, 3, 1).numpy()
                    for images in (edits, triplets["source"], triplets["target"])
                )
                for edited, source, target in zip(*pictures, strict=True):
                    metrics.update(edited, source, target, 0.0)
                scores = metrics.compute()
                name = held_out_names[corpus] if held_out_names else "itself"
                numbers[f"error_ratio_{name}{suffix}"] = scores["error_ratio"]
                if not suffix:
                    numbers[f"unchanged_error_{name}"] = scores["unchanged_error"]
        return numbers

    def score(numbers: dict[str, float]) -> float:
        ratios = [
            ratio
            for name, ratio in numbers.items()
            if name.startswith("error_ratio") and not name.endswith("wrong_reference")
        ]
        return -sum(ratios) / len(ratios)

    def samples(network: LEEDModel, device: torch.device) -> Tensor:
        columns = [triplets["source"], triplets["reference"], edit(network, device), triplets["target"]]
        shown = torch.linspace(0, len(triplets["source"]) - 1, 12).long()
        grid = torch.cat([torch.cat(list(column[shown]), dim=1) for column in columns], dim=2)
        return (grid + 1) / 2

    def finish(network: LEEDModel) -> LEEDModel:
        assert data.disentangle is not None
        generator = torch.Generator().manual_seed(0)
        count = min(DISENTANGLING_BATCHES, 1 + DISENTANGLING_DRAWS * len(pairs) // 32)
        draws = (torch.randint(len(pairs), (32,), generator=generator) for _ in range(count))
        batches = (pairs.batch(indices, generator, torch.device("cpu")) for indices in draws)
        return disentangle_codes(network, batches, identity_dim=data.disentangle.identity_dim)

    return Recipe(
        model=LEEDModel(config),
        discriminators=EditingDiscriminators(config.image_size),
        feed=pairs,
        make_task=lambda network, discriminators: EditingTask(weights, network, discriminators),
        evaluate=evaluate,
        score=score,
        samples=samples,
        finish=finish if data.disentangle else None,
    )


def _warn_of_held_out_pictures(data: EditingData) -> None:
    """Say how many pictures of held-out persons are trained on in spite of that, such as copies under other names."""
    held_out = tuple(data.held_out)
    training, validation = [], []
    for entry in data.corpora:
        is_rendered = (kind := corpus_kind(entry.corpus)) in RENDERED_SPLITS
        for split in RENDERED_SPLITS[kind] if is_rendered else [entry.named_split]:
            rows = load_corpus(entry.corpus, entry.folder, split)
            training.append(rows.select(kept_rows(rows, without=held_out).tolist()))
            if is_rendered:
                validation.append(rows.select(kept_rows(rows, only=held_out).tolist()))
    warn_of_leakage(training, validation, by_person=False)


def recognition_recipe(
    config: ExpressionEncoderConfig, weights: RecognitionLosses, data: RecognitionData, teachers: Sequence[str] = ()
) -> Recipe:
    """The disentangled recogniser on any mixture of labelled corpora; taught by saved models, if any are named."""
    taught_by = [ExpressionEncoderModel.from_pretrained(name) for name in teachers]
    for name, teacher in zip(teachers, taught_by, strict=True):
        for key in ("labels", "image_size", "channels", "template"):
            if (its := getattr(teacher.config, key)) != (ours := getattr(config, key)):
                raise ConfigError(f"The teacher {name} has {key} {its!r}, and this network {ours!r}.")

    def rows_of(entry: CorpusEntry) -> datasets.Dataset:
        return load_corpus(entry.corpus, entry.folder, entry.named_split, config=entry.config)

    def crops(entry: CorpusEntry, rows: datasets.Dataset) -> tuple[Tensor, Tensor, Tensor]:
        detector = build_detector(entry.detector or "none")
        size, channels = config.image_size, config.channels
        folder = Path(data.store).expanduser() if data.store else cache_folder("crops")
        return labelled_crops(
            rows, config.labels, size, channels, template=config.template, detector=detector, store=folder
        )

    training, validation = [rows_of(entry) for entry in data.corpora], rows_of(data.validation)
    warn_of_leakage(training, [validation])
    faces = [crops(entry, rows) for entry, rows in zip(data.corpora, training, strict=True)]
    repeats = [entry.repeats_of(entry.named_split) for entry in data.corpora]
    images, labels, affect = zip(
        *(part for part, count in zip(faces, repeats, strict=True) for part in [part] * count), strict=True
    )
    validation_images, validation_labels, _ = crops(data.validation, validation)

    def evaluate(network: ExpressionEncoderModel, device: torch.device) -> dict[str, float]:
        logits = [network.recognize(to_unit(part).to(device))[0].float().cpu() for part in validation_images.split(256)]
        scored = torch.cat(logits)
        scores = recognition_scores(scored, validation_labels, config.labels)
        calibrated = scored / fit_temperature(scored, validation_labels)
        likelihood = -nn.functional.cross_entropy(calibrated, validation_labels).item()
        return {name: scores[name] for name in ("accuracy", "macro_f1")} | {"log_likelihood": likelihood}

    def finish(network: ExpressionEncoderModel) -> ExpressionEncoderModel:
        # Each picture once: copies of a corpus would count as corpora of their own, whose noise is erased too.
        pictures = JoinedPictures([part for part, _, _ in faces])
        known = torch.cat([part for _, part, _ in faces])
        corpora = torch.cat([torch.full((len(part),), number) for number, (_, part, _) in enumerate(faces)])
        drawn = torch.randperm(len(known), generator=torch.Generator().manual_seed(0))[:ERASURE_PICTURES]
        return erase_expression(
            network, ((to_unit(pictures[rows]), known[rows], corpora[rows]) for rows in drawn.split(256))
        )

    feed = LabelledFaces(
        JoinedPictures(images),
        torch.cat(labels),
        valence_arousal=torch.cat(affect) if weights.valence_arousal else None,
        balance=data.balance,
        mixup=data.mixup,
    )
    network = ExpressionEncoderModel(config)
    if data.pretrained:
        load_backbone_weights(network)
    return Recipe(
        model=network,
        discriminators=None,
        feed=feed,
        make_task=lambda network, discriminators: RecognitionTask(weights, network, taught_by),
        evaluate=evaluate,
        score=lambda scores: scores[data.chosen_by],
        finish=finish if data.erase_leakage else None,
    )
