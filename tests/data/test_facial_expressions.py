"""The facial_expressions repository."""

from collections import Counter

from leed_hub.data.corpora.facial_expressions import person_of
from leed_hub.models.labels import EXPRESSIONS


def test_person_is_the_name_without_its_number():
    assert person_of("George_W_Bush_0012.jpg") == "George_W_Bush"
    assert person_of("Avinash_30.jpg") == "Avinash"
    assert person_of("facial-expressions_2868582k.jpg") is None


def test_spellings_of_either_case_mean_the_same(make, load):
    folder = make("facial_expressions")
    rows = load("facial_expressions", folder, "train+test")
    assert Counter(EXPRESSIONS[label] for label in rows["label"][:]) == {
        "happiness": 20,
        "neutral": 20,
        "anger": 20,
        "disgust": 1,
    }
    nameless = [row for row in rows if row["subject"] is None]
    assert [row["file"] for row in nameless] == ["images/facial-expressions_2868582k.jpg"]


def test_zip_equals_folder_and_the_split_is_stable(make, load, zip_folder):
    folder = make("facial_expressions")
    archive = zip_folder(folder, "facial_expressions-master/")
    for split in ("train", "test"):
        assert list(load("facial_expressions", archive, split)) == list(load("facial_expressions", folder, split))
    # Written down once: a change here would mix old training persons into new test sets.
    persons = {subject for subject in load("facial_expressions", folder, "test")["subject"][:] if subject}
    assert persons == {"Person_0", "Person_1", "Person_2", "Person_16"}


def test_doubtful_rows_are_skipped_with_a_count(make, load, draw_face, caplog):
    folder = make("facial_expressions")
    train = load("facial_expressions", folder, "train")
    same, contradicted, *_ = train["file"][:]
    missing, odd = f"{train[2]['subject']}_7777.jpg", f"{train[2]['subject']}_8888.jpg"
    draw_face(folder / "images" / odd, 5)
    draw_face(folder / "images" / f"{train[2]['subject']}_9999.jpg", 5)
    names = list(EXPRESSIONS)
    with (folder / "data/legend.csv").open("a") as legend:
        legend.write(f"v,{same.split('/')[1]},{names[train[0]['label']].upper()}\n")
        legend.write(f"v,{contradicted.split('/')[1]},fear\nv,{missing},fear\nv,{odd},bored\n")
    caplog.clear()
    rows = load("facial_expressions", folder, "train")
    assert set(train["file"][:]) - set(rows["file"][:]) == {contradicted}
    for count in (
        "rows said twice: 1",
        "rows that contradict each other: 2",
        "pictures missing or unreadable: 1",
        "categories outside the vocabulary: 1",
        "files no row speaks of: 1",
    ):
        assert count in caplog.text


def test_shared_corpus(corpora, load_shared):
    train = load_shared("facial_expressions", corpora / "facial_expressions.zip", "train")
    test = load_shared("facial_expressions", corpora / "facial_expressions.zip", "test")
    assert len(train) + len(test) == 5497  # 5,498 pictures, one of them labelled twice and differently
    assert 0.15 < len(test) / 5497 < 0.25
    assert not set(train["subject"][:]) & set(test["subject"][:]) - {None}
    labels = Counter(EXPRESSIONS[label] for label in [*train["label"][:], *test["label"][:]])
    assert labels == {
        "neutral": 2455,
        "happiness": 1993,
        "surprise": 329,
        "sadness": 250,
        "anger": 234,
        "disgust": 207,
        "fear": 21,
        "contempt": 8,
    }
