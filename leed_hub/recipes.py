"""What differs between our trainings: networks, data, task, and how a checkpoint is judged.

`train_accelerate.py` runs any `Recipe`; a recipe knows nothing of devices, optimizers or processes.
"""

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from leed_hub.data import corpus_kind, known_corpus, load_corpus
from leed_hub.data.face_bank import photograph_bank, rendered_bank
from leed_hub.data.labelled import LabelledFaces, labelled_crops
from leed_hub.data.memory import JoinedPictures
from leed_hub.data.pairing import EditingPairs, Sampling
from leed_hub.data.scenes import LocatorScenes
from leed_hub.data.tables import RENDERED_SPLITS, joined, photograph_table, rendered_table
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

JUDGED = 160  # held-out triplets by which checkpoints are chosen
SEPARATION_BATCHES = 100  # of 32 anchors, some 14,000 faces
MODELS = {"editing": LEEDModel, "recognition": ExpressionEncoderModel, "locating": FaceLocatorModel}


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


def corpus_folder(data_dir: str | None) -> str | None:
    """A config's `data_dir`: absolute, or below the folder that `LEED_HUB_CORPORA` names (default `corpora`).

    None, as entries have that name a dataset of the Hub, stays None.
    """
    if data_dir is None:
        return None
    return str(Path(os.environ.get("LEED_HUB_CORPORA", "corpora"), os.path.expanduser(data_dir)).resolve())


@dataclass(frozen=True, kw_only=True)
class CorpusEntry:
    """A corpus as a config's data names it.

    Attributes:
        corpus: a key of `CORPORA`, or ORG/NAME of a dataset of the Hub.
        data_dir: its folder or archive, see `corpus_folder`; none for the Hub.
        split, config: as for `load_corpus`; rendered corpora know their own.
        repeats: how often an epoch takes each picture; for rendered corpora also {split: number}.
        aligner: how faces are found: "none" where pictures are face crops.
        alone: no two pictures show one person in two expressions, see `photograph_table`.
        every: only each n-th picture.
    """

    corpus: str
    data_dir: str | None = None
    split: str | None = None
    config: str | None = None
    repeats: int | dict[str, int] = 1
    aligner: str | None = None
    alone: bool = False
    every: int = 1

    def __post_init__(self):
        if "/" not in self.corpus:
            known_corpus(self.corpus)

    @property
    def folder(self) -> str | None:
        """Where it lies."""
        return corpus_folder(self.data_dir)


@dataclass(frozen=True, kw_only=True)
class EditingData:
    """What the editor learns from.

    Attributes:
        corpora: entries of `CorpusEntry`.
        held_out: persons left out of the training to choose the best checkpoint on.
        separate: how the best checkpoint's codes are separated in the end: {identity_dim} of `separate_codes`; not at
            all by default.
        sampling: shares and bounds of `Sampling`; a config names them beside the others.
    """

    corpora: list[CorpusEntry]
    held_out: list[str]
    separate: dict[str, int] | None = None
    sampling: Sampling

    @classmethod
    def read(cls, data: dict) -> "EditingData":
        """From a config's mapping."""
        sampling = {field.name: data[field.name] for field in dataclasses.fields(Sampling) if field.name in data}
        rest = {name: value for name, value in data.items() if name not in sampling}
        rest["corpora"] = [CorpusEntry(**entry) for entry in rest.get("corpora", [])]
        found = cls(sampling=Sampling(**sampling), **rest)
        if found.separate is not None and found.separate.keys() != {"identity_dim"}:
            raise ConfigError(f"separate is {{identity_dim: number}}; got {found.separate}.")
        return found


@dataclass(frozen=True, kw_only=True)
class RecognitionData:
    """What the recogniser learns from.

    Attributes:
        corpora: entries of `CorpusEntry`, whose pictures are face crops unless they name an aligner.
        judge: such an entry, to choose the best checkpoint on.
        balance: how far rare categories are drawn more often, see `LabelledFaces`.
        store: a folder for the crops of corpora that do not fit into memory, see `labelled_crops`.
        pretrained: start a timm backbone from its published weights.
    """

    corpora: list[CorpusEntry]
    judge: CorpusEntry
    balance: float = 0.0
    store: str | None = None
    pretrained: bool = False

    @classmethod
    def read(cls, data: dict) -> "RecognitionData":
        """From a config's mapping."""
        entries = [CorpusEntry(**entry) for entry in data.get("corpora", [])]
        judge = {"judge": CorpusEntry(**data["judge"])} if "judge" in data else {}
        return cls(**data | {"corpora": entries} | judge)


