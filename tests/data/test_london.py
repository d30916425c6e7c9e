"""The Face Research Lab London Set."""

from leed_hub.data.corpora.london import VALIDATION_PERSONS
from leed_hub.models.labels import EXPRESSIONS


def test_labels_follow_the_folder_and_facts_the_table(make, load):
    rows = list(load("london", make("london"), "train+validation"))
    assert {(row["file"].split("/")[0], EXPRESSIONS[row["label"]]) for row in rows} == {
        ("neutral_front", "neutral"),
        ("smiling_front", "happiness"),
    }
    facts = {row["subject"]: (row["age"], row["gender"], row["ethnicity"]) for row in rows}
    assert facts == {"001": (24, "female", "white"), "002": (None, "male", None), "005": (None, None, None)}


def test_only_neutral_faces_have_landmarks(make, load):
    for row in load("london", make("london"), "train"):
        if row["file"].startswith("neutral"):
            assert len(row["landmarks"]) == 189
            assert row["landmarks"][:2] == [[0.5, 1.0], [1.5, 2.0]]
        else:
            assert row["landmarks"] is None


def test_the_table_of_persons_may_be_missing(make, load):
    folder = make("london")
    (folder / "london_info.csv").unlink()
    assert set(load("london", folder, "train")["age"][:]) == {None}


def test_shared_corpus(corpora, load_shared):
    train = load_shared("london", corpora / "london", "train")
    validation = load_shared("london", corpora / "london", "validation")
    assert (len(train), len(validation)) == (144, 16)
    assert set(validation["subject"][:]) == set(VALIDATION_PERSONS)
    assert len(set(train["subject"][:]) | set(validation["subject"][:])) == 80
    assert {row["subject"] for row in train.remove_columns("image") if row["age"] is None} == {"031"}  # says NA
    for row in validation.remove_columns("image"):
        assert (row["landmarks"] is None) == (EXPRESSIONS[row["label"]] == "happiness")
        assert row["landmarks"] is None or all(0 < value < 512 for point in row["landmarks"] for value in point)
