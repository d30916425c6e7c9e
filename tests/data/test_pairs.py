"""Who edits whom: each recipe uses what it may know and nothing else."""

from dataclasses import replace

import pytest
import torch

from leed_hub.data.augment import Degradation
from leed_hub.data.landmarks import MIRRORED_68
from leed_hub.data.pairs import EditingPairs, FaceTable, Sampling
from leed_hub.errors import ConfigError
from leed_hub.faces.alignment import to_bytes
from leed_hub.models.leed import LEEDConfig

TEMPLATE = LEEDConfig().template
STILL = {"color_jitter_scale": 0, "affine_scale": 0, "degradation_scale": 0, "elastic": 0.0, "background_share": 0.0}


def table() -> FaceTable:
    """Persons p and q with a setup of three each (neutral and two expressions), a lone picture, and a lone wearer."""
    #              0   1   2   3   4   5   6   7
    # person       p   p   p   q   q   q   r   s
    # setup        0   0   0   1   1   1   -   -
    # expression   -   a   b   -   a   c   -   b
    landmarks = torch.full((8, 68, 2), 0.25)
    landmarks[6] = torch.nan
    return FaceTable(
        images=torch.arange(8, dtype=torch.uint8)[:, None, None, None].expand(8, 3, 32, 32) * 30,
        setup=torch.tensor([0, 0, 0, 1, 1, 1, -1, -1]),
        is_neutral=torch.tensor([True, False, False, True, False, False, False, False]),
        expression=torch.tensor([-1, 10, 11, -1, 10, 12, -1, 11]),
        person=torch.tensor([0, 0, 0, 1, 1, 1, 2, 3]),
        landmarks=landmarks,
        repeats=torch.tensor([1, 1, 1, 1, 1, 1, 1, 0]),
        corpus=torch.tensor([0, 0, 0, 0, 0, 0, 1, 0]),
    )


def edits(pairs: str, **options) -> list[tuple[int, int, int, float]]:
    """Many draws as (source, reference, target, strength), rows of the table; -row - 1 for a made-up expression."""
    feed = EditingPairs(table(), pairs, 32, TEMPLATE, Sampling(**options))
    drawn = feed.draw(torch.arange(len(feed)).repeat(200), torch.Generator().manual_seed(0))
    row = [-row - 1 if made_up >= 0 else row for row, made_up in zip(drawn.picture, drawn.made_up, strict=True)]
    return [(row[source], row[reference], row[target], strength) for source, reference, target, strength in drawn.edits]


def a_batch(pairs: str = "rendered", faces: FaceTable | None = None, seed: int = 0, count: int = 4, **options):
    feed = EditingPairs(faces or table(), pairs, 32, TEMPLATE, Sampling(**options))
    indices = torch.arange(count) % len(feed)
    return feed.batch(indices, torch.Generator().manual_seed(seed), torch.device("cpu"))


@pytest.mark.parametrize("pairs", ["neutral", "rendered"])
def test_a_target_is_the_source_person_in_the_source_setup(pairs):
    setup = table().setup.tolist()
    for source, _, target, _ in edits(pairs):
        assert target in (-source - 1, source) or setup[source] == setup[target] >= 0


def test_unrelated_pictures_have_no_mate_but_their_own_made_up_expression():
    found = set(edits("none"))
    assert {(source, target) for source, _, target, _ in found} == {
        pair for row in range(7) for pair in ((row, -row - 1), (-row - 1, row))
    }
    assert all(reference == target and strength == 1 for _, reference, target, strength in found)


def test_neutral_recipe_pairs_expressive_pictures_with_the_neutral_one_only():
    pairs = {(source, target) for source, _, target, _ in edits("neutral") if min(source, target) >= 0}
    assert pairs == {(0, 1), (0, 2), (1, 0), (2, 0), (3, 4), (3, 5), (4, 3), (5, 3)}


def test_neutral_recipe_lends_expressions_from_nobody():
    assert all(reference == target for _, reference, target, _ in edits("neutral") if target in (1, 2, 4, 5))


