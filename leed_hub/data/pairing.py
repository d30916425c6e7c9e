"""Batches for the editor: which face is edited, whose expression it takes, and what is known of the result.

Three recipes, by what the training may know (never a category, action unit or blendshape weight):

    none      unrelated pictures: each is paired with itself under a made-up expression
    neutral   also which picture is the person's neutral one: neutral <-> expressive of one person is an exact pair
    rendered  also pictures of one person in one pose and light in two expressions, and twins: one expression on two
              persons, so that the exact target of an edit between two persons is known
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from leed_hub.data.augment import Geometry, Light, bends, mirrored, relit, roughened, shaded, shades, view
from leed_hub.data.grimaces import grimaced
from leed_hub.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EditingViews:
    """The random half of the editor's preprocessing: source and target move together, the reference on its own."""

    framing: Geometry = field(default_factory=lambda: Geometry(scale=0.08, shift=0.03, rotation_deg=4, stretch=0.05))
    reference_framing: Geometry = field(
        default_factory=lambda: Geometry(scale=0.12, shift=0.04, rotation_deg=6, stretch=0.08)
    )
    bend: float = 0.0
    reference_bend: float = 0.0
    shade: float = 0.0
    blend: float = 0.0
    light: Light = field(default_factory=Light)
    rough_share: float = 0.25
    rough_sigma: float = 1 / 40  # of the side, at most


@dataclass(frozen=True, kw_only=True)
class FaceTable:
    """What is known of each of N pictures; group numbers are arbitrary, -1 is unknown.

    Attributes:
        images: uint8 (N, 3, S, S).
        setup: (N,) pictures of one person in one pose, light and framing.
        is_neutral: (N,) bool.
        twin: (N,) index of a picture of another person with exactly this expression.
        repeats: (N,) how often an epoch takes it as a target; 0 for twins, which only serve as references.
        corpus: (N,) which of the joined tables it comes from.
    """

    images: Tensor
    setup: Tensor
    is_neutral: Tensor
    twin: Tensor
    repeats: Tensor
    corpus: Tensor


