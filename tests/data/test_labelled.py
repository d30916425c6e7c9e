"""The recogniser's batches: right labels, right crops, right balance, repeatable."""

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from leed_hub.data.labelled import LabelledFaces, labelled_crops, warn_of_leakage
from leed_hub.faces.face import Face
from leed_hub.models.labels import EXPRESSIONS

LABELS = ("anger", "neutral")  # on purpose not in the vocabulary's order, and not all of it
CPU = torch.device("cpu")
TEMPLATE = (0.3, 0.4, 0.7, 0.4, 0.35, 0.8, 0.65, 0.8)  # eyes and mouth corners, fractions of the crop's side
FEATURES = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(EXPRESSIONS))})


def rows() -> datasets.Dataset:
    """Grey level tells the category: anger 200, neutral 50, fear 120; one row is unlabelled."""
    names = ["anger"] * 2 + ["neutral"] * 8 + ["fear"] * 3
    levels = {"anger": 200, "neutral": 50, "fear": 120}
    pictures = [Image.fromarray(np.full((20, 20), levels[name], np.uint8)) for name in names]
    labels = [EXPRESSIONS.index(name) for name in names]
    return datasets.Dataset.from_dict({"image": [*pictures, pictures[0]], "label": [*labels, -1]}, features=FEATURES)


def faces(channels: int = 1, **options) -> LabelledFaces:
    return LabelledFaces(*labelled_crops(rows(), LABELS, size=16, channels=channels)[:2], **options)


def photographs() -> datasets.Dataset:
    """Two of 120x80 with a dot at each of a face's five points; the second has no face and is red."""
    pictures = []
    for background in ((0, 0, 0), (200, 0, 0)):
        photo = np.full((80, 120, 3), background, np.uint8)
        for x, y in POINTS.astype(int):
            photo[y - 1 : y + 2, x - 1 : x + 2] = (255, 255, 255)
        pictures.append(Image.fromarray(photo))
    return datasets.Dataset.from_dict({"image": pictures, "label": [0, 6]}, features=FEATURES)


POINTS = np.float32([[70, 30], [100, 30], [85, 45], [74, 60], [96, 60]])  # eyes, nose, mouth corners


class DarkFaces:
    """A detector that knows where the points are, and finds no face on a red picture."""

    name = "dark"

    def __init__(self):
        self.seen = 0

    def __call__(self, photo: np.ndarray) -> list[Face]:
        self.seen += 1
        return [] if photo[0, 0, 0] else [Face((60, 20, 110, 70), 0.9, POINTS), Face((0, 0, 9, 9), 0.9, POINTS - 60)]


def test_rows_of_other_categories_are_left_out_and_labels_follow_the_heads_order():
    images, labels, _ = labelled_crops(rows(), LABELS, size=16, channels=1)
    assert images.shape == (10, 1, 16, 16)
    assert labels.tolist() == [0] * 2 + [1] * 8
    assert (images[labels == 0] == 200).all()
    assert (images[labels == 1] == 50).all()


def test_the_largest_face_is_laid_onto_the_template():
    images, labels, _ = labelled_crops(photographs(), LABELS, 40, 3, template=TEMPLATE, detector=DarkFaces())
    assert labels.tolist() == [1, 0]
    for x, y in np.reshape(TEMPLATE, (4, 2)):
        column, row = int(x * 40), int(y * 40)
        assert images[0, :, row - 1 : row + 1, column - 1 : column + 1].float().mean() > 150
    assert images[0].float().mean() < 50  # nothing else is bright


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_without_a_face_is_taken_whole_and_counted(channels, caplog):
    images, _, _ = labelled_crops(photographs(), LABELS, 40, channels, template=TEMPLATE, detector=DarkFaces())
    without_detector, _, _ = labelled_crops(photographs(), LABELS, 40, channels)
    assert torch.equal(images[1], without_detector[1])
    assert not torch.equal(images[0], without_detector[0])
    assert "no face found in 1 of 2 pictures" in caplog.text
    # The largest central square of 120x80 starts at x = 20, half a picture's pixel a crop's pixel.
    assert images.shape == (2, channels, 40, 40)
    red = (200, 0, 0) if channels == 3 else (round(0.299 * 200),)
    assert images[1, :, 0, 0].tolist() == list(red)
    assert images[1, :, 15, 25].float().mean() > 150  # the left eye, (70, 30)


def test_crops_are_kept_in_a_store_for_the_next_start(tmp_path):
    detector = DarkFaces()
    options = {"template": TEMPLATE, "detector": detector}
    in_memory = labelled_crops(photographs(), LABELS, 40, 3, **options)
    stored = [labelled_crops(photographs(), LABELS, 40, 3, **options, store=tmp_path / "store") for _ in range(2)]
    assert detector.seen == 4  # the second start reads the file
    for images, labels, _ in stored:
        assert torch.equal(images, in_memory[0]) and torch.equal(labels, in_memory[1])
    assert len(list(tmp_path.glob("store/*.npy"))) == 1


