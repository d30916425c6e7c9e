"""What differs between our trainings: networks, data, task, and how a checkpoint is judged.

`train_accelerate.py` runs any `Recipe`; a recipe knows nothing of devices, optimizers or processes.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from leed_hub.data import load_corpus
from leed_hub.data.face_bank import photograph_bank, rendered_bank
from leed_hub.data.labelled import LabelledFaces, labelled_crops
from leed_hub.data.memory import JoinedPictures
from leed_hub.data.pairing import EditingPairs
from leed_hub.data.scenes import LocatorScenes
from leed_hub.data.tables import joined, photograph_table, rendered_table
from leed_hub.errors import ConfigError
from leed_hub.faces import build_locator
from leed_hub.metrics.editing import EditingMetrics
from leed_hub.metrics.recognition import recognition_scores
from leed_hub.models.critics import EditingCritics
from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel, load_backbone_weights
from leed_hub.models.face_locator import FaceLocatorConfig, FaceLocatorModel
from leed_hub.models.hub import HubModel
from leed_hub.models.leed import LEEDConfig, LEEDModel
from leed_hub.tasks.editing import EditingLosses, EditingTask
from leed_hub.tasks.locating import LocatingLosses, LocatingTask
from leed_hub.tasks.recognition import RecognitionLosses, RecognitionTask
from leed_hub.tasks.separation import separate_codes
from leed_hub.transforms import to_bytes, to_unit

SEPARATION_BATCHES = 200  # of 32 edits, 12,800 faces


@dataclass(kw_only=True)
class Recipe:
    """A training's parts.

    Attributes:
        model: the network that is published.
        critics: networks that only exist while training, or None.
        feed: `len()` and `batch(anchors, generator, device)`.
        make_task: (model, critics) -> task; called with the prepared networks.
        evaluate: model in eval mode, device -> numbers for the log.
        score: the number of `evaluate` by which the best checkpoint is chosen; higher is better.
        samples: model in eval mode, device -> a picture (3, H, W) in [0, 1] for the log, or None.
        finish: the best weights' model, on the CPU -> the one that is published, or None: they are.
    """

    model: HubModel
    critics: nn.Module | None
    feed: EditingPairs | LabelledFaces | LocatorScenes
    make_task: Callable
    evaluate: Callable[[nn.Module, torch.device], dict[str, float]]
    score: Callable[[dict[str, float]], float]
    samples: Callable[[nn.Module, torch.device], Tensor] | None = None
    finish: Callable[[HubModel], HubModel] | None = None


def corpus_folder(data_dir: str) -> str:
    """A config's `data_dir`: absolute, or below the folder that `LEED_HUB_CORPORA` names (default `corpora`)."""
    return str(Path(os.environ.get("LEED_HUB_CORPORA", "corpora"), os.path.expanduser(data_dir)).resolve())


def build_recipe(task: str, model: dict, losses: dict, data: dict) -> Recipe:
    """The recipe a config asks for.

    Raises:
        ConfigError: if the task is unknown or a key is.
    """
    builders = {"editing": editing_recipe, "recognition": recognition_recipe, "locating": locating_recipe}
    if task not in builders:
        raise ConfigError(f"task must be one of {sorted(builders)}; got {task!r}.")
    try:
        return builders[task](model, losses, **data)
    except TypeError as error:  # a misspelt key reaches a constructor
        raise ConfigError(f"The config does not fit the {task} task: {error}.") from error


def editing_recipe(
    model: dict, losses: dict, *, corpora: list[dict], held_out: list[str], separate: dict | None = None, **pairing
) -> Recipe:
    """LEED on any mixture of renders and photographs.

    Args:
        model: fields of `LEEDConfig`.
        losses: fields of `EditingLosses`.
        corpora: entries {corpus, data_dir}; photographs also {split, repeats, aligner, alone}.
        held_out: persons left out of the training to choose the best checkpoint on.
        separate: how the best checkpoint's codes are separated in the end: {identity_dim} of `separate_codes`; not at
            all by default.
        **pairing: shares and bounds of `EditingPairs`.
    """
    config, weights = LEEDConfig(**model), EditingLosses(**losses)
    tables, held_out_tables = [], []
    for entry in corpora:
        folder = corpus_folder(entry["data_dir"])
        if entry["corpus"] == "rendered_faces":
            tables.append(rendered_table(folder, without=tuple(held_out)))
            held_out_tables.append(rendered_table(folder, only=tuple(held_out)))
        else:
            locator = build_locator(entry.get("aligner", "yunet"))
            tables.append(
                photograph_table(
                    entry["corpus"],
                    folder,
                    entry["split"],
                    config.template,
                    locator,
                    repeats=entry.get("repeats", 1),
                    without=tuple(held_out),
                    alone=entry.get("alone", False),
                )
            )
    pairs = EditingPairs(joined(tables), config.pairs, config.image_size, config.template, **pairing)
    # Without renders there is no exact target: the training pictures and their made-up expressions must do.
    judge = EditingPairs(joined(held_out_tables or tables), "rendered", config.image_size, config.template)
    judging = judge.triplets(128)

    def edit(network: nn.Module, device: torch.device) -> Tensor:
        edits = []
        for rows in torch.arange(len(judging["source"])).split(32):
            source, reference = judging["source"][rows].to(device), judging["reference"][rows].to(device)
            edits.append(network(source, reference).edit.edited.cpu())
        return torch.cat(edits)

    def evaluate(network: nn.Module, device: torch.device) -> dict[str, float]:
        metrics = EditingMetrics()
        pictures = (
            to_bytes(images).permute(0, 2, 3, 1).numpy()
            for images in (edit(network, device), judging["source"], judging["target"])
        )
        for edited, source, target in zip(*pictures, strict=True):
            metrics.update(edited, source, target, 0.0)
        scores = metrics.compute()
        return {name: scores[name] for name in ("error_ratio", "unchanged_error", "ssim")}

    def samples(network: nn.Module, device: torch.device) -> Tensor:
        columns = [judging["source"], judging["reference"], edit(network, device), judging["target"]]
        grid = torch.cat([torch.cat(list(column[:8]), dim=1) for column in columns], dim=2)
        return (grid + 1) / 2

    def finish(network: LEEDModel) -> LEEDModel:
        generator = torch.Generator().manual_seed(0)
        draws = (torch.randint(len(pairs), (32,), generator=generator) for _ in range(SEPARATION_BATCHES))
        batches = (pairs.batch(anchors, generator, torch.device("cpu")) for anchors in draws)
        return separate_codes(network, batches, **separate)

    return Recipe(
        model=LEEDModel(config),
        critics=EditingCritics(config.image_size),
        feed=pairs,
        make_task=lambda network, critics: EditingTask(weights, network, critics),
        evaluate=evaluate,
        score=lambda scores: -scores["error_ratio"],
        samples=samples,
        finish=finish if separate else None,
    )