def test_rendered_recipe_lends_expressions_from_whoever_wears_them():
    lent = {(reference, target) for _, reference, target, _ in edits("rendered", own_reference_share=0.0)}
    assert {(4, 1), (1, 4), (7, 2)} <= lent
    assert {reference for reference, target in lent if target == 1} == {4}
    assert {reference for reference, target in lent if target == 5} == {5}  # nobody else wears it
    own = edits("rendered", own_reference_share=1.0)
    assert all(reference == target for _, reference, target, _ in own if target in (1, 2, 4, 5))


def test_a_lender_is_edited_too():
    feed = EditingPairs(table(), "rendered", 32, TEMPLATE, Sampling(own_reference_share=0.0))
    drawn = feed.draw(torch.tensor([feed.indices.index(1)]), torch.Generator().manual_seed(0))
    rows = [tuple(drawn.picture[place] for place in edit[:3]) for edit in drawn.edits]
    assert (3, 1, 4) in rows  # q's neutral face takes p's expression
    assert len(drawn.picture) < 3 * len(drawn.edits)  # pictures serve several edits


def test_an_expression_is_taken_off_by_strength_zero_or_by_a_neutral_reference():
    off = [edit for edit in edits("rendered") if edit[2] in (0, 3)]
    assert {strength for *_, strength in off} == {0.0, 1.0}
    assert all(reference in (0, 3) for _, reference, _, strength in off if strength == 1)
    assert all(target in (0, 3) for _, _, target, strength in edits("rendered") if strength == 0)


def test_only_pictures_that_are_shown_are_anchors_and_neutral_ones_come_as_mates():
    repeated = table()
    repeated.repeats[6] = 5
    feed = {pairs: EditingPairs(repeated, pairs, 32, TEMPLATE).indices for pairs in ("none", "neutral", "rendered")}
    assert torch.tensor(feed["none"]).bincount().tolist() == [1, 1, 1, 1, 1, 1, 5]
    assert torch.tensor(feed["rendered"]).bincount().tolist() == [0, 1, 1, 0, 1, 1, 5]
    assert feed["neutral"] == feed["rendered"]


def test_a_batch_tells_what_its_recipe_may_know():
    rendered, neutral, none = (
        a_batch(pairs, count=5, own_reference_share=0.0) for pairs in ("rendered", "neutral", "none")
    )
    assert (rendered["expression"] >= 0).any() and (neutral["expression"] == -1).all()
    assert rendered["is_neutral"].any() and neutral["is_neutral"].any() and not none["is_neutral"].any()
    assert (none["expression"] == -1).all()
    for batch in (rendered, neutral, none):
        for places in (batch["source"], batch["target"]):
            assert torch.equal(batch["setup"][batch["source"]], batch["setup"][places])  # one view
        assert batch["images"].shape[1:] == (3, 32, 32) and batch["images"].abs().max() <= 1
        assert len(batch["source"]) == len(batch["strength"]) == len(batch["has_target"])


