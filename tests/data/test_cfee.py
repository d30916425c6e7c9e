"""Compound Facial Expressions of Emotion."""

import pytest

from leed_hub.data.corpora.cfee import COMPOUND
from leed_hub.errors import CorpusError
from leed_hub.models.labels import EXPRESSIONS, UNLABELLED


def test_basic_numbers_are_labelled_and_unknown_ones_stay_open(make, load):
    rows = load("cfee", make("cfee"), "train+validation").remove_columns("image")
    facts = {(row["category"], row["label"], row["compound"]) for row in rows}
    assert facts == {(2, EXPRESSIONS.index("happiness"), COMPOUND.index("happy")), (8, UNLABELLED, UNLABELLED)}
    assert {row["subject"] for row in rows} == {str(person) for person in range(100, 130)}


def test_a_key_names_the_other_numbers(make, load):
    folder = make("cfee")
    (folder / "categories.csv").write_text("number,name\n8,Happily surprised\n")
    rows = load("cfee", folder, "train").remove_columns("image")
    assert {row["compound"] for row in rows if row["category"] == 8} == {COMPOUND.index("happily surprised")}
    assert {row["label"] for row in rows if row["category"] == 8} == {UNLABELLED}


def test_a_key_with_an_unknown_name_is_refused(make, load):
    folder = make("cfee")
    (folder / "categories.csv").write_text("8,Joyfully surprised\n")
    with pytest.raises(CorpusError, match="the name 'joyfully surprised', which is none of the 22"):
        load("cfee", folder, "train")


def test_there_are_22_categories():
    assert len(COMPOUND) == len(set(COMPOUND)) == 22
