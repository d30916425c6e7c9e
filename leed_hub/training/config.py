"""A training's config: one run, checked before any corpus is read. A YAML file of `configs/` holds these fields."""

import dataclasses
import json
import os
import re
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from timm.optim import list_optimizers
from torch import nn

from leed_hub.data import known_corpus
from leed_hub.data.pairs import Sampling
from leed_hub.errors import ConfigError
from leed_hub.models.card import CardFacts
from leed_hub.models.config import checked_config
from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel
from leed_hub.models.leed import LEEDConfig, LEEDModel
from leed_hub.training.editing import EditingLosses
from leed_hub.training.recognition import RecognitionLosses

_NAME = re.compile(r"[\w-]+")  # of a stage, which is a folder's too
MODELS: dict[str, type] = {"editing": LEEDModel, "recognition": ExpressionEncoderModel}


def corpus_folder(data_dir: str | None) -> str | None:
    """A config's `data_dir`: absolute, or below the folder that `LEED_HUB_CORPORA` names (default `corpora`).

    None, which entries have that name a dataset of the Hub, stays None.
    """
    if data_dir is None:
        return None
    return str(Path(os.environ.get("LEED_HUB_CORPORA", "corpora"), os.path.expanduser(data_dir)).resolve())


@checked_config
class CorpusEntry:
    """A corpus as a config's data names it.

    Attributes:
        corpus: a key of `CORPORA`, or ORG/NAME of a dataset of the Hub.
        data_dir: its folder or archive, see `corpus_folder`; none for the Hub.
        split, config: as for `load_corpus`; rendered corpora know their own.
        repeats: how often an epoch takes each picture; for rendered corpora also {split: number}.
        detector: how faces are found: "none" where pictures are face crops.
        alone: no two pictures show one person in two expressions, see `photograph_table`.
        landmarks: photographs get a face mesh's, see `with_mesh_landmarks`; needs a rendered corpus before it.
    """

    corpus: str
    data_dir: str | None = None
    split: str | None = None
    config: str | None = None
    repeats: NonNegativeInt | dict[str, NonNegativeInt] = 1
    detector: str | None = None
    alone: bool = False
    landmarks: bool = False

    def __post_init__(self):
        if "/" not in self.corpus:
            known_corpus(self.corpus)

    @property
    def folder(self) -> str | None:
        """Where it lies."""
        return corpus_folder(self.data_dir)

    @property
    def named_split(self) -> str:
        """The split; a `ConfigError` where the entry names none."""
        if self.split is None:
            raise ConfigError(f"The entry of {self.corpus} needs a split.")
        return self.split

    def repeats_of(self, split: str) -> int:
        """How often an epoch takes each picture of a split."""
        return self.repeats.get(split, 1) if isinstance(self.repeats, dict) else self.repeats


@checked_config
class Disentanglement:
    """How the best checkpoint's codes are disentangled at the end, see `disentangle_codes`."""

    identity_dim: PositiveInt


def _from_mapping(kind: type) -> BeforeValidator:
    """YAML gives a mapping where an object is wanted."""
    return BeforeValidator(lambda value: kind(**value) if isinstance(value, dict) else value)


Entry = Annotated[CorpusEntry, _from_mapping(CorpusEntry)]
Entries = Annotated[list[Entry], Field(min_length=1)]


@checked_config
class EditingData(Sampling):
    """What the editor learns from; the fields of `Sampling` stand beside these.

    Attributes:
        corpora: what it sees.
        held_out: persons left out of the training to choose the best checkpoint on.
        disentangle: a last step on the best checkpoint; none by default.
    """

    corpora: Entries
    held_out: list[str]
    disentangle: Annotated[Disentanglement | None, _from_mapping(Disentanglement)] = None


