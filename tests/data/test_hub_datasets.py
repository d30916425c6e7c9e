"""Corpora that go to a Hub on the loopback interface and come back; each client is a fresh process."""

import json

import pytest
from hub_server import READ_TOKEN, TOKEN, LoopbackHub

from leed_hub.data.hub_datasets import HubCorpus

PUSH = """
from leed_hub.cli import app
app({arguments!r})
"""
# Every split of every config, from the Hub and from the folder: features, values and the pictures' own bytes.
COMPARE = """
import datasets
from leed_hub.data import CORPORA, corpus_kind, load_corpus
def undecoded(rows):
    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return list(rows)
def plain(row):
    whole = lambda value: isinstance(value, dict) and (value["bytes"] or open(value["path"], "rb").read())
    return {{name: whole(value) or value for name, value in row.items()}}
assert corpus_kind("org/copy") == {name!r}
for config, splits in CORPORA[{name!r}].splits.items():
    for split in splits:
        here = load_corpus({name!r}, {folder!r}, split, config=config)
        there = load_corpus("org/copy", None, split, config=config)
        assert there.features == here.features
        assert list(map(plain, undecoded(there))) == list(map(plain, undecoded(here)))
        stream = load_corpus("org/copy", None, split, config=config, streaming=True)
        assert list(undecoded(stream)) == list(undecoded(there))
both = "+".join(CORPORA[{name!r}].splits["faces"][:2])
assert len(load_corpus("org/copy", {folder!r}, both)) == len(load_corpus({name!r}, {folder!r}, both))
assert load_corpus("org/copy", None, splits[0] + "[:1]", config=config)[0][{picture!r}].size == (32, 32)
print("equal")
"""
LOAD = """
import json
from leed_hub.data import load_corpus
from leed_hub.errors import LeedHubError
for name, split, options in json.loads({cases!r}):
    try:
        print(len(load_corpus(name, None, split, **options)))
    except LeedHubError as error:
        print(f"{{type(error).__name__}}: {{error}}")
"""


@pytest.fixture
def hub():
    with LoopbackHub() as hub:
        yield hub


def push(hub, home, name, folder, *options, token=TOKEN):
    """The process of `leed-hub push-corpus`."""
    return hub.run_client(PUSH.format(arguments=["push-corpus", name, str(folder), "org/copy", *options]), home, token)


def load(hub, home, *cases, token=TOKEN, **environment):
    """A line for each (name, split, options): the number of rows, or the error."""
    client = hub.run_client(LOAD.format(cases=json.dumps(cases)), home, token, **environment)
    assert client.returncode == 0, client.stderr
    return client.stdout.splitlines()


EVALUATE = """
from types import SimpleNamespace
import torch
from leed_hub.evaluation import Recognition
class Reader:
    labels = ("neutral", "happiness")
    def encode_crops(self, crops):
        logits = torch.eye(2)[[0] * len(crops)]
        return SimpleNamespace(logits=logits, expression_code=logits, non_expression_code=None)
print(Recognition(corpus="org/copy", split="posed", probe_split="none").run(Reader())["n"])
"""


@pytest.fixture
def pushed(hub, make, tmp_path):
    """The repository of the rendered people."""
    client = push(hub, tmp_path / "pusher", "rendered_people", make("rendered_people"))
    assert client.returncode == 0, client.stderr
    return hub.repositories["datasets/org/copy"]


@pytest.mark.parametrize("name", ["rendered_faces", "rendered_people"])
def test_rows_from_the_hub_equal_those_of_the_folder(hub, make, tmp_path, name):
    folder = make(name)
    client = push(hub, tmp_path, name, folder)
    repository = hub.repositories["datasets/org/copy"]
    assert client.stdout.strip() == f"{hub.url}/datasets/org/copy/commit/{repository.branches['main']}"
    assert 'load_dataset("org/copy", "faces")' in repository.head["README.md"].content.decode()
    compared = hub.run_client(COMPARE.format(name=name, folder=str(folder), picture="target"), tmp_path / "other")
    assert compared.stdout == "equal\n", compared.stderr


def test_the_cards_own_snippet_works_without_leed_hub(hub, pushed, tmp_path):
    code = 'import datasets\nprint({s: len(r) for s, r in datasets.load_dataset("org/copy", "faces").items()})'
    client = hub.run_client(code, tmp_path)
    assert client.stdout == "{'posed': 5, 'photographs': 3}\n", client.stderr


def test_evaluations_take_a_corpus_of_the_hub_too(hub, pushed, tmp_path):
    client = hub.run_client(EVALUATE, tmp_path)
    assert client.stdout == "4\n", client.stderr  # the fifth face has no name


def test_a_second_push_sends_nothing_and_a_smaller_one_removes_what_is_left_over(hub, make, pushed, tmp_path):
    commits = len(pushed.commits)
    assert push(hub, tmp_path / "pusher", "rendered_people", tmp_path / "rendered_people").returncode == 0
    assert len(pushed.commits) == commits
    pushed.put({**{name: file.content for name, file in pushed.head.items()}, "faces/posed-00001.parquet": b"old"})
    assert push(hub, tmp_path / "pusher", "rendered_people", tmp_path / "rendered_people").returncode == 0
    assert "faces/posed-00001.parquet" not in pushed.head and "faces/posed-00000.parquet" in pushed.head


