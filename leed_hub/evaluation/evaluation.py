"""`Evaluation`, the base of every measurement: typed arguments, a run that gives numbers, and their rows in a card."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import leed_hub
from leed_hub.errors import BadImageError, NoFaceError

# Types of arguments that several measurements share; the text is the command line's help.
Detector = Annotated[str, "How faces are found: yunet, face-alignment or none."]
CropDetector = Annotated[str, "How faces are found; none: the pictures are face crops already."]
RenderedFaces = Annotated[Path, "Folder of the rendered faces."]
London = Annotated[Path, "Folder of the Face Research Lab London Set."]

RENDERED, LONDON = "Rendered faces", "Face Research Lab London Set"  # as cards name them


@contextmanager
def leaving_out(what: str) -> Iterator[None]:
    """Go on after a picture that cannot be used, with a warning that names it."""
    try:
        yield
    except (BadImageError, NoFaceError) as error:
        warnings.warn(f"Left out {what}: {error}", stacklevel=3)


@dataclass(frozen=True)
class CardRows:
    """Numbers of one result that stand in a model card under one dataset and split.

    Attributes:
        names: keys of the result's first level.
        protocol: how they were measured, in words; a template that is filled with the result's values.
        place: on which dataset and split; likewise.
    """

    names: tuple[str, ...]
    protocol: str
    place: tuple[str, str] = ("{corpus}", "{split}")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One measurement of a finished editor or recogniser.

    A field annotated with a help text is an option of `leed-hub evaluate NAME`; its name is the option's. A new
    measurement is a subclass in a module of its own and a row in `leed_hub.evaluation.EVALUATIONS`.

    Attributes:
        name: what results and cards call the measurement.
        kind: which pipeline is measured.
        finds_faces: whether that pipeline looks for faces, by the field `detector`; otherwise pictures are face crops.
        card: which numbers go into a model card.
        progress: show progress bars on stderr.
    """

    name: ClassVar[str]
    kind: ClassVar[Literal["editor", "recognizer"]]
    finds_faces: ClassVar[bool] = False
    card: ClassVar[tuple[CardRows, ...]] = ()

    model: Annotated[str | None, "A folder or ORG/NAME on the Hub; the bundled checkpoint by default."] = None
    progress: bool = False

    def load(self) -> Any:
        """Load the pipeline that is to be measured, from `model`.

        Raises:
            ModelLoadError, HubError: if the weights are missing, broken or out of reach.
        """
        pipeline_class = getattr(leed_hub, f"Expression{self.kind.title()}")
        detector = getattr(self, "detector", "none") if self.finds_faces else "none"
        return pipeline_class.from_pretrained(self.model, detector=detector)

    def run(self, *pipelines: Any, **networks: Any) -> dict:
        """Measure a pipeline; what else may be given, `measure` and the class' docstring say.

        Any object that answers the same calls as ours can be measured.

        Returns:
            dict: fit for `json`: `measured` (`name`), single numbers on the first level, details below. A value that
                cannot be computed is None.
        Raises:
            CorpusError: if a corpus is not laid out as expected.
            ConfigError: if arguments and pipeline do not fit.
        """
        import torch  # here, so that `leed-hub --help` answers at once

        with torch.inference_mode():
            return {"measured": self.name, **self.place(), **self.measure(*pipelines, **networks)}

    def place(self) -> dict:
        """On which data, for the results."""
        return {}

    def measure(self, *pipelines: Any, **networks: Any) -> dict:
        """What `run` returns, without `measured`."""
        raise NotImplementedError

    @classmethod
    def card_rows(cls, numbers: dict) -> list[dict]:
        """The numbers as rows of a model card: `dataset`, `split`, `name`, `value` (None: not measured), `protocol`."""
        rows = []
        for entry in cls.card:
            if any(numbers.get(name) is not None for name in entry.names):
                dataset, split, protocol = (text.format(**numbers) for text in (*entry.place, entry.protocol))
                rows += [
                    {"dataset": dataset, "split": split, "name": name, "value": numbers.get(name), "protocol": protocol}
                    for name in entry.names
                ]
        return rows

    @classmethod
    def card_facts(cls, numbers: dict) -> dict:
        """Fields of `CardFacts` besides `metrics` that the numbers fill."""
        return {}

    def track(self, items: Iterable, description: str, total: int | None = None) -> Iterator:
        """Go through items, with a bar on stderr if `progress`."""
        from rich.console import Console
        from rich.progress import track

        return iter(track(items, description, total, console=Console(stderr=True), disable=not self.progress))


@dataclass(frozen=True, kw_only=True)
class CorpusEvaluation(Evaluation):
    """A measurement on one split of a corpus that `leed_hub.data.load_corpus` knows."""

    corpus: Annotated[str, "Name of a corpus, such as fer2013, or ORG/NAME of one on the Hub."]
    split: Annotated[str, "Its split, such as test_private."]
    data_dir: Annotated[Path | None, "Its folder or archive; none for one on the Hub."] = None
    limit: Annotated[int | None, "At most so many pictures, drawn with a fixed seed."] = None

    def place(self) -> dict:
        return {"corpus": self.corpus, "split": self.split}
