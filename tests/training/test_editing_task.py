"""Who learns from what: the editor from its terms, the discriminators from theirs, and nobody from the other's."""

import dataclasses

import pytest
import torch
from gradients import touched

from leed_hub.models.discriminators import EditingDiscriminators
from leed_hub.models.leed import LEEDConfig, LEEDModel, face_windows
from leed_hub.training.editing import TERMS, EditingLosses, EditingStep, EditingTask, at_openings, point_weight

ALL_TERMS = tuple(TERMS)
TRANSFORMER = ("transformer_common", "transformer_personal")
NO_LOSS = EditingLosses(**dict.fromkeys(ALL_TERMS, 0.0))


def batch(count: int = 6) -> dict[str, torch.Tensor]:
    """Two persons' setups of three (neutral and two expressions, the same on both), everybody edited into everybody."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.tensor([1, 2, 0, 4, 5, 3])
    images = torch.rand(count, 3, 32, 32, generator=generator) * 2 - 1
    landmarks = torch.rand(count, 5, 2, generator=generator) - 0.5
    return {
        "images": images,
        "landmarks": landmarks,
        "target_landmarks": landmarks[targets],
        "neutral_landmarks": torch.rand(count, 5, 2, generator=generator) - 0.5,
        "setup": torch.tensor([0, 0, 0, 1, 1, 1]),
        "expression": torch.tensor([-1, 7, 8, -1, 7, 8]),
        "person": torch.tensor([0, 0, 0, 1, 1, 1]),
        "is_neutral": torch.tensor([True, False, False, True, False, False]),
        "source": torch.arange(count),
        "target": targets,
        "reference": (targets + 3) % count,
        "strength": torch.ones(count, 1),
        "has_target": torch.ones(count, dtype=torch.bool),
    }


def task(losses: EditingLosses) -> EditingTask:
    torch.manual_seed(0)
    config = LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=16, expression_dim=4, landmarks=5)
    return EditingTask(losses, LEEDModel(config), EditingDiscriminators(32))


def test_a_term_of_weight_zero_is_not_computed_and_the_loss_is_the_weighted_sum():
    terms, _ = task(dataclasses.replace(NO_LOSS, pixels=2.0, smooth=3.0)).generator_losses(batch(), step=0)
    assert terms.keys() == {"pixels", "smooth", "information", "geometry", "loss"}
    assert torch.isclose(terms["loss"], 2 * terms["pixels"] + 3 * terms["smooth"])


def test_all_terms_together_are_finite():
    terms, edited = task(dataclasses.replace(NO_LOSS, **dict.fromkeys(ALL_TERMS, 1.0))).generator_losses(batch(), 0)
    assert terms.keys() == {*ALL_TERMS, "loss"}
    assert all(term.isfinite() for term in terms.values())
    assert not edited.requires_grad


def test_no_number_of_a_code_counts_more_for_being_larger():
    asked = dataclasses.replace(NO_LOSS, same_expression=1.0, info_nce=1.0)
    learner = task(asked)
    terms, _ = learner.generator_losses(batch(), step=0)
    assert terms["same_expression"] > 0 < terms["info_nce"]
    with torch.no_grad():
        learner.model.extractor.radius = 1e6
        before, _ = learner.generator_losses(batch(), step=0)
        learner.model.extractor.weight[2] *= 100
        after, _ = learner.generator_losses(batch(), step=0)
    for name in ("same_expression", "info_nce"):
        assert torch.isclose(after[name], before[name], rtol=0.02)


def test_lids_and_brows_weigh_more_among_68_points_only():
    weight = point_weight(68)
    assert weight[[0, 27, 48, 67]].tolist() == [1] * 4  # jaw, nose, lips
    assert weight[17:27].tolist() == [2] * 10 and weight[36:48].tolist() == [4] * 12
    assert point_weight(5) is None


@pytest.mark.parametrize(
    ("term", "learners"),
    [
        ("information", {"extractor", "posterior", "encoder", "neutral_mapping"}),
        ("neutral", {"encoder", "neutral_mapping"}),
        ("same_neutral", {"encoder", "neutral_mapping"}),
        ("same_expression", {"encoder", "neutral_mapping", "extractor"}),
        ("info_nce", {"encoder", "neutral_mapping", "extractor"}),
        ("geometry", {"encoder", "neutral_mapping", "extractor", "to_landmarks", *TRANSFORMER}),
        ("landmarks", {"encoder", "decoder", "neutral_mapping", "extractor", *TRANSFORMER}),
        ("smooth", {"encoder", "decoder", "neutral_mapping", "extractor", *TRANSFORMER}),
        ("siamese", {"encoder", "decoder", "neutral_mapping", "extractor", *TRANSFORMER}),
        ("adversarial", {"encoder", "decoder", "neutral_mapping", "extractor", *TRANSFORMER}),
    ],
)
def test_each_term_teaches_its_networks_and_no_discriminator(term, learners):
    editing = task(dataclasses.replace(NO_LOSS, **{term: 1.0}))
    terms, _ = editing.generator_losses(batch(), step=0)
    terms["loss"].backward()
    assert touched(editing.model) == learners
    assert touched(editing.discriminators) == set()


def test_the_discriminators_step_leaves_the_editor_untouched_and_teaches_both():
    editing = task(EditingLosses())
    _, edited = editing.generator_losses(batch(), step=0)
    editing.discriminator_losses(batch(), edited, step=0)["loss"].backward()
    assert touched(editing.model) == set()
    assert touched(editing.discriminators) == {"discriminator", "siamese"}


def test_terms_that_shape_the_codes_wait_for_their_start_step():
    editing = task(EditingLosses(codes_start_step=10))
    shaping = {"info_nce", "same_neutral", "same_expression"}
    assert not shaping & editing.generator_losses(batch(), step=9)[0].keys()
    assert shaping <= editing.generator_losses(batch(), step=10)[0].keys()


def test_discriminators_wait_for_their_start_step():
    editing = task(EditingLosses(discriminators_start_step=10))
    terms, edited = editing.generator_losses(batch(), step=9)
    assert "adversarial" not in terms and editing.discriminator_losses(batch(), edited, step=9) == {}
    assert "adversarial" in editing.generator_losses(batch(), step=10)[0]


def test_edits_are_judged_at_mouth_and_eyes_alone():
    openings = face_windows(LEEDConfig())[1]
    verdicts = torch.arange(64.0).view(1, 1, 8, 8)
    places = {divmod(int(patch), 8) for patch in at_openings(verdicts, openings)[0]}
    assert {(3, 2), (3, 5), (6, 3), (6, 4)} < places  # eyes and mouth
    assert not any(row < 2 or column in (0, 7) for row, column in places)  # hair and background

    editing, faces = task(dataclasses.replace(NO_LOSS, adversarial=1.0)), batch()
    _, edited = editing.generator_losses(faces, step=0)
    loss = editing.discriminator_losses(faces, edited, step=0)["discriminator"]
    with torch.no_grad():
        logits = editing.discriminators.discriminator(torch.cat([faces["images"][faces["target"]], edited]))
    real, fake = at_openings(logits, face_windows(editing.model.config)[1]).chunk(2)
    assert torch.isclose(loss, (1 - real).relu().mean() + (1 + fake).relu().mean(), atol=1e-4)


def test_mouth_and_eyes_may_count_more():
    """A batch whose edits miss only beside mouth and eyes costs less for it, one that misses only there more."""
    costs = {}
    for weight in (1.0, 3.0):
        editing = task(dataclasses.replace(NO_LOSS, pixels=1.0, openings_weight=weight))
        _, openings = face_windows(editing.model.config)
        told = batch()
        for place, window in (("beside", 1 - openings), ("there", openings)):
            with torch.no_grad():
                output = editing.model(told["images"], told["source"], told["reference"], told["strength"])
            output.edit.edited.copy_(told["images"][told["target"]] + 0.3 * (window > 0.99))
            step = EditingStep(told, output, editing.losses, None, openings)
            costs[place, weight] = float(TERMS["pixels"](step))
    assert costs["beside", 3.0] < 0.8 * costs["beside", 1.0] and costs["there", 3.0] > 1.5 * costs["there", 1.0]


def test_a_hidden_target_gives_no_pixel_gradient():
    editing = task(dataclasses.replace(NO_LOSS, pixels=1.0, edges=1.0))
    hidden = batch() | {"has_target": torch.zeros(6, dtype=torch.bool)}
    editing.generator_losses(hidden, step=0)[0]["loss"].backward()
    assert touched(editing.model) == set()
