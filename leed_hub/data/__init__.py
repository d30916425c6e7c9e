"""Corpora of faces as `datasets`: files the user already has, read in place, or datasets on the Hub.

Examples:
    >>> faces = load_corpus("fer2013", "corpora/fer2013.zip", "train")
    >>> faces[0]["image"], faces.features["label"].names
    >>> pairs = load_corpus("org/name", None, "validation", config="pairs")
"""

import os
import re

from leed_hub.errors import CorpusError, needs_extra

with needs_extra("train", "Reading corpora"):
    import datasets

    from leed_hub.data.corpora.affectnet import AffectNet
    from leed_hub.data.corpora.cfee import CFEE
    from leed_hub.data.corpora.corpus import CorpusBuilder
    from leed_hub.data.corpora.facial_expressions import FacialExpressions
    from leed_hub.data.corpora.fer2013 import FER2013
    from leed_hub.data.corpora.folder import Folder
    from leed_hub.data.corpora.london import London
    from leed_hub.data.corpora.rafd import RaFD
    from leed_hub.data.corpora.rafdb import RAFDB
    from leed_hub.data.corpora.rendered_faces import RenderedFaces
    from leed_hub.data.corpora.rendered_people import RenderedPeople
    from leed_hub.data.hub_datasets import HubDataset

CORPORA: dict[str, type[CorpusBuilder]] = {
    "affectnet": AffectNet,
    "cfee": CFEE,
    "facial_expressions": FacialExpressions,
    "fer2013": FER2013,
    "folder": Folder,
    "london": London,
    "rafd": RaFD,
    "rafdb": RAFDB,
    "rendered_faces": RenderedFaces,
    "rendered_people": RenderedPeople,
}

__all__ = ["CORPORA", "CorpusBuilder", "corpus_kind", "load_corpus"]


def load_corpus(
    name: str,
    data_dir: str | os.PathLike | None,
    split: str,
    *,
    config: str | None = None,
    streaming: bool = False,
    cache_dir: str | os.PathLike | None = None,
    token: str | bool | None = None,
) -> datasets.Dataset | datasets.IterableDataset:
    """Read one split of a corpus.

    Args:
        name: a key of `CORPORA`, or "org/name" or "org/name@revision" of a Hub dataset that `push_corpus` made.
        data_dir: the corpus' folder or, for `fer2013` and `facial_expressions` also as published, its zip archive; not
            looked at for a Hub dataset, which is downloaded.
        split: a split of the corpus, several joined by "+", or a part such as "train[:100]" (not when streaming).
        config: for `affectnet` "eight" or "seven", for the rendered corpora "faces" or "pairs"; the first if None.
        streaming: read while iterating instead of building a table in the cache first.
        cache_dir: where tables are kept; the `datasets` default if None.
        token: for a Hub dataset; None for the saved one.
    Returns:
        datasets.Dataset | datasets.IterableDataset: rows with at least `image`, `label` (of `EXPRESSIONS`, -1 where the
        corpus gives none), `subject` (None where unknown) and `file` (relative to `data_dir`).
    Raises:
        CorpusError: if a name is unknown, the files are not laid out as expected, or the split holds no picture.
        HubError: if the Hub refuses or cannot be reached.
    """
    on_hub = HubDataset.find(name, token=token) if "/" in name else None
    known = on_hub.about.rows if on_hub else CORPORA[known_corpus(name)].splits
    config = config or next(iter(known))
    if config not in known:
        raise CorpusError(f"{name} has no config {config!r}; choose one of {', '.join(known)}.")
    parts = [re.fullmatch(r"\s*(\w+)\s*(\[[^\]]*\])?\s*", part) for part in split.split("+")]
    wanted = {part[1] if part else split for part in parts}
    for unknown in sorted(wanted - set(known[config])):
        raise CorpusError(f"{name} has no split {unknown!r}; choose from {', '.join(known[config])}.")
    if streaming and any(part[2] for part in parts if part):
        raise CorpusError(f"{name}: streaming reads whole splits, so {split!r} cannot be cut; use .take(n) instead.")

    if on_hub:
        place, builder = "the Hub", on_hub.builder(config, wanted, cache_dir)
    else:
        if data_dir is None:
            raise CorpusError(f"Which folder or archive holds {name}? Give it as data_dir (--data-dir).")
        builder = CORPORA[name](data_dir=str(data_dir), config_name=config, cache_dir=cache_dir and str(cache_dir))
        place, present = builder.files.location, builder.present_splits()
        if not wanted <= set(present):
            raise builder.layout_error(place, f"only {', '.join(present)}" if present else "another part of it")
    if streaming:
        return builder.as_streaming_dataset("+".join(part[1] for part in parts if part))
    try:
        builder.download_and_prepare()
    except datasets.exceptions.DatasetGenerationError as error:
        cause = _first_cause(error)
        if isinstance(cause, CorpusError):
            raise cause from None
        raise CorpusError(f"{name} could not be read from {place}: {type(cause).__name__}: {cause}") from error
    if not any(builder.info.splits[part].num_examples for part in wanted):
        raise CorpusError(f"{name}: no picture of the split {split!r} is in {place}.")
    try:
        return builder.as_dataset(split=split)
    except ValueError as error:  # of a cut such as "train[5:2]"
        raise CorpusError(f"{name}: the split {split!r} cannot be read: {error}") from error


def corpus_kind(name: str, *, token: str | bool | None = None) -> str:
    """The key of `CORPORA` whose rows a corpus has: the name itself, or what a Hub dataset "org/name" was made from.

    Raises:
        CorpusError, HubError: as `load_corpus` does.
    """
    return known_corpus(HubDataset.find(name, token=token).about.corpus if "/" in name else name)


def known_corpus(name: str) -> str:
    """The name, if it is one of `CORPORA`; else a `CorpusError`."""
    if name not in CORPORA:
        raise CorpusError(
            f"There is no corpus {name!r}; choose one of {', '.join(CORPORA)}, or ORG/NAME of a dataset on the Hub."
        )
    return name


def _first_cause(error: BaseException) -> BaseException:
    """What `datasets` wrapped: our own error if there is one, else the one that came first."""
    while not isinstance(error, CorpusError) and (before := error.__cause__ or error.__context__):
        error = before
    return error