def test_a_store_tells_apart_whatever_changes_the_crops(tmp_path):
    def files(*args, **options) -> int:
        labelled_crops(*args, **options, store=tmp_path)
        return len(list(tmp_path.glob("*.npy")))

    aligned = {"template": TEMPLATE, "detector": DarkFaces()}
    assert files(photographs(), LABELS, 40, 3) == 1
    assert files(photographs(), LABELS, 32, 3) == 2
    assert files(photographs(), LABELS, 40, 1) == 3
    assert files(photographs(), LABELS[:1] + ("fear",), 40, 3) == 4
    assert files(rows(), LABELS, 40, 3) == 5
    assert files(photographs(), LABELS, 40, 3, **aligned) == 6
    assert files(photographs(), LABELS, 40, 3, **aligned | {"template": tuple(reversed(TEMPLATE))}) == 7


@pytest.mark.parametrize(("balance", "share"), [(0.0, 8 / 10), (0.5, 2 / 3), (1.0, 1 / 2)])
def test_balance_draws_a_category_of_n_pictures_as_often_as_n_to_the_rest(balance, share):
    """2 of anger and 8 of neutral: sqrt 2 and sqrt 8 stand 1 to 2."""
    labels = faces(balance=balance).batch(torch.arange(4000) % 10, torch.Generator().manual_seed(0), CPU)["labels"]
    assert labels.float().mean().item() == pytest.approx(share, abs=0.03)
    if balance == 0:
        assert labels[:10].tolist() == [0] * 2 + [1] * 8  # the indices themselves


def test_balanced_pictures_are_still_those_of_their_labels():
    batch = faces(balance=1.0).batch(torch.zeros(200, dtype=torch.long), torch.Generator().manual_seed(0), CPU)
    brightness = batch["images"].flatten(1).median(dim=1).values  # views are apply_color_jitter, so only in the mean
    anger, neutral = (brightness[batch["labels"] == label].mean() for label in (0, 1))
    assert anger > neutral + 0.5


def test_a_batch_repeats_itself_and_lies_in_the_unit_range():
    drawn = faces(channels=3)
    first, again = (drawn.batch(torch.arange(10), torch.Generator().manual_seed(3), CPU) for _ in range(2))
    assert torch.equal(first["images"], again["images"])
    assert first["images"].shape == (10, 3, 16, 16)
    assert first["images"].abs().max() <= 1
    assert torch.equal(first["labels"], drawn.labels)


def test_mixup_blends_each_picture_with_another_and_names_both_labels():
    feed, plain = faces(mixup=0.2), faces()
    indices = torch.arange(len(feed))
    shares = []
    for seed in range(40):
        batch = feed.batch(indices, torch.Generator().manual_seed(seed), CPU)
        unmixed = plain.batch(indices, torch.Generator().manual_seed(seed), CPU)
        share = batch["other_share"].item()
        assert torch.equal(batch["other_labels"], unmixed["labels"].roll(1))
        expected = (1 - share) * unmixed["images"] + share * unmixed["images"].roll(1, 0)
        assert torch.allclose(batch["images"], expected, atol=1e-6)
        shares.append(share)
    assert min(shares) > 0 and max(shares) <= 0.5
    assert sum(share < 0.05 for share in shares) > 20  # light: most batches keep their pictures nearly whole


def test_valence_and_arousal_come_along_where_a_corpus_annotates_them():
    affect = {"valence": [0.5, None], "arousal": [-0.25, None]}
    columns = datasets.Features({name: datasets.Value("float32") for name in affect})
    annotated = datasets.concatenate_datasets([photographs(), datasets.Dataset.from_dict(affect, columns)], axis=1)
    images, labels, numbers = labelled_crops(annotated, LABELS, 40, 3)
    assert numbers[0].tolist() == [0.5, -0.25] and numbers[1].isnan().all()
    assert labelled_crops(photographs(), LABELS, 40, 3)[2].isnan().all()
    feed = LabelledFaces(images, labels, valence_arousal=numbers)
    batch = feed.batch(torch.tensor([1, 0]), torch.Generator().manual_seed(0), CPU)
    assert batch["valence_arousal"][1].tolist() == [0.5, -0.25] and batch["valence_arousal"][0].isnan().all()


def test_pictures_and_persons_in_both_splits_are_counted(load, make, draw_face, caplog):
    folder = make("london")
    train, test = (load("london", folder, split) for split in ("train", "validation"))
    warn_of_leakage([train], [test])
    assert caplog.text == ""
    draw_face(folder / "more/again.jpg", 0).write_bytes((folder / test[0]["file"]).read_bytes())
    warn_of_leakage([train, load("folder", folder / "more", "train")], [test])
    assert "1 pictures and 0 persons of the validation split are in the training too" in caplog.text
    warn_of_leakage([train, test.select([0])], [test])
    assert "1 pictures and 1 persons of the validation" in caplog.text
