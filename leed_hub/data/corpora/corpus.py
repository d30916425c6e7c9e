"""What the builders of all corpora share: files in place, layout check, fingerprint, counted skips."""

import hashlib
import inspect
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import datasets

from leed_hub.data.corpora.files import PACKED, CorpusFiles, printed
from leed_hub.errors import CorpusError
from leed_hub.models.labels import EXPRESSIONS, UNLABELLED

logger = logging.getLogger(__name__)

POINTS = datasets.List(datasets.List(datasets.Value("float32"), length=2))  # (x, y) in pixels, any number of them
_NAMED = 3  # how many unreadable pictures a report names
NO_PICTURE = "pictures missing or unreadable"
NO_CATEGORY = "categories outside the vocabulary"
NO_ROW = "files no row speaks of"


@dataclass(frozen=True, kw_only=True)
class CorpusAbout:
    """What a user needs to know before and after getting a corpus.

    Attributes:
        title, licence, homepage, citation: for the dataset's info; the citation is BibTeX.
        layout: the files `data_dir` has to hold, in words.
        access: one sentence that says where the corpus is published or whom to ask.
        may_be_passed_on: whether leed_hub may send it to the Hub.
        weights_terms: where the licence restricts what weights trained on it may be used for, a name for these terms.
    """

    title: str
    licence: str
    homepage: str
    citation: str
    layout: str
    access: str
    may_be_passed_on: bool = False
    weights_terms: str = ""


def person_share(person: str) -> float:
    """A number in [0, 1) that depends on the person's name alone, so a split by it never changes.

    Half of the persons lie below 0.5, and so on; Python's own `hash` would change with every process.
    """
    return int.from_bytes(hashlib.sha256(person.encode()).digest()[:8], "big") / 2**64


class CorpusBuilder(datasets.GeneratorBasedBuilder):
    """Base of the builders: a subclass says what the corpus is, where its rows come from, and nothing else.

    `datasets` names a builder after its module and patches that module, hence one small module for each corpus. Its
    cache does not notice files that changed under `data_dir`; the digest passed as `hash` makes it notice.

    Args:
        data_dir: the folder or zip archive of the corpus.
        **options: as `datasets.GeneratorBasedBuilder`, such as `config_name` and `cache_dir`.
    Raises:
        CorpusError: if `data_dir` does not hold what `about.layout` says.
    """

    VERSION = datasets.Version("1.0.0")
    about: ClassVar[CorpusAbout]
    splits: ClassVar[dict[str, tuple[str, ...]]]  # of each config; "default" where there is only one

    def __init__(self, *, data_dir: str, **options):
        self.files = self._located(str(data_dir))
        self._reported: set[str] = set()
        options.setdefault("hash", self._fingerprint())
        super().__init__(data_dir=self.files.location, **options)

    @classmethod
    def recognises(cls, files: CorpusFiles) -> bool:
        """Whether the files have the corpus' layout."""
        raise NotImplementedError

    def rows(self, split: str, skipped: Counter) -> Iterator[dict]:
        """The rows of one split; columns left out become None, `label` becomes unlabelled.

        A picture column holds a file's name (or a ready entry for `datasets.Image`), and `file` is the name in
        `image` unless given. Rows that cannot be used are not yielded but counted in `skipped`, by reason.
        """
        raise NotImplementedError

    def columns(self) -> dict:
        """The features a corpus has besides `image`, `label`, `subject` and `file`."""
        return {}

    def features(self) -> datasets.Features:
        """All columns of a row."""
        return datasets.Features(
            {
                "image": datasets.Image(),
                "label": datasets.ClassLabel(names=list(EXPRESSIONS)),
                "subject": datasets.Value("string"),
                "file": datasets.Value("string"),
            }
            | self.columns()
        )

    def present_splits(self) -> tuple[str, ...]:
        """The config's splits that the files hold; all of them unless a subclass knows better."""
        return self.splits[self.config.name]

    def layout_error(self, location: str, found: str) -> CorpusError:
        """The sentence for a folder that is not laid out as expected."""
        about = self.about
        return CorpusError(f"{about.title}: expected {about.layout} in {location}, found {found}. {about.access}")

    def _located(self, location: str) -> CorpusFiles:
        """The files as laid out, perhaps below the one folder, or several nested ones, of an archive."""
        whole = CorpusFiles(location)
        files: CorpusFiles | None = whole
        while files is not None:
            if self.recognises(files):
                return files
            files = files.inner()
        top = whole.top()
        found = ", ".join(top[:6]) + (f" and {len(top) - 6} more" if len(top) > 6 else "") if top else "no files"
        if packed := [name for name in whole.names if name.lower().endswith(PACKED)]:
            found += f" (still packed: unpack {packed[0]} and give the folder it makes)"
        raise self.layout_error(whole.location, found)

    def _fingerprint(self) -> str:
        """A digest of this code and of every file's name, size and time of change."""
        digest = hashlib.sha256(str(self.VERSION).encode())
        own = {cls.__module__ for cls in type(self).__mro__ if cls.__module__.startswith("leed_hub.")}
        for module in sorted(own | {"leed_hub.data.corpora.files", "leed_hub.models.labels"}):
            digest.update(inspect.getsource(sys.modules[module]).encode())
        for stamp in self.files.stamps():
            digest.update(stamp.encode(errors="surrogateescape") + b"\n")
        return digest.hexdigest()[:32]

    def _info(self) -> datasets.DatasetInfo:
        about = self.about
        return datasets.DatasetInfo(
            description=about.title,
            features=self.features(),
            license=about.licence,
            homepage=about.homepage,
            citation=about.citation,
        )

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        return [datasets.SplitGenerator(name=name, gen_kwargs={"split": name}) for name in self.present_splits()]

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        features = self.features()
        pictures = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
        skipped: Counter = Counter()
        unreadable: list[str] = []
        for key, row in enumerate(self.rows(split, skipped)):
            row = {"file": row.get("image"), "label": UNLABELLED} | row
            named = {name: row[name] for name in pictures if isinstance(row[name], str)}
            row |= {name: self.files.picture(file) for name, file in named.items()}
            if lacking := [printed(file) for name, file in named.items() if row[name] is None]:
                unreadable += lacking
                skipped[NO_PICTURE] += 1
                continue
            for name in ("file", *(column for column in features if column.endswith("_file"))):
                if isinstance(row.get(name), str):
                    row[name] = printed(row[name])
            yield key, {name: row.get(name) for name in features}
        self._report(split, skipped, unreadable)

    def _report(self, split: str, skipped: Counter, unreadable: list[str]) -> None:
        """Say once what was left out."""
        named = f" ({', '.join(unreadable[:_NAMED])}{', ...' if len(unreadable) > _NAMED else ''})"
        counts = "; ".join(
            f"{reason}: {count}{named if reason == NO_PICTURE else ''}"
            for reason, count in sorted(skipped.items())
            if count
        )
        line = f"{self.name} ({split}): skipped {sum(skipped.values())} ({counts})"
        if counts and line not in self._reported:
            self._reported.add(line)
            logger.warning(line)