@dataclass(frozen=True, kw_only=True)
class LocatingData:
    """What the face locator learns from.

    Attributes:
        corpora: entries of `CorpusEntry`; a teacher, their aligner, places the points of photographs.
        judge: such entries, to choose the best checkpoint on.
        held_out: persons left out of all of them.
        scene_size: side of the detector's scenes in pixels, a multiple of 8.
    """

    corpora: list[CorpusEntry]
    judge: list[CorpusEntry]
    held_out: list[str]
    scene_size: int = 80

    @classmethod
    def read(cls, data: dict) -> "LocatingData":
        """From a config's mapping."""
        entries = {
            name: [CorpusEntry(**entry) for entry in data[name]] for name in ("corpora", "judge") if name in data
        }
        return cls(**data | entries)


@dataclass(frozen=True)
class Settings:
    """A config's model, losses and data, checked, before any corpus is read."""

    task: str
    model: LEEDConfig | ExpressionEncoderConfig | FaceLocatorConfig
    losses: EditingLosses | RecognitionLosses | LocatingLosses
    data: EditingData | RecognitionData | LocatingData


def read_settings(task: str, model: dict, losses: dict, data: dict) -> Settings:
    """What a config asks for; nothing is read from the disk or the Hub.

    Raises:
        ConfigError: if the task is unknown, or a key is, which the sentence names.
    """
    kinds = {
        "editing": (LEEDConfig, EditingLosses, EditingData),
        "recognition": (ExpressionEncoderConfig, RecognitionLosses, RecognitionData),
        "locating": (FaceLocatorConfig, LocatingLosses, LocatingData),
    }
    if task not in kinds:
        raise ConfigError(f"task must be one of {sorted(kinds)}; got {task!r}.")
    config_class, losses_class, data_class = kinds[task]
    try:
        settings = Settings(task, config_class(**model), losses_class(**losses), data_class.read(data))
    except TypeError as error:  # a misspelt key reaches a constructor
        raise ConfigError(f"The config does not fit the {task} task: {error}.") from error
    if task == "recognition" and settings.losses.beta1 and not settings.model.reconstructs:
        raise ConfigError("beta1 weighs the reconstruction, but the model's `reconstructs` is false.")
    return settings


def build_recipe(settings: Settings) -> Recipe:
    """The recipe a config asks for, its corpora read."""
    builders = {"editing": editing_recipe, "recognition": recognition_recipe, "locating": locating_recipe}
    return builders[settings.task](settings.model, settings.losses, settings.data)