def recognition_recipe(
    model: dict,
    losses: dict,
    *,
    corpora: list[dict],
    judge: dict,
    balance: float = 0.0,
    store: str | None = None,
    pretrained: bool = False,
) -> Recipe:
    """The disentangled recogniser on any mixture of labelled corpora.

    Args:
        model: fields of `ExpressionEncoderConfig`.
        losses: fields of `RecognitionLosses`.
        corpora: entries {corpus, data_dir, split}, perhaps {config}, as for `load_corpus`; where pictures are not face
            crops already, also {aligner}.
        judge: such an entry, to choose the best checkpoint on.
        balance: how far rare categories are drawn more often, see `LabelledFaces`.
        store: a folder for the crops of corpora that do not fit into memory, see `labelled_crops`.
        pretrained: start a timm backbone from its published weights.
    """
    config = ExpressionEncoderConfig(**model)
    weights = RecognitionLosses(**losses)
    if weights.beta1 and not config.reconstructs:
        raise ConfigError("beta1 weighs the reconstruction, but the model's `reconstructs` is false.")

    def crops(entry: dict) -> tuple[Tensor, Tensor]:
        rows = load_corpus(
            entry["corpus"], corpus_folder(entry["data_dir"]), entry["split"], config=entry.get("config")
        )
        locator = build_locator(entry.get("aligner", "none"))
        size, channels = config.image_size, config.channels
        folder = Path(store).expanduser() if store else None
        return labelled_crops(
            rows, config.labels, size, channels, template=config.template, locator=locator, store=folder
        )

    images, labels = zip(*(crops(entry) for entry in corpora), strict=True)
    judged_images, judged_labels = crops(judge)

    def evaluate(network: nn.Module, device: torch.device) -> dict[str, float]:
        logits = [network.recognize(to_unit(part).to(device))[0].float().cpu() for part in judged_images.split(256)]
        scores = recognition_scores(torch.cat(logits), judged_labels, config.labels)
        return {name: scores[name] for name in ("accuracy", "macro_f1")}

    network = ExpressionEncoderModel(config)
    if pretrained:
        load_backbone_weights(network)
    return Recipe(
        model=network,
        critics=None,
        feed=LabelledFaces(JoinedPictures(images), torch.cat(labels), balance=balance),
        make_task=lambda network, critics: RecognitionTask(weights, network),
        evaluate=evaluate,
        score=lambda scores: scores["accuracy"],
    )


def locating_recipe(
    model: dict, losses: dict, *, corpora: list[dict], judge: list[dict], held_out: list[str], scene_size: int = 80
) -> Recipe:
    """The face locator on scenes made from any mixture of renders and photographs.

    Args:
        model: fields of `FaceLocatorConfig`.
        losses: fields of `LocatingLosses`.
        corpora: entries {corpus, data_dir, split}, perhaps {repeats}; photographs, whose points a teacher places, also
            {aligner, every}.
        judge: such entries, to choose the best checkpoint on.
        held_out: persons left out of all of them.
        scene_size: side of the detector's scenes in pixels, a multiple of 8.
    """
    config, weights = FaceLocatorConfig(**model), LocatingLosses(**losses)

    def scenes(entries: list[dict], texture_count: int) -> LocatorScenes:
        banks = []
        for entry in entries:
            options = {key: value for key, value in entry.items() if key not in ("corpus", "data_dir", "aligner")}
            options |= {"data_dir": corpus_folder(entry["data_dir"]), "without": tuple(held_out)}
            if entry["corpus"] == "rendered_faces":
                banks.append(rendered_bank(**options))
            else:
                teacher = build_locator(entry.get("aligner", "yunet"))
                banks.append(photograph_bank(entry["corpus"], teacher=teacher, **options))
        return LocatorScenes(sum(banks[1:], start=banks[0]), config, scene_size, texture_count)

    judge_scenes = scenes(judge, 100)
    fixed = torch.Generator().manual_seed(0)
    judging = judge_scenes.batch(torch.arange(len(judge_scenes))[:256], fixed, torch.device("cpu"))

    def evaluate(network: nn.Module, device: torch.device) -> dict[str, float]:
        batch = {name: value.to(device) for name, value in judging.items()}
        terms, _ = LocatingTask(weights, network).generator_losses(batch, 0)
        return {name: value.item() for name, value in terms.items()}

    return Recipe(
        model=FaceLocatorModel(config),
        critics=None,
        feed=scenes(corpora, 600),
        make_task=lambda network, critics: LocatingTask(weights, network),
        evaluate=evaluate,
        score=lambda scores: -scores["loss"],
    )
