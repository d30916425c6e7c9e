"""What a config's words do to a recipe and to the card of what it trains."""

from functools import partial

import pytest
import torch
from tiny_training import COMMON, RECOGNITION, make_corpora

import leed_hub.training.recipes
from leed_hub.data import load_corpus
from leed_hub.faces.alignment import to_unit
from leed_hub.training.config import TrainConfig
from leed_hub.training.run import Progress, card_facts


@pytest.fixture
def corpora(tmp_path, monkeypatch):
    folder = make_corpora(tmp_path / "corpora")
    monkeypatch.setenv("LEED_HUB_CORPORA", str(folder))
    monkeypatch.setenv("LEED_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(leed_hub.training.recipes, "load_corpus", partial(load_corpus, cache_dir=tmp_path / "datasets"))


def config(**fields) -> TrainConfig:
    return TrainConfig(**COMMON | {"output_dir": "run"} | RECOGNITION | fields)


@pytest.mark.parametrize(("repeats", "count"), [(1, 28), (3, 84), ({"train": 2}, 56), ({"test_public": 2}, 28)])
def test_an_epoch_takes_a_recognisers_pictures_as_often_as_their_corpus_says(repeats, count, corpora):
    data = RECOGNITION["data"]
    corpus = data["corpora"][0] | {"repeats": repeats}
    feed = leed_hub.training.recipes.build_recipe(config(data=data | {"corpora": [corpus]})).feed
    assert len(feed) == count
    pictures = feed.images[torch.arange(count)].flatten(1)
    assert len(pictures.unique(dim=0)) == len(pictures[:28].unique(dim=0))


@pytest.mark.parametrize(("processes", "words"), [(1, "batches of 8, "), (2, "batches of 8 in each of 2 processes, ")])
def test_a_card_says_how_many_processes_trained(processes, words):
    run = {"processes": processes, "commit": "", "corpora": {}, "command": "train"}
    facts = card_facts(config(), run, {}, Progress(), 3, 0.0)
    assert words in facts.training_notes and "commit `unknown`" in facts.training_notes


def test_a_recogniser_is_finished_by_erasure_where_the_config_says_so(corpora):
    assert leed_hub.training.recipes.build_recipe(config()).finish is None
    recipe = leed_hub.training.recipes.build_recipe(config(data=RECOGNITION["data"] | {"erase_leakage": True}))
    before = recipe.model.eval()
    after = recipe.finish(before)
    images = to_unit(recipe.feed.images[torch.arange(len(recipe.feed))])
    with torch.no_grad():
        apart = []
        for network in (before, after):
            code = network(images).non_expression_code
            of_class = [code[recipe.feed.labels == label].mean(dim=0) for label in recipe.feed.labels.unique()]
            apart.append(torch.stack(of_class).std(dim=0).mean() / code.std())
    assert apart[1] < 0.1 * apart[0]


def test_a_corpus_that_is_seen_more_often_is_erased_as_one(corpora):
    erased = []
    for repeats in (1, 3):
        corpus = RECOGNITION["data"]["corpora"][0] | {"repeats": repeats}
        data = RECOGNITION["data"] | {"erase_leakage": True, "corpora": [corpus]}
        recipe = leed_hub.training.recipes.build_recipe(config(data=data))
        torch.manual_seed(0)
        erased.append(recipe.finish(type(recipe.model)(recipe.model.config).eval()).state_dict())
    assert all(torch.equal(weight, erased[1][name]) for name, weight in erased[0].items())
