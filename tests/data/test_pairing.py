"""Who edits whom: each recipe uses what it may know and nothing else."""

from dataclasses import replace

import pytest
import torch

from leed_hub.data.augment import Geometry, Light
from leed_hub.data.pairing import EditingPairs, EditingViews, FaceTable
from leed_hub.errors import ConfigError
from leed_hub.models.leed import LEEDConfig
from leed_hub.transforms import to_bytes

TEMPLATE = LEEDConfig().template


def table() -> FaceTable:
    """Two persons with a setup of three (neutral, a, b), a single picture, and a twin of picture 1."""
    #         0    1   2    3   4   5    6      7
    # person  p    p   p    q   q   q    r      q'
    # setup   0    0   0    1   1   1    -      -
    return FaceTable(
        images=torch.arange(8, dtype=torch.uint8)[:, None, None, None].expand(8, 3, 32, 32) * 30,
        setup=torch.tensor([0, 0, 0, 1, 1, 1, -1, -1]),
        is_neutral=torch.tensor([True, False, False, True, False, False, False, False]),
        twin=torch.tensor([-1, 7, -1, -1, -1, -1, -1, -1]),
        repeats=torch.tensor([1, 1, 1, 1, 1, 1, 1, 0]),
        corpus=torch.zeros(8, dtype=torch.long),
    )


def draws(pairs: str, **options) -> list[tuple[int, int, int, float, bool]]:
    """Many draws as (source, reference, target, strength, has_target)."""
    feed = EditingPairs(table(), pairs, 32, TEMPLATE, **options)
    drawn = feed.draw(torch.arange(len(feed)).repeat(200), torch.Generator().manual_seed(0))
    columns = ("source", "reference", "target", "strength", "has_target")
    return list(zip(*(drawn[name].flatten().tolist() for name in columns), strict=True))


@pytest.mark.parametrize("pairs", ["none", "neutral", "rendered"])
def test_a_known_target_is_the_source_person_in_the_source_setup(pairs):
    setup = table().setup.tolist()
    for source, _, target, _, has_target in draws(pairs):
        assert has_target
        assert source == target or (setup[source] == setup[target] >= 0)


def test_unrelated_pictures_have_no_mate_but_themselves():
    assert all(source == reference == target for source, reference, target, _, _ in draws("none"))
    assert {strength for *_, strength, _ in draws("none")} == {1.0}


@pytest.mark.parametrize("pairs", ["none", "neutral", "rendered"])
def test_a_lone_picture_and_its_made_up_expression_lead_to_each_other(pairs):
    alone = FaceTable(
        images=torch.randint(256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8),
        setup=torch.full((4,), -1),
        is_neutral=torch.tensor([True, False, False, False]),
        twin=torch.tensor([-1, 0, -1, -1]),
        repeats=torch.ones(4, dtype=torch.long),
        corpus=torch.zeros(4, dtype=torch.long),
    )
    feed = EditingPairs(alone, pairs, 32, TEMPLATE)
    still = Geometry()
    feed.views = EditingViews(framing=still, reference_framing=still, light=Light().scaled(0), rough_share=0)
    batch = feed.batch(torch.arange(4).repeat(2), torch.Generator().manual_seed(0), torch.device("cpu"))
    # Views are mirrored at random, which leaves the sorted values what they are.
    source, reference, target = (batch[role].flatten(1).sort(1).values for role in ("source", "reference", "target"))
    assert torch.allclose(source[:4], target[4:], atol=1e-3) and torch.allclose(target[:4], source[4:], atol=1e-3)
    assert torch.allclose(reference, target, atol=1e-3)
    assert ((source - target).abs().mean(1) > 0.01).all()
    assert not batch["source_is_neutral"].any() and not batch["reference_is_neutral"].any()
    assert (batch["strength"] == 1).all() and batch["has_target"].all()


def test_neutral_recipe_pairs_expressive_pictures_with_the_neutral_one_only():
    pairs = {(source, target) for source, _, target, _, _ in draws("neutral")}
    assert {(0, 1), (0, 2), (1, 0), (2, 0), (3, 4)} <= pairs
    assert not {(1, 2), (2, 1), (4, 5), (5, 4)} & pairs
    assert all(reference != 7 for _, reference, _, _, _ in draws("neutral"))


