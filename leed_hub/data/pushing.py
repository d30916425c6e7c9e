"""Send a corpus to the Hub as a dataset: parquet files with the pictures' own bytes, a manifest and a card."""

import json
import os
import tempfile
from pathlib import Path

import datasets
import jinja2
import pyarrow
import pyarrow.parquet
from datasets.info import DatasetInfosDict
from datasets.splits import SplitDict, SplitInfo
from datasets.table import embed_table_storage
from huggingface_hub import DatasetCardData

from leed_hub.data import CORPORA, known_corpus, load_corpus
from leed_hub.data.corpora.london import VALIDATION_PERSONS
from leed_hub.data.fingerprint import corpus_fingerprint
from leed_hub.data.hub_datasets import MANIFEST, HubCorpus
from leed_hub.errors import CorpusError
from leed_hub.hub import CARD, push_files, writing_token
from leed_hub.models.labels import EXPRESSIONS

CARDS = Path(__file__).with_name("cards")
BATCH_ROWS = 256
SHARD_BYTES = 400_000_000  # a file is closed once its rows take more
BLENDSHAPE_NAMES = "blendshape_names.json"  # beside the tables of a rendered corpus


def push_corpus(
    name: str,
    data_dir: str | os.PathLike,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool = False,
    revision: str | None = None,
) -> str:
    """Send a corpus to the Hub in one commit, as a dataset that `load_corpus(repo_id, None, split)` reads back.

    Args:
        name: a key of `CORPORA` that may be passed on.
        data_dir: the corpus' folder or archive.
        repo_id, token, private, revision: as for `leed_hub.hub.push_folder`.
    Returns:
        str: address of the commit; of the newest one where nothing has changed.
    Raises:
        CorpusError: if the corpus may not be passed on or is not whole; nothing has been sent then.
        HubError: if the Hub refuses or cannot be reached.
    """
    about = CORPORA[known_corpus(name)].about
    if not about.may_be_passed_on:
        allowed = ", ".join(key for key, builder in CORPORA.items() if builder.about.may_be_passed_on)
        raise CorpusError(
            f"leed_hub may not pass {name} on to the Hub (licence: {about.licence}); it may: {allowed}. {about.access}"
        )
    token = writing_token(token)
    with tempfile.TemporaryDirectory(prefix="leed_hub_") as folder:
        contents = write_corpus(name, data_dir, Path(folder))
        return push_files(
            contents,
            repo_id,
            commit_message=f"Push {name} with leed_hub",
            repo_type="dataset",
            token=token,
            private=private,
            revision=revision,
            replaced_suffix=".parquet",
        )


def write_corpus(name: str, data_dir: str | os.PathLike, folder: Path) -> dict[str, Path]:
    """Write what `push_corpus` sends: name in the repository -> file below `folder`."""
    splits, infos, persons = CORPORA[name].splits, {}, {}
    rows: dict[str, dict[str, int]] = {config: {} for config in splits}
    shards: dict[str, dict[str, list[str]]] = {config: {} for config in splits}
    for config, names in splits.items():
        sizes = SplitDict()
        for split in names:
            table = load_corpus(name, data_dir, split, config=config)
            shards[config][split], size = _write_shards(table, folder, f"{config}/{split}")
            rows[config][split] = len(table)
            persons[config, split] = _count_persons(table)
            sizes[split] = SplitInfo(split, num_bytes=size, num_examples=len(table))
        stored = sum((folder / shard).stat().st_size for of_split in shards[config].values() for shard in of_split)
        total = sum(split.num_bytes for split in sizes.values())
        infos[config] = datasets.DatasetInfo(
            features=table.features, splits=sizes, download_size=stored, dataset_size=total
        )
    manifest = HubCorpus(corpus=name, fingerprint=corpus_fingerprint(name, data_dir), rows=rows, shards=shards)
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    (folder / CARD).write_text(_card(manifest, infos, persons, _blendshape_names(name, data_dir)), encoding="utf-8")
    files = [shard for of_config in shards.values() for of_split in of_config.values() for shard in of_split]
    return {file: folder / file for file in (*files, MANIFEST, CARD)}


def _write_shards(table: datasets.Dataset, folder: Path, stem: str) -> tuple[list[str], int]:
    """Write a split, the same rows always as the same bytes; the files' names, and its size in memory."""
    names: list[str] = []
    size = 0
    schema = table.features.arrow_schema  # with the features in its metadata
    rows = table.with_format("arrow")
    writer: pyarrow.parquet.ParquetWriter | None = None
    room = 0
    (folder / stem).parent.mkdir(parents=True, exist_ok=True)
    try:
        for start in range(0, len(rows), BATCH_ROWS):
            if writer is None or room <= 0:
                if writer:
                    writer.close()
                names.append(f"{stem}-{len(names):05d}.parquet")
                writer, room = pyarrow.parquet.ParquetWriter(folder / names[-1], schema), SHARD_BYTES
            batch: pyarrow.Table = embed_table_storage(rows[start : start + BATCH_ROWS].cast(schema))
            writer.write_table(batch)
            room -= batch.nbytes
            size += batch.nbytes
    finally:
        if writer:
            writer.close()
    return names, size


def _count_persons(table: datasets.Dataset) -> int:
    """How many real persons' photographs are in a split."""
    if "persons" in table.column_names:
        return len({person for persons in table["persons"][:] for person in persons})
    columns = [column for column in ("subject", "source_subject", "reference_subject") if column in table.column_names]
    return len({person for column in columns for person in table[column][:]})


def _blendshape_names(name: str, data_dir: str | os.PathLike) -> list[str]:
    """In the order of the weights, from the first list of them in the corpus."""
    files = CORPORA[name](data_dir=str(data_dir)).files
    lists = [file for file in files.names if file.rsplit("/", 1)[-1] == BLENDSHAPE_NAMES]
    return json.loads(files.read(lists[0])) if lists else []


def _card(manifest: HubCorpus, infos: dict, persons: dict, blendshapes: list[str]) -> str:
    """The dataset card, front matter included."""
    about = CORPORA[manifest.corpus].about
    data = DatasetCardData(
        pretty_name=about.title,
        license=["cc-by-4.0", "mit"],
        task_categories=["image-to-image", "image-classification"],
        tags=["faces", "facial-expression", "blendshapes", "synthetic", "leed_hub"],
        annotations_creators=["machine-generated"],
        size_categories=[_size_category(sum(sum(of_split.values()) for of_split in manifest.rows.values()))],
        configs=[
            {
                "config_name": config,
                "data_files": [{"split": split, "path": shards} for split, shards in of_config.items()],
            }
            | ({"default": True} if number == 0 else {})
            for number, (config, of_config) in enumerate(manifest.shards.items())
        ],
    )
    DatasetInfosDict(infos).to_dataset_card_data(data)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(CARDS))
    text = environment.get_template(f"{manifest.corpus}.md").render(
        card_data=str(data),
        splits=[
            {"config": config, "split": split, "rows": count, "persons": persons[config, split]}
            for config, of_config in manifest.rows.items()
            for split, count in of_config.items()
        ],
        labels=", ".join(f"{number} {label}" for number, label in enumerate(EXPRESSIONS)),
        blendshapes=", ".join(blendshapes) or "that of ICT-FaceKit",
        held_out=", ".join(VALIDATION_PERSONS),
        fingerprint=manifest.fingerprint,
        citation=about.citation,
    )
    return text + "\n"


def _size_category(rows: int) -> str:
    """As the Hub names sizes."""
    bounds = (1_000, 10_000, 100_000, 1_000_000)
    names = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M")
    return names[sum(rows >= bound for bound in bounds)]