@checked_config
class RecognitionData:
    """What the recogniser learns from.

    Attributes:
        corpora: pictures are face crops unless an entry names a detector.
        validation: such an entry, to choose the best checkpoint on.
        chosen_by: by which of its numbers; the log-likelihood is that at the temperature which fits best, and wavers
            less from sample to sample than the accuracy.
        balance, mixup: how far rare categories are drawn more often and pictures are blended, see `LabelledFaces`.
        store: a folder for the corpora's crops, which the next start finds there; by default one of the cache.
        pretrained: start a timm backbone from its published weights.
        erase_leakage: as a last step on the best checkpoint, take out of h_n what a linear probe finds there of the
            label, see `erase_expression`.
    """

    corpora: Entries
    validation: Entry
    chosen_by: Literal["accuracy", "log_likelihood"] = "accuracy"
    balance: NonNegativeFloat = 0.0
    mixup: NonNegativeFloat = 0.0
    store: str | None = None
    pretrained: bool = False
    erase_leakage: bool = False

    def __post_init__(self):
        for entry in (*self.corpora, self.validation):
            _ = entry.named_split  # better known before any corpus is read


@dataclasses.dataclass(frozen=True)
class Settings:
    """A config's model, losses and data as objects."""

    model: Any
    losses: Any
    data: Any


SETTINGS: dict[str, tuple[type, type, type]] = {
    "editing": (LEEDConfig, EditingLosses, EditingData),
    "recognition": (ExpressionEncoderConfig, RecognitionLosses, RecognitionData),
}


@checked_config
class TrainConfig:
    """One run; a YAML file holds these fields, or `extends: FILE` and what is different from that file.

    Attributes:
        task: "editing" or "recognition".
        output_dir: where the run writes.
        model, losses, data: the fields of the task's classes, see `SETTINGS`.
        card: title, summary, datasets and limitations for the model card, see `CardFacts`.
        init: a saved model's folder or Hub name: the training starts from its weights, and from fresh ones where the
            new network has parts that it lacks. Of several the mean is taken (Wortsman et al. 2022, arXiv:2203.05482).
        frozen: parts of the network, such as "encoder", that stay as they are, running statistics included.
        steps: optimizer steps; each training or each of its stages needs them.
        batch_size: pictures a process takes a step.
        workers: processes that make batches ahead of each training process, as a GPU would else wait for them; 0: it
            makes its own. The weights are the same.
        optimizer: timm's name of it, such as "adamw" or "muon".
        learning_rate: the peak; it rises over `warmup_steps` and falls to 0 as a half cosine over the last
            `decay_steps`, by default all that follow.
        ema_halflife_steps: half-life of the weights' exponential moving average, which is what gets saved.
        max_gradient_norm: gradients are clipped to this norm.
        mixed_precision: "no", "bf16", or "auto": bf16 where the machine computes in it fast (GPUs, and CPUs with
            AVX512-BF16 or AMX).
        save_half: store the weights of `best/` as float16; they are computed with in float32 all the same.
        log_every, evaluate_every, checkpoint_every: in steps.
        teachers: recognition only: saved models' folders or Hub names, in a stage names of stages before it. The
            classifier learns their mean score instead of the labels, see `distillation_loss`.
        stages: trainings one after the other, each from the weights that the one before publishes, or by `init: []`
            from nothing: a `name` and what is different from the fields above. Without stages the config is one
            training.
    """

    task: Literal["editing", "recognition"]
    output_dir: str
    steps: NonNegativeInt = 0
    model: dict[str, Any] = field(default_factory=dict)
    losses: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    init: str | list[str] | None = None
    frozen: list[str] = field(default_factory=list)
    teachers: list[str] = field(default_factory=list)
    seed: int = 0
    batch_size: Annotated[int, Field(ge=2)] = 32  # batch normalisation has no variance of one picture
    workers: NonNegativeInt = 0
    optimizer: str = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: NonNegativeFloat = 0.01
    discriminator_learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    warmup_steps: NonNegativeInt = 100
    decay_steps: PositiveInt | None = None
    ema_halflife_steps: PositiveInt = 100
    max_gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    mixed_precision: Literal["no", "bf16", "auto"] = "auto"
    save_half: bool = False
    log_every: PositiveInt = 20
    evaluate_every: PositiveInt = 500
    checkpoint_every: PositiveInt = 500
    stages: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self):
        if self.stages:  # each is checked as it will run
            self.as_stages()
            return
        if self.steps < 1:
            raise ConfigError(f"steps must be at least 1; got {self.steps}.")
        CardFacts(**self.card)  # a card that cannot be written is better known before the training than after
        if self.optimizer not in list_optimizers():
            raise ConfigError(f"optimizer is a name of timm's, such as 'adamw' or 'muon'; got {self.optimizer!r}.")
        if self.teachers and self.task != "recognition":
            raise ConfigError("teachers are for recognition: an edit has no scores to learn.")
        settings = self.settings()
        if self.frozen:
            with torch.device("meta"):
                network = MODELS[self.task](settings.model)
            for name in self.frozen:
                submodule(network, name)

    def settings(self) -> Settings:
        """The task's part of the config, checked; nothing is read from the disk or the Hub.

        Raises:
            ConfigError: if a field is unknown or out of range; the sentence names it.
        """
        parts = (self.model, self.losses, self.data)
        settings = Settings(*(kind(**values) for kind, values in zip(SETTINGS[self.task], parts, strict=True)))
        if self.task == "recognition" and settings.losses.beta1 and not settings.model.reconstructs:
            raise ConfigError("beta1 weighs the reconstruction, but the model's `reconstructs` is false.")
        if self.task == "recognition" and settings.losses.valence_arousal and not settings.model.valence_arousal:
            raise ConfigError("losses.valence_arousal weighs a head that the model, by its config, does not have.")
        return settings

    def resolved(self) -> dict[str, Any]:
        """All fields as JSON has them, with the defaults of the model, the losses and the data."""
        parts = {name: dataclasses.asdict(part) for name, part in vars(self.settings()).items()}
        return json.loads(json.dumps(dataclasses.asdict(self) | parts))

    def as_stages(self) -> list["TrainConfig"]:
        """The trainings to run, in order; this config itself where it names no stages."""
        if not self.stages:
            return [self]
        common = {name: value for name, value in vars(self).items() if name != "stages" and not name.startswith("_")}
        found, names = [], [stage.get("name") for stage in self.stages]
        if len(set(names)) < len(names) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
            raise ConfigError(f"Each stage needs a name of its own, of letters, digits, _ and -; got {names}.")
        for number, stage in enumerate(self.stages, 1):
            changes = {name: value for name, value in stage.items() if name != "name"}
            if misplaced := {"task", "output_dir", "stages"} & changes.keys():
                raise ConfigError(f"A stage cannot have {', '.join(sorted(misplaced))} of its own.")
            if number > 1 and changes.get("init", []) != []:
                raise ConfigError(
                    "Only the first stage may start from other weights than those of the one before; `init: []` starts "
                    "from nothing."
                )
            output_dir = f"{self.output_dir}/{number}_{stage['name']}"
            found.append(TrainConfig(**overlaid(common, changes) | {"output_dir": output_dir}))
            if unknown := [teacher for teacher in found[-1].teachers if teacher not in names[: number - 1]]:
                raise ConfigError(f"A stage's teachers are names of stages before it; {unknown[0]!r} is none.")
            common["init"] = None  # the first stage's alone
        return found