@pytest.mark.parametrize("pairs", ["none", "neutral", "rendered"])
def test_every_target_is_also_a_source_of_the_batch(pairs):
    feed = EditingPairs(table(), pairs, 32, TEMPLATE)
    drawn = feed.draw(torch.arange(len(feed)).repeat(2), torch.Generator().manual_seed(0))
    assert torch.equal(drawn["source"][drawn["as_source"]], drawn["target"])
    assert torch.equal(drawn["as_source"].sort().values, torch.arange(len(drawn["target"])))


def test_a_picture_is_edited_into_itself_only_where_it_is_alone():
    assert {target for source, _, target, _, _ in draws("rendered") if source == target} == {6}


def test_source_and_target_are_bent_alike_and_the_reference_otherwise():
    noise = torch.randint(256, (8, 3, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    same = noise[[0, 0, 0, 3, 3, 3, 6, 7]].repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    feed = EditingPairs(replace(table(), images=same), "neutral", 32, TEMPLATE, twin_share=0, light_scale=0, bend=0.03)
    feed.views = replace(feed.views, framing=Geometry(), reference_framing=Geometry(), rough_share=0)
    batch = feed.batch(torch.arange(4), torch.Generator().manual_seed(0), torch.device("cpu"))
    paired = feed.draw(torch.arange(4), torch.Generator().manual_seed(0))
    paired = paired["source"] != paired["target"]
    source, reference, target = (batch[role][paired] for role in ("source", "reference", "target"))
    assert len(source) and torch.equal(source, target)
    assert ((reference - target).abs().mean(dim=(1, 2, 3)) > 0.05).all()


def test_the_scales_multiply_every_bound_of_the_views():
    scales = {"framing_scale": 0.5, "light_scale": 2, "reference_scale": 0.25}
    views, plain = EditingPairs(table(), "rendered", 32, TEMPLATE, bend=0.01, **scales).views, EditingViews()
    for kind, scale in (("framing", 0.5), ("reference_framing", 0.125), ("light", 2)):
        asked = {name: scale * bound for name, bound in vars(getattr(plain, kind)).items()}
        assert vars(getattr(views, kind)) == asked and any(asked.values())
    assert (views.bend, views.reference_bend) == (0.01, 0.0025)


@pytest.mark.parametrize(
    ("changed", "faces"),
    [
        ({"bend": 0.03}, {"source", "target"}),
        ({"reference_bend": 0.03}, {"reference"}),
        ({"blend": 0.4}, {"reference"}),
        ({"shade": 0.15}, {"source", "reference", "target"}),
    ],
)
def test_what_changes_a_reference_does_so_apart_from_its_source(changed, faces):
    still = {"framing": Geometry(), "reference_framing": Geometry(), "bend": 0.0, "reference_bend": 0.0}

    def batch(**changes: float) -> dict[str, torch.Tensor]:
        feed = EditingPairs(table(), "neutral", 32, TEMPLATE, light_scale=0)
        noise = torch.randint(256, feed.table.images.shape, generator=torch.Generator().manual_seed(0))
        feed.table = replace(feed.table, images=noise.to(torch.uint8))
        feed.views = replace(feed.views, rough_share=0, **still | changes)
        return feed.batch(torch.arange(4), torch.Generator().manual_seed(0), torch.device("cpu"))

    before, after = batch(), batch(**changed)
    assert faces == {role for role in ("source", "reference", "target") if not torch.equal(before[role], after[role])}


def test_a_pair_keeps_one_skin_and_a_blend_stays_below_its_bound():
    grey = replace(table(), images=torch.full((8, 3, 32, 32), 20, dtype=torch.uint8))
    grey.images[0] = grey.images[3] = 80  # the neutral pictures
    feed = EditingPairs(grey, "neutral", 32, TEMPLATE, light_scale=0, shade=0.15, twin_share=0.0)
    feed.views = replace(feed.views, rough_share=0)
    batch = feed.batch(torch.arange(4), torch.Generator().manual_seed(0), torch.device("cpu"))
    source, target = ((batch[role] + 1) / 2 for role in ("source", "target"))
    apart = source.mean(dim=(1, 2, 3)) != target.mean(dim=(1, 2, 3))
    ratio = (source / target)[apart]
    assert len(ratio) and ratio.flatten(1).std(dim=1).max() < 1e-4 * ratio.max() < source.flatten(1).std(dim=1).min()

    feed.views = replace(feed.views, shade=0.0, blend=0.4)
    references = torch.full((500, 3, 32, 32), 0.0)
    views = Geometry().draw(500, torch.Generator())
    shares = feed._blended(references, views, torch.Generator().manual_seed(0))[:, 0, 0, 0] * 255 / 80
    assert 0.4 < (shares == 0).float().mean() < 0.6 and 0.35 < shares.max() <= 0.4


def test_an_odd_batch_is_refused():
    feed = EditingPairs(table(), "rendered", 32, TEMPLATE)
    with pytest.raises(ConfigError, match="even; got 3"):
        feed.draw(torch.arange(3), torch.Generator())


def test_triplets_to_choose_on_are_twins_edits_or_else_views_of_oneself():
    triplets = EditingPairs(table(), "rendered", 32, TEMPLATE).triplets(8)
    shades = {name: to_bytes(pictures)[:, 0, 0, 0].tolist() for name, pictures in triplets.items()}
    assert shades == {"source": [60], "reference": [210], "target": [30]}  # the picture after 1 in its setup; its twin
    lone = table()
    lone.twin[1] = -1
    triplets = EditingPairs(lone, "rendered", 32, TEMPLATE).triplets(4)
    assert torch.equal(triplets["reference"], triplets["target"]) and len(triplets["target"]) == 4
    noise = torch.randint(256, lone.images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    unrelated = EditingPairs(replace(lone, images=noise, setup=torch.full((8,), -1)), "none", 32, TEMPLATE).triplets(4)
    assert not torch.allclose(unrelated["source"], unrelated["target"], atol=0.1)


def test_rendered_recipe_uses_twins_and_any_picture_of_the_setup():
    found = draws("rendered")
    assert {(1, 2), (2, 1), (0, 1)} <= {(source, target) for source, _, target, _, _ in found}
    of_twinned = [reference == 7 for _, reference, target, _, _ in found if target == 1]
    assert 0.6 < sum(of_twinned) / len(of_twinned) < 0.8
    assert all(reference == 7 or reference == target for _, reference, target, _, _ in found if target == 1)


def test_strength_zero_is_asked_only_where_the_target_is_neutral():
    found = draws("rendered")
    assert {target for _, _, target, strength, _ in found if strength == 0} == {0, 3}
    assert any(strength == 1 for _, _, target, strength, _ in found if target == 0)


def test_twins_are_never_targets_and_their_pictures_are_drawn_twice_as_often():
    assert all(target != 7 for _, _, target, _, _ in draws("rendered"))
    repeated = table()
    repeated.repeats[6] = 5
    anchors = EditingPairs(repeated, "rendered", 32, TEMPLATE).anchors
    assert anchors.bincount().tolist() == [0, 2, 1, 0, 1, 1, 5]  # neutral pictures come as mates
    assert EditingPairs(repeated, "neutral", 32, TEMPLATE).anchors.bincount().tolist() == [0, 1, 1, 0, 1, 1, 5]
    assert EditingPairs(repeated, "none", 32, TEMPLATE).anchors.bincount().tolist() == [1, 1, 1, 1, 1, 1, 5]


def test_unpaired_draws_take_strangers_and_hide_the_target():
    found = draws("rendered", unpaired_share=0.5)
    hidden = [row for row in found if not row[4]]
    assert 0.4 < len(hidden) / len(found) < 0.6
    assert all(strength == 1 for *_, strength, has_target in found if not has_target)


def test_a_batch_is_a_function_of_its_generator():
    feed = EditingPairs(table(), "rendered", 32, TEMPLATE)
    batches = [feed.batch(torch.arange(6), torch.Generator().manual_seed(s), torch.device("cpu")) for s in (1, 1, 2)]
    assert all(torch.equal(batches[0][name], batches[1][name]) for name in batches[0])
    assert not torch.equal(batches[0]["source"], batches[2]["source"])
    assert batches[0]["source"].shape == (6, 3, 32, 32)
    assert batches[0]["source"].abs().max() <= 1


def test_a_batch_tells_which_references_are_another_person_in_the_targets_expression():
    feed = EditingPairs(table(), "rendered", 32, TEMPLATE, twin_share=1.0)
    anchors = torch.arange(6).repeat(20)
    drawn = feed.draw(anchors, torch.Generator().manual_seed(0))
    batch = feed.batch(anchors, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert torch.equal(batch["crosses"], drawn["target"] == 1)  # the one picture with a twin
    assert batch["crosses"].any()


def test_without_known_neutrals_nothing_is_called_neutral():
    batch = EditingPairs(table(), "none", 32, TEMPLATE).batch(torch.arange(6), torch.Generator(), torch.device("cpu"))
    assert not batch["source_is_neutral"].any() and not batch["reference_is_neutral"].any()