def test_revision_offline_and_a_moved_branch(hub, pushed, tmp_path):
    old = pushed.branches["main"]
    assert load(hub, tmp_path, ["org/copy", "posed", {}]) == ["5"]
    asked = len(hub.log)
    offline = [["org/copy", "posed", {}], ["org/copy", "photographs", {}], ["org/other", "posed", {}]]
    first, second, third = load(hub, tmp_path, *offline, HF_HUB_OFFLINE="1")
    assert first == "5" and len(hub.log) == asked
    assert second.startswith("HubError: org/copy") and "hf download --repo-type dataset org/copy" in second
    assert third.startswith("HubError: org/other is not in the cache")
    pushed.put({"README.md": b"emptied"})
    gone, kept, unknown = load(
        hub,
        tmp_path,
        ["org/copy", "posed", {}],
        [f"org/copy@{old}", "photographs", {}],
        ["org/copy@v9", "posed", {}],
    )
    assert gone == "CorpusError: The Hub dataset org/copy has no corpus.json."
    assert kept == "3"
    assert unknown.startswith("HubError: org/copy has no revision 'v9'") and "/datasets/org/copy/commits" in unknown


def test_wrong_names_and_tokens_are_told_in_one_sentence(hub, pushed, tmp_path):
    pushed.is_private = True
    missing, split, config, cut = load(
        hub,
        tmp_path,
        ["org/other", "posed", {}],
        ["org/copy", "train", {}],
        ["org/copy", "posed", {"config": "eight"}],
        ["org/copy", "posed[:0]", {}],
    )
    assert missing == (
        "HubError: The Hub shows you no dataset org/other: check the spelling, or run `hf auth login` if it is private."
    )
    assert split == "CorpusError: org/copy has no split 'train'; choose from posed, photographs."
    assert config == "CorpusError: org/copy has no config 'eight'; choose one of faces, pairs."
    assert cut.startswith("CorpusError: org/copy: the split 'posed[:0]' cannot be read")
    cases = ["org/copy", "posed", {}], ["org/copy", "posed", {"token": READ_TOKEN}]
    without, given = load(hub, tmp_path / "stranger", *cases, token=None)
    assert without.startswith("HubError: ") and given == "5"


def test_broken_shards_and_manifests_are_told_by_name(hub, pushed, tmp_path):
    files = {name: file.content for name, file in pushed.head.items()}
    pushed.put({**files, "faces/posed-00000.parquet": files["faces/posed-00000.parquet"][:-9]})
    (broken,) = load(hub, tmp_path, ["org/copy", "posed", {}])
    assert broken.startswith("CorpusError: ") and "posed-00000.parquet of the Hub dataset org/copy is broken" in broken
    pushed.put({**files, "faces/posed-00000.parquet": files["faces/photographs-00000.parquet"]})
    (mixed,) = load(hub, tmp_path, ["org/copy", "posed", {}])
    assert mixed == (
        "CorpusError: The Hub dataset org/copy has 3 rows of faces/posed where its corpus.json says 5: push it again."
    )
    pushed.put({**files, "corpus.json": b"[]"})
    (foreign,) = load(hub, tmp_path, ["org/copy", "posed", {}])
    assert foreign.startswith("CorpusError: The corpus.json of the Hub dataset org/copy is not what push_corpus writes")


def test_push_refuses_a_public_repository_a_reading_token_and_a_foreign_corpus(hub, make, tmp_path):
    hub.add("datasets/org/copy", {})
    folder = make("rendered_people")
    client = push(hub, tmp_path, "rendered_people", folder, "--private")
    assert client.returncode == 2 and "Error: org/copy exists and is public" in client.stderr
    client = push(hub, tmp_path, "rendered_people", folder, token=READ_TOKEN)
    assert client.returncode == 2 and "Error: Your token may not write to org/copy" in client.stderr
    asked = len(hub.log)
    client = push(hub, tmp_path, "london", make("london"))
    assert client.returncode == 2 and "Error: leed_hub may not pass london on to the Hub" in client.stderr
    assert len(hub.log) == asked and hub.repositories["datasets/org/copy"].head == {}


def test_a_manifest_names_no_file_but_its_own_shards():
    rows, shards = {"faces": {"train": 1}}, {"faces": {"train": ["faces/train-00000.parquet"]}}
    good = {"corpus": "rendered_faces", "fingerprint": "0" * 16, "rows": rows, "shards": shards}
    assert HubCorpus.from_json(json.dumps(good)).shards == shards
    for bad in ("../train-00000.parquet", "faces/train-00000.pkl", "pairs/train-00000.parquet", "/etc/passwd"):
        with pytest.raises(ValueError, match="faces/train"):
            HubCorpus.from_json(json.dumps(good | {"shards": {"faces": {"train": [bad]}}}))
    for bad in ({**good, "rows": 3}, {**good, "more": 1}, {**good, "shards": {}}, [good], "x"):
        with pytest.raises(ValueError, match="not what push_corpus writes"):
            HubCorpus.from_json(json.dumps(bad))