def test_mirrored_expressions_are_other_expressions():
    found = {(int(number) // 2, int(number) % 2) for seed in range(8) for number in a_batch(seed=seed)["expression"]}
    assert {(10, 0), (10, 1)} <= found


def test_the_pictures_of_a_view_are_moved_lit_and_spoilt_alike():
    noise = torch.randint(256, (3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    same = replace(table(), images=noise.expand(8, 3, 32, 32).contiguous())
    batch = a_batch(faces=same, elastic=0.02, gain_field=0.2, degradation_scale=3)
    source, target = (batch["images"][batch[role]] for role in ("source", "target"))
    assert torch.equal(source, target)
    crossing = batch["setup"][batch["reference"]] != batch["setup"][batch["target"]]
    reference = batch["images"][batch["reference"]][crossing]
    assert len(reference) and ((reference - target[crossing]).abs().mean(dim=(1, 2, 3)) > 0.05).all()


@pytest.mark.parametrize(
    "scale", ["color_jitter_scale", "affine_scale", "degradation_scale", "elastic", "gain_field", "background_share"]
)
def test_each_kind_of_change_is_switched_by_its_number(scale):
    noise = torch.randint(256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    faces = replace(table(), images=noise)

    def pictures(**changes) -> torch.Tensor:
        feed = EditingPairs(faces, "rendered", 32, TEMPLATE, Sampling(**STILL | changes))
        return feed.batch(torch.arange(4), torch.Generator().manual_seed(0), torch.device("cpu"))["images"]

    as_is = to_bytes(pictures())
    rows = [picture for picture in noise] + [picture.flip(-1) for picture in noise]
    assert all(min((picture.int() - row.int()).abs().max() for row in rows) <= 1 for picture in as_is)
    assert not torch.equal(to_bytes(pictures(**{scale: 1.0})), as_is)


def test_a_studios_wall_is_covered_and_the_face_is_not():
    feed = EditingPairs(table(), "rendered", 32, TEMPLATE, Sampling(**STILL | {"background_share": 1.0}))
    batch = feed.batch(torch.arange(4), torch.Generator().manual_seed(0), torch.device("cpu"))
    flat = (batch["images"] - batch["images"][:, :, 16:17, 16:17]).abs().amax(dim=1)
    assert (flat[:, 12:24, 12:20] < 1e-3).all() and (flat[:, 0] > 1e-2).any()


def test_landmarks_go_with_their_pictures():
    dots = torch.zeros(8, 3, 64, 64, dtype=torch.uint8)
    dots[:, :, 40:43, 22:25] = 255
    points = torch.tensor([[(23 + 0.5) / 64 * 2 - 1, (41 + 0.5) / 64 * 2 - 1]]).expand(8, 68, 2)
    faces = replace(table(), images=dots, landmarks=points)
    sampling = Sampling(**STILL | {"affine_scale": 1.0, "elastic": 0.02})
    feed = EditingPairs(faces, "rendered", 64, TEMPLATE, sampling)
    batch = feed.batch(torch.arange(4), torch.Generator().manual_seed(0), torch.device("cpu"))
    brightness = (batch["images"].mean(dim=1) + 1).square()
    places = (torch.arange(64) + 0.5) / 64 * 2 - 1
    across = (brightness.sum(1) * places).sum(1) / brightness.sum((1, 2))
    down = (brightness.sum(2) * places).sum(1) / brightness.sum((1, 2))
    assert (torch.stack([across, down], 1) - batch["landmarks"][:, 0]).abs().max() < 0.5 / 32  # half a pixel


def test_a_mirrored_faces_landmarks_are_numbered_as_they_are_seen():
    points = torch.zeros(8, 68, 2)
    points[:, 36:42, 0], points[:, 42:48, 0] = -0.4, 0.4  # the eyes
    points[:, 48, 0], points[:, 54, 0] = -0.2, 0.2  # the corners of the mouth
    points[:, 37:39, 1] = -0.1  # the upper lid of the eye on the left is up
    batches = [a_batch(faces=replace(table(), landmarks=points), seed=seed, count=7, **STILL) for seed in range(4)]
    seen = torch.cat([batch["landmarks"][batch["landmarks"].isfinite().all(2).all(1)] for batch in batches])
    assert torch.allclose(seen[:, [36, 45, 48, 54], 0], torch.tensor([-0.4, 0.4, -0.2, 0.2]))
    lids = seen[:, [37, 44], 1]  # the eye that is up is on the left, or on the right of a mirrored view
    up_left, up_right = torch.tensor([-0.1, 0.0]), torch.tensor([0.0, -0.1])
    is_left, is_right = ((lids - up).abs().amax(1) < 1e-6 for up in (up_left, up_right))
    assert (is_left ^ is_right).all() and is_left.any() and is_right.any()


def test_rare_movements_are_drawn_more_often():
    count, winks = 14, 5
    points = torch.zeros(count, 68, 2)
    points[1:, 48:] = 0.1 * torch.rand(count - 1, 20, 2, generator=torch.Generator().manual_seed(0))
    points[winks, 37] = 0.05  # less far than any mouth, but lids otherwise stand still
    points[13] = torch.nan  # nothing is known of it
    faces = FaceTable(
        images=torch.zeros(count, 3, 32, 32, dtype=torch.uint8),
        setup=torch.zeros(count, dtype=torch.long),
        is_neutral=torch.arange(count) == 0,
        expression=torch.arange(count) - 1,
        person=torch.zeros(count, dtype=torch.long),
        landmarks=points,
        repeats=torch.full((count,), 2),
        corpus=torch.zeros(count, dtype=torch.long),
    )
    feed = EditingPairs(faces, "rendered", 32, TEMPLATE, Sampling(rare_repeats=3))
    assert torch.bincount(torch.tensor(feed.indices)).tolist() == [0, 2, 2, 2, 2, 6, *[2] * 8]
    assert torch.bincount(torch.tensor(EditingPairs(faces, "rendered", 32, TEMPLATE).indices)).max() == 2
    assert faces.repeats.eq(2).all()


def test_a_neutral_faces_landmarks_are_known_wherever_its_setup_is_seen():
    marked = table().landmarks.clone()
    marked[3] = -0.25  # q's neutral face
    faces = replace(table(), landmarks=marked)
    batch = a_batch(faces=faces, count=5, **STILL)
    of_q = batch["person"] == 1
    assert torch.allclose(batch["neutral_landmarks"][of_q][..., 1], torch.tensor(-0.25))
    of_p = batch["person"] == 0
    assert torch.allclose(batch["neutral_landmarks"][of_p][..., 1], torch.tensor(0.25))
    assert batch["neutral_landmarks"][batch["person"] >= 2].isnan().all()  # lone pictures
    unknown = a_batch("none", faces=faces, count=5)
    assert unknown["neutral_landmarks"].isnan().all()


def faces_with_lone_ones(lone: int) -> tuple[FaceTable, torch.Tensor]:
    """40 persons, neutral and with an open mouth, and the neutral landmarks of each; the last pictures are lone ones.

    Persons differ in where a mouth is, expressions in how far it opens; of a lone picture both are told apart.
    """
    random = torch.Generator().manual_seed(0)
    face = torch.randn(68, 2, generator=random) / 3
    persons = face + 0.02 * torch.randn(40, 1, 2, generator=random) * (torch.arange(68) > 48)[:, None]
    opening = torch.zeros(68, 2)
    opening[55:60, 1] = 0.1
    rows = torch.arange(80)
    faces = FaceTable(
        images=torch.zeros(80, 3, 32, 32, dtype=torch.uint8),
        setup=torch.where(rows >= 80 - lone, -1, rows % 40),
        is_neutral=rows < 40,
        expression=torch.full((80,), -1),
        person=rows % 40,
        landmarks=torch.cat([persons, persons + opening * torch.rand(40, 1, 1, generator=random)]),
        repeats=torch.ones(80, dtype=torch.long),
        corpus=torch.zeros(80, dtype=torch.long),
    )
    return faces, persons


def test_lone_pictures_are_made_neutral_by_landmarks_that_setups_tell():
    faces, persons = faces_with_lone_ones(1)
    points = faces.landmarks
    feed = EditingPairs(faces, "rendered", 32, TEMPLATE, Sampling(**STILL, estimated_neutrals=True))
    assert (feed.neutral_landmarks[79] - persons[39]).abs().max() < 0.01 < (points[79] - persons[39]).abs().max()
    lone = torch.tensor([feed.indices.index(79)])
    batch = feed.batch(lone, torch.Generator().manual_seed(0), torch.device("cpu"))
    (edit,) = torch.nonzero(~batch["has_target"]).flatten().tolist()
    source = batch["source"][edit]
    assert batch["strength"][edit] == 0 and batch["reference"][edit] == source
    assert torch.equal(batch["target_landmarks"][edit], batch["neutral_landmarks"][source])
    assert torch.equal(batch["target_landmarks"][0], batch["landmarks"][batch["target"][0]])
    without = EditingPairs(faces, "rendered", 32, TEMPLATE, Sampling(**STILL))
    assert without.neutral_landmarks[79].isnan().all()
    assert without.batch(lone, torch.Generator().manual_seed(0), torch.device("cpu"))["has_target"].all()


def test_lone_pictures_lend_each_other_the_movements_of_their_landmarks():
    faces, persons = faces_with_lone_ones(2)
    sampling = Sampling(**STILL, estimated_neutrals=True, lent_movements=True)
    feed = EditingPairs(faces, "rendered", 32, TEMPLATE, sampling)
    lone, lenders = torch.tensor([feed.indices.index(79)]), set()
    for seed in range(8):  # mirrored and not
        batch = feed.batch(lone, torch.Generator().manual_seed(seed), torch.device("cpu"))
        (edit,) = torch.nonzero(~batch["has_target"] & (batch["strength"][:, 0] == 1)).flatten().tolist()
        source, lender = batch["source"][edit], int(batch["person"][batch["reference"][edit]])
        assert batch["person"][source] == 39
        moved = (batch["target_landmarks"][edit] - batch["neutral_landmarks"][source])[:, 1]
        asked = (faces.landmarks[40 + lender] - persons[lender])[:, 1]
        assert min((moved - asked).abs().max(), (moved - asked[MIRRORED_68]).abs().max()) < 0.01 < asked.abs().max()
        lenders.add(lender)
    assert 38 in lenders


def test_movements_are_lent_only_where_neutral_faces_are_estimated():
    with pytest.raises(ConfigError, match="lent_movements needs estimated_neutrals"):
        Sampling(lent_movements=True)


def test_neutral_landmarks_are_not_estimated_from_nothing():
    with pytest.raises(ConfigError, match="estimated_neutrals needs pictures of one person"):
        EditingPairs(table(), "none", 32, TEMPLATE, Sampling(estimated_neutrals=True))


def test_a_made_up_expression_has_no_landmarks_and_no_name():
    batch = a_batch("rendered", count=5)
    lone = batch["corpus"] == 1
    assert lone.sum() == 4 and batch["landmarks"][lone].isnan().all() and (batch["expression"][lone] == -1).all()
    assert batch["landmarks"][~lone].isfinite().all()


def test_unpaired_edits_take_strangers_and_hide_the_target():
    batch = a_batch(unpaired_share=0.5, count=200)
    hidden = ~batch["has_target"]
    assert 0.4 < hidden.float().mean() < 0.6
    assert (batch["strength"][hidden] == 1).all() and (batch["strength"][~hidden] == 0).any()


def test_a_batch_is_a_function_of_its_generator():
    batches = [a_batch(seed=seed) for seed in (1, 1, 2)]
    assert all(torch.equal(batches[0][name].nan_to_num(), batches[1][name].nan_to_num()) for name in batches[0])
    assert not torch.equal(batches[0]["images"][:5], batches[2]["images"][:5])


def test_triplets_to_choose_on_are_edits_between_persons_or_else_views_of_oneself():
    triplets = EditingPairs(table(), "rendered", 32, TEMPLATE).triplets(8)
    rows = {name: (to_bytes(triplets[name])[:, 0, 0, 0] // 30).tolist() for name in ("source", "reference", "target")}
    assert rows["target"] == [1, 2, 4] and rows["reference"] == [4, 7, 1]
    assert all(
        source in {1: (0, 2), 2: (0, 1), 4: (3, 5)}[target]
        for source, target in zip(rows["source"], rows["target"], strict=True)
    )
    lone = replace(table(), expression=torch.full((8,), -1))
    triplets = EditingPairs(lone, "rendered", 32, TEMPLATE).triplets(4)
    assert torch.equal(triplets["reference"], triplets["target"]) and len(triplets["target"]) == 4
    noise = torch.randint(256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    unrelated = EditingPairs(replace(lone, images=noise, setup=torch.full((8,), -1)), "none", 32, TEMPLATE).triplets(4)
    assert not torch.allclose(unrelated["source"], unrelated["target"], atol=0.1)


def test_the_shares_of_a_degradation_are_those_asked_for():
    assert Degradation().scaled(0) == Degradation(grey=0, blurred=0, small=0, noisy=0, compressed=0)