def editing_recipe(config: LEEDConfig, weights: EditingLosses, data: EditingData) -> Recipe:
    """LEED on any mixture of renders and photographs."""
    held_out = tuple(data.held_out)
    tables, held_out_tables = [], []
    held_out_names: list[str] = []  # of the judge's corpora
    for entry in data.corpora:
        if (kind := corpus_kind(entry.corpus)) in RENDERED_SPLITS:
            tables.append(rendered_table(entry.corpus, entry.folder, repeats=entry.repeats, without=held_out))
            held_out_tables.append(rendered_table(entry.corpus, entry.folder, only=held_out))
            held_out_names += [f"{kind}_{split}" for split in RENDERED_SPLITS[kind]]
        else:
            detector = entry.aligner or "yunet"
            tables.append(
                photograph_table(
                    entry.corpus,
                    entry.folder,
                    entry.split,
                    config.template,
                    build_locator(detector),
                    repeats=entry.repeats,
                    without=held_out,
                    alone=entry.alone,
                    detector=detector,
                )
            )
    pairs = EditingPairs(joined(tables), config.pairs, config.image_size, config.template, data.sampling)
    # Without renders there is no exact target: the training pictures and their made-up expressions must do.
    judge = EditingPairs(joined(held_out_tables or tables), "rendered", config.image_size, config.template)
    judging = judge.triplets(JUDGED)

    def edit(network: nn.Module, device: torch.device, shift: int = 0) -> Tensor:
        """The judge's edits; by the reference of the triplet `shift` places on."""
        edits = []
        for rows in torch.arange(len(judging["source"])).split(32):
            references = judging["reference"][(rows + shift) % len(judging["source"])]
            edits.append(network.edit(judging["source"][rows].to(device), references.to(device)).edited.cpu())
        return torch.cat(edits)

    def evaluate(network: nn.Module, device: torch.device) -> dict[str, float]:
        numbers = {}
        for suffix, shift in (("", 0), ("_wrong_reference", len(judging["source"]) // 2)):
            edits = edit(network, device, shift)
            for corpus in judging["corpus"].unique().tolist():
                metrics = EditingMetrics()
                chosen = judging["corpus"] == corpus
                pictures = (
                    to_bytes(images[chosen]).permute(0, 2, 3, 1).numpy()
                    for images in (edits, judging["source"], judging["target"])
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

    def samples(network: nn.Module, device: torch.device) -> Tensor:
        columns = [judging["source"], judging["reference"], edit(network, device), judging["target"]]
        shown = torch.linspace(0, len(judging["source"]) - 1, 12).long()
        grid = torch.cat([torch.cat(list(column[shown]), dim=1) for column in columns], dim=2)
        return (grid + 1) / 2

    def finish(network: LEEDModel) -> LEEDModel:
        generator = torch.Generator().manual_seed(0)
        draws = (torch.randint(len(pairs), (32,), generator=generator) for _ in range(SEPARATION_BATCHES))
        batches = (pairs.batch(anchors, generator, torch.device("cpu")) for anchors in draws)
        return separate_codes(network, batches, **data.separate)

    return Recipe(
        model=LEEDModel(config),
        critics=EditingCritics(config.image_size),
        feed=pairs,
        make_task=lambda network, critics: EditingTask(weights, network, critics),
        evaluate=evaluate,
        score=score,
        samples=samples,
        finish=finish if data.separate else None,
    )


def recognition_recipe(config: ExpressionEncoderConfig, weights: RecognitionLosses, data: RecognitionData) -> Recipe:
    """The disentangled recogniser on any mixture of labelled corpora."""

    def crops(entry: CorpusEntry) -> tuple[Tensor, Tensor]:
        rows = load_corpus(entry.corpus, entry.folder, entry.split, config=entry.config)
        locator = build_locator(entry.aligner or "none")
        size, channels = config.image_size, config.channels
        folder = Path(data.store).expanduser() if data.store else None
        return labelled_crops(
            rows, config.labels, size, channels, template=config.template, locator=locator, store=folder
        )

    images, labels = zip(*(crops(entry) for entry in data.corpora), strict=True)
    judged_images, judged_labels = crops(data.judge)

    def evaluate(network: nn.Module, device: torch.device) -> dict[str, float]:
        logits = [network.recognize(to_unit(part).to(device))[0].float().cpu() for part in judged_images.split(256)]
        scores = recognition_scores(torch.cat(logits), judged_labels, config.labels)
        return {name: scores[name] for name in ("accuracy", "macro_f1")}

    network = ExpressionEncoderModel(config)
    if data.pretrained:
        load_backbone_weights(network)
    return Recipe(
        model=network,
        critics=None,
        feed=LabelledFaces(JoinedPictures(images), torch.cat(labels), balance=data.balance),
        make_task=lambda network, critics: RecognitionTask(weights, network),
        evaluate=evaluate,
        score=lambda scores: scores["accuracy"],
    )


def locating_recipe(config: FaceLocatorConfig, weights: LocatingLosses, data: LocatingData) -> Recipe:
    """The face locator on scenes made from any mixture of renders and photographs."""

    def scenes(entries: list[CorpusEntry], texture_count: int) -> LocatorScenes:
        banks = []
        for entry in entries:
            options = {"data_dir": entry.folder, "split": entry.split, "without": tuple(data.held_out)}
            options["repeats"] = entry.repeats
            if corpus_kind(entry.corpus) == "rendered_faces":
                banks.append(rendered_bank(**options))
            else:
                teacher = build_locator(entry.aligner or "yunet")
                banks.append(photograph_bank(entry.corpus, teacher=teacher, every=entry.every, **options))
        return LocatorScenes(sum(banks[1:], start=banks[0]), config, data.scene_size, texture_count)

    judge_scenes = scenes(data.judge, 100)
    fixed = torch.Generator().manual_seed(0)
    judging = judge_scenes.batch(torch.arange(len(judge_scenes))[:256], fixed, torch.device("cpu"))

    def evaluate(network: nn.Module, device: torch.device) -> dict[str, float]:
        batch = {name: value.to(device) for name, value in judging.items()}
        terms, _ = LocatingTask(weights, network).generator_losses(batch, 0)
        return {name: value.item() for name, value in terms.items()}

    return Recipe(
        model=FaceLocatorModel(config),
        critics=None,
        feed=scenes(data.corpora, 600),
        make_task=lambda network, critics: LocatingTask(weights, network),
        evaluate=evaluate,
        score=lambda scores: -scores["loss"],
    )