def read_config(path: Path) -> TrainConfig:
    """A YAML file as a `TrainConfig`.

    Raises:
        ConfigError: if a field is unknown, missing or out of range; the sentence names it.
    """
    try:
        return TrainConfig(**read_mapping(path))
    except ConfigError:
        raise
    except (OSError, TypeError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path.name} is not a usable training config: {' '.join(str(error).split())}.") from error


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file laid over the one that it `extends`, if any; that one's place is relative to it."""
    settings = yaml.safe_load(path.read_text())
    if not isinstance(settings, dict):
        raise ConfigError(f"{path.name} is not a usable training config: it holds no fields.")
    base = settings.pop("extends", None)
    if not isinstance(base, str | None):
        raise ConfigError(f"extends names a file; got {base!r}.")
    return settings if base is None else overlaid(read_mapping(path.parent / base), settings)


def overlaid(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, which reach into mappings and replace anything else."""
    both = [key for key in changes if isinstance(changes[key], dict) and isinstance(base.get(key), dict)]
    return base | changes | {key: overlaid(base[key], changes[key]) for key in both}


def submodule(model: nn.Module, name: str) -> nn.Module:
    """A part of the network by its name; a `ConfigError` if there is none of that name."""
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        raise ConfigError(f"frozen names parts of the network; it has no {name!r}.") from error