class EditingPairs:
    """Draws batches of (source, reference, target) from a table of faces.

    Args:
        table: the faces, at least one of them with repeats above 0.
        pairs: the recipe, "none", "neutral" or "rendered".
        size: side of the crops in pixels.
        template: where eyes and mouth corners are in the table's pictures, as in `LEEDConfig`.
        unpaired_share: share of draws whose reference is an unrelated face and whose target is unknown.
        twin_share: where a twin is known, how often it is the reference; else the target itself is, in another view.
        neutral_code_share: where the target is neutral, how often it is asked for by strength 0 instead of a reference.
        light_scale: how far light and colour are changed, as a multiple of `Light`'s own bounds.
        framing_scale: how far views are moved, as a multiple of the bounds in `EditingViews`.
        bend: how far each view is bent, see `bends`. Persons' resting brows and lids differ by nearly as much as an
            expression moves them; an encoder that sees few persons learns each one's by heart instead of weighing up
            what it sees.
        reference_scale: how far references are moved and bent, as a multiple of that. Where no twins are known and the
            reference is the source's own picture, wide views of it cost more than they teach.
        shade: how far places of each face are darkened and lightened, see `shades`.
        blend: how much of another neutral face is laid over half of the references, at most. Both give few persons
            many skins, so that the encoder learns to read faces it has never seen.
    """

    def __init__(
        self,
        table: FaceTable,
        pairs: str,
        size: int,
        template: tuple[float, ...],
        *,
        unpaired_share: float = 0.0,
        twin_share: float = 0.7,
        neutral_code_share: float = 0.4,
        light_scale: float = 1.0,
        framing_scale: float = 1.0,
        bend: float = 0.008,
        reference_scale: float = 1.0,
        shade: float = 0.0,
        blend: float = 0.0,
    ):
        self.table, self.pairs, self.size, self.template = table, pairs, size, template
        self.unpaired_share, self.twin_share, self.neutral_code_share = unpaired_share, twin_share, neutral_code_share
        self.neutrals = torch.nonzero(table.is_neutral & (table.repeats > 0)).squeeze(1)
        views = EditingViews()
        self.views = EditingViews(
            framing=views.framing.scaled(framing_scale),
            reference_framing=views.reference_framing.scaled(framing_scale * reference_scale),
            bend=bend,
            reference_bend=bend * reference_scale,
            shade=shade,
            blend=blend,
            light=views.light.scaled(light_scale),
        )
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

        repeats = table.repeats
        if pairs != "none":  # neutral pictures come as mates often enough
            repeats = torch.where(table.is_neutral & (self.mate_count > 1), 0, repeats)
        if pairs == "rendered":  # what is most like the editor's use: another person's face as the reference
            repeats = torch.where(table.twin >= 0, 2 * repeats, repeats)
        self.anchors = torch.repeat_interleave(repeats)

    def __len__(self) -> int:
        return len(self.anchors)

    def draw(self, anchors: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Who edits whom, for anchors (B,) in 0..len(self), B even.

        Returns:
            dict: indices `source`, `reference`, `target` (B,) into the table; `has_target` (B,) bool; `strength`
            (B, 1); `as_source` (B,), which edit of the batch starts from this one's target.
        """
        table = self.table
        count = len(anchors)
        if count % 2:
            raise ConfigError(f"The editor's batches hold there-and-back pairs, so their size is even; got {count}.")
        chance = torch.rand(4, count, generator=generator)
        target = self.anchors[anchors]
        # There and back: the first half of the edits leads to the anchors, the second half from them.
        target = mate = target[: count // 2]
        if self.pairs != "none":
            mate = self._other_mate(target, chance[0, : count // 2])
        if self.pairs == "neutral":  # one end of the pair is the neutral picture
            neutral_mate = torch.where(self.neutral_mate[target] >= 0, self.neutral_mate[target], target)
            mate = torch.where(table.is_neutral[target], mate, neutral_mate)
        source, target = torch.cat([mate, target]), torch.cat([target, mate])
        as_source = torch.arange(count).roll(count // 2)

        reference = target.clone()
        has_mate = source != target  # what is known of a lone picture does not hold for its made-up expression
        known_neutral = table.is_neutral[target] & has_mate & (self.pairs != "none")
        if self.pairs != "none" and len(self.neutrals):
            some_neutral = self.neutrals[torch.randint(len(self.neutrals), (count,), generator=generator)]
            reference = torch.where(known_neutral & (chance[1] < self.twin_share), some_neutral, reference)
        if self.pairs == "rendered":
            reference = torch.where(
                (table.twin[target] >= 0) & has_mate & (chance[1] < self.twin_share), table.twin[target], reference
            )

        stranger = self.anchors[torch.randint(len(self.anchors), (count,), generator=generator)]
        has_target = chance[2] >= self.unpaired_share
        reference = torch.where(has_target, reference, stranger)
        strength = torch.where(known_neutral & has_target & (chance[3] < self.neutral_code_share), 0.0, 1.0)[:, None]
        return {
            "source": source,
            "reference": reference,
            "target": target,
            "has_target": has_target,
            "strength": strength,
            "as_source": as_source,
        }

    def _other_mate(self, indices: Tensor, chance: Tensor) -> Tensor:
        """Another picture of the same setup, chosen by `chance` in [0, 1); the picture itself where it is alone."""
        mates, count = self.mates[indices], self.mate_count[indices]
        own = (mates == indices[:, None]).int().argmax(1)
        place = (own + 1 + (chance * (count - 1)).long()) % count.clamp(min=1)
        return mates.gather(1, place[:, None]).squeeze(1)

    def batch(self, anchors: Tensor, generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
        """Random views of a draw.

        Returns:
            dict: `source`, `reference`, `target` (B, 3, size, size) in [-1, 1]; `has_target` (source and
            reference show different expressions then), `crosses` (the reference is another person who wears the
            target's expression), `source_is_neutral`, `reference_is_neutral` (B,) bool, False where the recipe may not
            know; `strength` (B, 1); `as_source` (B,) as in `draw`; `corpus` (B,) of source and target.
        """
        drawn = self.draw(anchors, generator)
        source, reference, target = drawn["source"], drawn["reference"], drawn["target"]
        table, views, count = self.table, self.views, len(anchors)
        flips = torch.rand(count, generator=generator) < 0.5  # an asymmetric expression turns around with its pair
        framing = mirrored(views.framing.draw(count, generator), flips)
        reference_framing = mirrored(views.reference_framing.draw(count, generator), flips)
        bend, reference_bend = (bends(count, each, generator) for each in (views.bend, views.reference_bend))
        light, reference_light = views.light.draw(count, generator), views.light.draw(count, generator)

        sources, targets, references = (table.images[index].to(device) for index in (source, target, reference))
        # A picture without a mate is paired with itself under a made-up expression.
        alone = source == target
        there = torch.nonzero(alone[: count // 2]).squeeze(1)
        if len(there):
            back = there + count // 2
            own = reference[back] == target[back]
            sources, targets, references = sources.float(), targets.float(), references.float()
            sources[there] = targets[back] = mates = grimaced(targets[there], self.template, generator)
            references[back[own]] = mates[own]
        # Source and target in one view, as six channels.
        pairs = view(torch.cat([sources, targets], dim=1), framing, self.size, bend)
        pairs = torch.cat([pairs[:, :3], pairs[:, 3:]])
        references = view(references, reference_framing, self.size, reference_bend)
        if views.blend:  # in another reference's view
            references = self._blended(references, reference_framing.roll(1, 0), generator)
        if views.shade:
            shade, reference_shade = (shades(count, views.shade, generator) for _ in range(2))
            pairs, references = shaded(pairs, shade.repeat(2, 1, 1, 1)), shaded(references, reference_shade)
        sources, targets = relit(pairs, light.repeat(2, 1)).chunk(2)
        references = relit(references, reference_light)
        references = roughened(references, views.rough_share, views.rough_sigma * self.size, generator)
        knows_neutral = (self.pairs != "none") & ~alone
        sources, targets = sources * 2 - 1, targets * 2 - 1
        return {
            "source": sources,
            "reference": references * 2 - 1,
            "target": targets,
            "has_target": drawn["has_target"].to(device),
            "crosses": (drawn["has_target"] & (reference == table.twin[target])).to(device),
            "source_is_neutral": (table.is_neutral[source] & knows_neutral).to(device),
            "reference_is_neutral": (table.is_neutral[reference] & knows_neutral).to(device),
            "strength": drawn["strength"].to(device),
            "as_source": drawn["as_source"].to(device),
            "corpus": table.corpus[source].to(device),
        }

    def _blended(self, references: Tensor, framing: Tensor, generator: torch.Generator) -> Tensor:
        """Another face, neutral where the recipe may know that, faintly over half of the references."""
        count = len(references)
        others = self.neutrals if self.pairs != "none" and len(self.neutrals) else self.anchors
        others = others[torch.randint(len(others), (count,), generator=generator)]
        over = view(self.table.images[others].to(references.device), framing, self.size)
        share = self.views.blend * torch.rand(count, generator=generator)
        share = share * (torch.rand(count, generator=generator) < 0.5)
        return torch.lerp(references, over, share[:, None, None, None].to(references.device))

    def triplets(self, limit: int) -> dict[str, Tensor]:
        """The cross-person edits with a known result, as they are, to choose checkpoints on.

        Returns:
            dict: `source`, `reference`, `target` (N, 3, size, size) in [-1, 1], N at most `limit`; where no picture has
            a twin, each picture is its own reference, and where one has no mate, a made-up expression is the source.
        """
        twinned = torch.nonzero(self.table.twin >= 0).squeeze(1)
        target = twinned if len(twinned) else torch.nonzero(self.table.repeats).squeeze(1)
        target = target[torch.linspace(0, len(target) - 1, min(limit, len(target))).long()]
        source = self._other_mate(target, torch.linspace(0, 0.999, len(target)))
        reference = self.table.twin[target] if len(twinned) else target
        sources, references, targets = (self.table.images[indices].float() for indices in (source, reference, target))
        fixed, alone = torch.Generator().manual_seed(0), source == target
        sources[alone] = grimaced(sources[alone], self.template, fixed)
        as_is = Geometry().draw(len(target), fixed)
        return {
            name: view(images, as_is, self.size) * 2 - 1
            for name, images in (("source", sources), ("reference", references), ("target", targets))
        }
