"""Corpora on the Hub: dataset repositories that `push_corpus` made, read as the builders read a folder.

A repository holds `corpus.json`, which says what it is, and the rows in parquet files with the pictures' own bytes
inside. No code of the repository is run and nothing in it is unpickled.
"""

import json
import os
import re
from dataclasses import asdict, dataclass
from typing import Self

import datasets
import pyarrow
import pyarrow.parquet

from leed_hub.errors import CorpusError
from leed_hub.hub import download_files

MANIFEST = "corpus.json"
_SHARD = re.compile(r"(\w+/\w+)-\d{5}\.parquet")


@dataclass(frozen=True, kw_only=True)
class HubCorpus:
    """What a repository holds; written as its `corpus.json`.

    Attributes:
        corpus: the key of `CORPORA` whose rows it has.
        fingerprint: `corpus_fingerprint` of the files it was made from.
        rows: config -> split -> number of rows.
        shards: config -> split -> parquet files, in order.
    """

    corpus: str
    fingerprint: str
    rows: dict[str, dict[str, int]]
    shards: dict[str, dict[str, list[str]]]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; a `ValueError` where it is something else."""
        try:
            found = cls(**json.loads(text))
            for config, splits in found.rows.items():
                for split, count in splits.items():
                    shards = found.shards[config][split]
                    stems = [match and match[1] for match in map(_SHARD.fullmatch, shards)]
                    if not isinstance(count, int) or set(stems) != {f"{config}/{split}"}:
                        raise ValueError(f"{config}/{split}")
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not what push_corpus writes ({type(error).__name__}: {error})") from error
        return found


@dataclass(frozen=True, kw_only=True)
class HubDataset:
    """One commit of such a repository.

    Attributes:
        repo_id, revision: where it is; the commit that was named by the revision when the manifest was read.
        about: its manifest.
        token: to read it with; None for the saved one.
    """

    repo_id: str
    revision: str
    about: HubCorpus
    token: str | bool | None = None

    @classmethod
    def find(cls, name: str, *, token: str | bool | None = None) -> Self:
        """Read the manifest of "org/name" or "org/name@revision"; from the cache where the Hub is not to be asked.

        Raises:
            HubError: if the Hub refuses or cannot be reached.
            CorpusError: if the dataset was not made by `push_corpus`.
        """
        repo_id, _, revision = name.partition("@")
        (path,) = download_files(repo_id, [MANIFEST], repo_type="dataset", revision=revision or None, token=token)
        try:
            about = HubCorpus.from_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CorpusError(f"The {MANIFEST} of the Hub dataset {repo_id} is {error}.") from error
        return cls(repo_id=repo_id, revision=path.parent.name, about=about, token=token)

    def builder(self, config: str, splits: set[str], cache_dir: str | os.PathLike | None) -> datasets.DatasetBuilder:
        """Fetch the shards of some splits, which must be whole; the builder that reads them."""
        files = {split: self.about.shards[config][split] for split in sorted(splits)}
        names = [name for shards in files.values() for name in shards]
        found = download_files(self.repo_id, names, repo_type="dataset", revision=self.revision, token=self.token)
        paths = dict(zip(names, map(str, found), strict=True))
        for split, shards in files.items():
            count = sum(self._count_rows(paths[name]) for name in shards)
            if count != self.about.rows[config][split]:
                raise CorpusError(
                    f"The Hub dataset {self.repo_id} has {count} rows of {config}/{split} where its {MANIFEST} says "
                    f"{self.about.rows[config][split]}: push it again."
                )
        return datasets.load_dataset_builder(
            "parquet",
            data_files={split: [paths[name] for name in shards] for split, shards in files.items()},
            cache_dir=cache_dir and str(cache_dir),
        )

    def _count_rows(self, path: str) -> int:
        try:
            return pyarrow.parquet.read_metadata(path).num_rows
        except (OSError, pyarrow.ArrowException) as error:
            cause = str(error).splitlines()[0]
            raise CorpusError(
                f"{path} of the Hub dataset {self.repo_id} is broken ({cause}): delete it, and it is fetched again."
            ) from error
