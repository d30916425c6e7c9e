"""Who learns from what: the editor from its terms, the judges from theirs, and nobody from the other's."""

import dataclasses

import pytest
import torch
from gradients import touched

from leed_hub.models.critics import EditingCritics
from leed_hub.models.leed import LEEDConfig, LEEDModel
from leed_hub.tasks.editing import EditingLosses, EditingTask

ALL_TERMS = tuple(
    [
        "pixels",
        "edges",
        "neutral",
        "information",
        "identity_free",
        "siamese",
        "adversarial",
        "cycle",
        "identity",
        "smooth",
        "sparse",
    ]
)
NO_LOSS = EditingLosses(**dict.fromkeys(ALL_TERMS, 0.0))


def batch(count: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pictures = {n: torch.rand(count, 3, 32, 32, generator=generator) * 2 - 1 for n in ("source", "reference", "target")}
    yes = torch.ones(count, dtype=torch.bool)
    return pictures | {
        "has_target": yes,
        "differs": yes,
        "source_is_neutral": yes,
        "reference_is_neutral": ~yes,
        "strength": torch.ones(count, 1),
    }


def task(losses: EditingLosses) -> EditingTask:
    torch.manual_seed(0)
    config = LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=16, expression_dim=4)
    return EditingTask(losses, LEEDModel(config), EditingCritics(32, 16, 4))


def test_a_term_of_weight_zero_is_not_computed_and_the_loss_is_the_weighted_sum():
    terms, _ = task(dataclasses.replace(NO_LOSS, pixels=2.0, smooth=3.0)).generator_losses(batch(), step=0)
    assert terms.keys() == {"pixels", "smooth", "information", "loss"}
    assert torch.isclose(terms["loss"], 2 * terms["pixels"] + 3 * terms["smooth"])


def test_all_terms_together_are_finite():
    terms, judged = task(dataclasses.replace(NO_LOSS, **dict.fromkeys(ALL_TERMS, 1.0))).generator_losses(batch(), 0)
    assert terms.keys() == {*ALL_TERMS, "loss"}
    assert all(term.isfinite() for term in terms.values())
    assert not judged.edited.requires_grad


@pytest.mark.parametrize(
    ("term", "learners"),
    [
        ("information", {"extractor", "posterior", "encoder", "neutral_mapping"}),
        ("neutral", {"encoder", "neutral_mapping"}),
        ("smooth", {"encoder", "decoder", "neutral_mapping", "extractor", "transformer"}),
        ("siamese", {"encoder", "decoder", "neutral_mapping", "extractor", "transformer"}),
        ("adversarial", {"encoder", "decoder", "neutral_mapping", "extractor", "transformer"}),
    ],
)
def test_each_term_teaches_its_networks_and_no_judge(term, learners):
    editing = task(dataclasses.replace(NO_LOSS, **{term: 1.0}))
    terms, _ = editing.generator_losses(batch(), step=0)
    terms["loss"].backward()
    assert touched(editing.model) == learners
    assert touched(editing.critics) == set()


def test_identity_is_driven_out_of_the_code_once_its_judge_has_found_it_there():
    editing = task(dataclasses.replace(NO_LOSS, identity_free=1.0))
    optimizer = torch.optim.Adam(editing.critics.parameters(), 1e-2)
    for step in range(50):
        _, judged = editing.generator_losses(batch(), step)
        optimizer.zero_grad()
        editing.critic_losses(batch(), judged, step)["loss"].backward()
        optimizer.step()
    editing.critics.zero_grad()
    terms, _ = editing.generator_losses(batch(), step=50)
    assert terms["identity_free"] > 0.1
    terms["loss"].backward()
    assert touched(editing.model) == {"extractor", "encoder", "neutral_mapping"}
    assert touched(editing.critics) == set()


def test_the_judges_step_leaves_the_editor_untouched_and_teaches_every_judge():
    editing = task(EditingLosses())
    _, judged = editing.generator_losses(batch(), step=0)
    editing.critic_losses(batch(), judged, step=0)["loss"].backward()
    assert touched(editing.model) == set()
    assert touched(editing.critics) == {"discriminator", "siamese", "identity_posterior"}


def test_judges_wait_for_their_start_step():
    editing = task(EditingLosses(judges_start_step=10))
    assert "adversarial" not in editing.generator_losses(batch(), step=9)[0]
    assert "adversarial" in editing.generator_losses(batch(), step=10)[0]


def test_a_hidden_target_gives_no_pixel_gradient():
    editing = task(dataclasses.replace(NO_LOSS, pixels=1.0, edges=1.0))
    hidden = batch() | {"has_target": torch.zeros(6, dtype=torch.bool)}
    editing.generator_losses(hidden, step=0)[0]["loss"].backward()
    assert touched(editing.model) == set()
