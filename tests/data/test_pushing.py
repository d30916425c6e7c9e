"""What `push_corpus` sends, and that nothing else is sent."""

import datasets
import pyarrow.parquet
import pytest
import yaml

from leed_hub.data import CORPORA, pushing
from leed_hub.data.corpora.london import VALIDATION_PERSONS
from leed_hub.data.hub_datasets import HubCorpus
from leed_hub.data.pushing import push_corpus, write_corpus
from leed_hub.errors import CorpusError

MAY_BE_PUSHED = {"rendered_faces", "rendered_people"}


@pytest.fixture(params=sorted(MAY_BE_PUSHED))
def name(request):
    return request.param


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def write(make, tmp_path):
    """Write what would be sent of a tiny corpus."""
    data_dir = {}

    def write(name):
        folder = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        folder.mkdir()
        data_dir[name] = data_dir.get(name) or make(name)
        return write_corpus(name, data_dir[name], folder)

    return write


@pytest.mark.parametrize("name", sorted(CORPORA.keys() - MAY_BE_PUSHED))
def test_what_may_not_be_passed_on_is_refused_before_anything_is_read(name, tmp_path):
    with pytest.raises(CorpusError) as error:
        push_corpus(name, tmp_path / "missing", "org/name", token="hf_none")
    text = str(error.value)
    assert text.startswith(f"leed_hub may not pass {name} on to the Hub (licence: ")
    assert "it may: rendered_faces, rendered_people." in text and "\n" not in text


def test_an_unknown_corpus_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="There is no corpus 'faces'"):
        push_corpus("faces", tmp_path, "org/name")


def test_half_a_corpus_is_refused(make, name, tmp_path):
    folder = make(name)
    next(folder.rglob("pairs.parquet")).unlink()
    with pytest.raises(CorpusError, match="found another part of it"):
        write_corpus(name, folder, tmp_path / "out")


def test_the_card_states_licences_notices_splits_and_every_column(write, name):
    contents = write(name)
    _, front, text = contents["README.md"].read_text().split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["license"] == ["cc-by-4.0", "mit"] and front["size_categories"] == ["n<1K"]
    for words in (
        "Copyright (c) 2020 USC Institute for Creative Technologies",
        "THE SOFTWARE IS PROVIDED",
        "10.6084/m9.figshare.5047666.v5",
        "what was changed",
        "Known limits",
        "Out of scope",
        "not feelings",
        ", ".join(VALIDATION_PERSONS),
        'load_dataset("org/name", "faces")',
    ):
        assert words in text
    for config in front["configs"]:
        (info,) = (info for info in front["dataset_info"] if info["config_name"] == config["config_name"])
        counts = {split["name"]: split["num_examples"] for split in info["splits"]}
        assert counts == HubCorpus.from_json(contents["corpus.json"].read_text()).rows[config["config_name"]]
        for split in config["data_files"]:
            assert set(split["path"]) <= set(contents)
            row = f"| `{config['config_name']}` | `{split['split']}` | {counts[split['split']]} |"
            assert row in text
        for feature in info["features"]:
            column = feature["name"].removeprefix("source_").removeprefix("reference_").removeprefix("target_")
            assert f"`{column}`" in text or f"`*_{column}`" in text
    assert "{{ " not in text and "{%" not in text


def test_columns_stay_one_table(write, name):
    lines = write(name)["README.md"].read_text().splitlines()
    start = lines.index("| column | meaning |")
    table = lines[start : lines.index("", start)]
    assert any(line.startswith("| `image`") for line in table)
    assert any(line.startswith("| `setup`") for line in table)


def test_the_same_corpus_gives_the_same_bytes_without_any_folder_of_this_machine(write, name, tmp_path):
    first, second = write(name), write(name)
    assert [path.read_bytes() for path in first.values()] == [path.read_bytes() for path in second.values()]
    for path in first.values():
        assert str(tmp_path).encode() not in path.read_bytes()


def test_a_full_shard_is_followed_by_another(write, monkeypatch):
    monkeypatch.setattr(pushing, "BATCH_ROWS", 2)
    monkeypatch.setattr(pushing, "SHARD_BYTES", 1)
    contents = write("rendered_people")
    posed = [name for name in contents if name.startswith("faces/posed")]
    assert posed == [f"faces/posed-{number:05d}.parquet" for number in range(3)]
    assert [pyarrow.parquet.read_metadata(contents[name]).num_rows for name in posed] == [2, 2, 1]
    manifest = HubCorpus.from_json(contents["corpus.json"].read_text())
    assert manifest.shards["faces"]["posed"] == posed and manifest.rows["faces"]["posed"] == 5


def test_pictures_are_inside_byte_for_byte(write, name):
    contents = write(name)
    shard = next(path for file, path in contents.items() if file.startswith("faces/"))
    row = pyarrow.parquet.read_table(shard).slice(0, 1).to_pylist()[0]
    (original,) = shard.parents[2].glob(f"{name}/{row['file']}")
    assert row["image"] == {"bytes": original.read_bytes(), "path": original.name}
