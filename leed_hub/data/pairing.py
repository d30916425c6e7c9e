"""Batches for the editor: which face is edited, whose expression it takes, and what is known of the result.

Three recipes, by what the training may know (never a category, action unit or blendshape weight):

    none      unrelated pictures: a face is rebuilt from its own expression seen through another view
    neutral   also which picture is the person's neutral one: neutral <-> expressive of one person is an exact pair
    rendered  also pictures of one person in one pose and light in two expressions, and twins: one expression on two
              persons, so that the exact target of an edit between two persons is known
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from leed_hub.data.augment import Geometry, Light, mirrored, relit, roughened, view


@dataclass(frozen=True, kw_only=True)
class EditingViews:
    """The random half of the editor's preprocessing: source and target move together, the reference on its own."""

    framing: Geometry = field(default_factory=lambda: Geometry(scale=0.08, shift=0.03, rotation_deg=4))
    reference_framing: Geometry = field(default_factory=lambda: Geometry(scale=0.12, shift=0.04, rotation_deg=6))
    light: Light = field(default_factory=Light)
    rough_share: float = 0.25


@dataclass(frozen=True, kw_only=True)
class FaceTable:
    """What is known of each of N pictures; group numbers are arbitrary, -1 is unknown.

    Attributes:
        images: uint8 (N, 3, S, S).
        setup: (N,) pictures of one person in one pose, light and framing.
        is_neutral: (N,) bool.
        twin: (N,) index of a picture of another person with exactly this expression.
        repeats: (N,) how often an epoch takes it as a target; 0 for twins, which only serve as references.
    """

    images: Tensor
    setup: Tensor
    is_neutral: Tensor
    twin: Tensor
    repeats: Tensor


class EditingPairs:
    """Draws batches of (source, reference, target) from a table of faces.

    Args:
        table: the faces, at least one of them with repeats above 0.
        pairs: the recipe, "none", "neutral" or "rendered".
        size: side of the crops in pixels.
        unpaired_share: share of draws whose reference is an unrelated face and whose target is unknown.
        twin_share: where a twin is known, how often it is the reference; else the target itself is, in another view.
        neutral_code_share: where the target is neutral, how often it is asked for by strength 0 instead of a reference.
    """

    def __init__(
        self,
        table: FaceTable,
        pairs: str,
        size: int,
        *,
        unpaired_share: float = 0.0,
        twin_share: float = 0.7,
        neutral_code_share: float = 0.4,
    ):
        self.table, self.pairs, self.size = table, pairs, size
        self.unpaired_share, self.twin_share, self.neutral_code_share = unpaired_share, twin_share, neutral_code_share
        self.anchors = torch.repeat_interleave(table.repeats)
        self.neutrals = torch.nonzero(table.is_neutral & (table.repeats > 0)).squeeze(1)
        self.views = EditingViews()
        # Members of each setup as a padded matrix, so that a batch draws its sources in one indexed read.
        members: dict[int, list[int]] = {}
        for index in torch.nonzero(table.repeats).squeeze(1).tolist():
            setup = int(table.setup[index])
            members.setdefault(setup if setup >= 0 else -1 - index, []).append(index)
        width = max(len(group) for group in members.values())
        self.mates = torch.full((len(table.setup), width), -1)
        for group in members.values():
            for index in group:
                self.mates[index, : len(group)] = torch.tensor(group)
        self.mate_count = (self.mates >= 0).sum(1)
        neutral_mate = (self.mates >= 0) & table.is_neutral[self.mates.clamp(min=0)]
        self.neutral_mate = torch.where(
            neutral_mate.any(1), self.mates.gather(1, neutral_mate.int().argmax(1, keepdim=True)).squeeze(1), -1
        )

    def __len__(self) -> int:
        return len(self.anchors)

    def draw(self, anchors: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Who edits whom, for anchors (B,) in 0..len(self): indices `source`, `reference`, `target` into the table,
        `has_target` (B,) bool and `strength` (B, 1)."""
        table = self.table
        target = self.anchors[anchors]
        count = len(target)
        chance = torch.rand(5, count, generator=generator)

        if self.pairs == "none":
            source = target
        elif self.pairs == "neutral":  # one end of the pair is the neutral picture
            others = self._random_mate(target, chance[0])
            neutral_mate = self.neutral_mate[target]
            known = neutral_mate >= 0
            source = torch.where(table.is_neutral[target], others, torch.where(known, neutral_mate, target))
        else:
            source = self._random_mate(target, chance[0])

        reference = target.clone()
        if self.pairs != "none" and len(self.neutrals):
            some_neutral = self.neutrals[torch.randint(len(self.neutrals), (count,), generator=generator)]
            reference = torch.where(table.is_neutral[target] & (chance[1] < self.twin_share), some_neutral, reference)
        if self.pairs == "rendered":
            reference = torch.where(
                (table.twin[target] >= 0) & (chance[1] < self.twin_share), table.twin[target], reference
            )

        stranger = self.anchors[torch.randint(len(self.anchors), (count,), generator=generator)]
        has_target = chance[2] >= self.unpaired_share
        reference = torch.where(has_target, reference, stranger)
        knows_neutral = table.is_neutral[target] & has_target & (self.pairs != "none")
        strength = torch.where(knows_neutral & (chance[3] < self.neutral_code_share), 0.0, 1.0)[:, None]
        return {
            "source": source,
            "reference": reference,
            "target": target,
            "has_target": has_target,
            "strength": strength,
        }

    def _random_mate(self, indices: Tensor, chance: Tensor) -> Tensor:
        """A random picture of the same setup (perhaps itself), chosen by `chance` in [0, 1)."""
        return self.mates[indices].gather(1, (chance * self.mate_count[indices]).long()[:, None]).squeeze(1)

    def batch(self, anchors: Tensor, generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
        """Random views of a draw.

        Returns:
            dict: `source`, `reference`, `target` (B, 3, size, size) in [-1, 1]; `has_target`, `differs` (source and
            reference show different expressions by construction), `source_is_neutral`, `reference_is_neutral` (B,)
            bool, False where the recipe may not know; `strength` (B, 1).
        """
        drawn = self.draw(anchors, generator)
        source, reference, target = drawn["source"], drawn["reference"], drawn["target"]
        table, views, count = self.table, self.views, len(anchors)
        flips = torch.rand(count, generator=generator) < 0.5  # an asymmetric expression turns around with its pair
        framing = mirrored(views.framing.draw(count, generator), flips)
        reference_framing = mirrored(views.reference_framing.draw(count, generator), flips)
        light, reference_light = views.light.draw(count, generator), views.light.draw(count, generator)

        def seen(indices: Tensor, theta: Tensor, light: Tensor) -> Tensor:
            return relit(view(table.images[indices].to(device), theta, self.size), light)

        references = roughened(seen(reference, reference_framing, reference_light), views.rough_share, generator)
        knows_neutral = self.pairs != "none"
        return {
            "source": seen(source, framing, light) * 2 - 1,
            "reference": references * 2 - 1,
            "target": seen(target, framing, light) * 2 - 1,
            "has_target": drawn["has_target"].to(device),
            "differs": ((source != target) & drawn["has_target"]).to(device),
            "source_is_neutral": (table.is_neutral[source] & knows_neutral).to(device),
            "reference_is_neutral": (table.is_neutral[reference] & knows_neutral).to(device),
            "strength": drawn["strength"].to(device),
        }
