"""Batches for the editor: which face is edited, whose expression it takes, and what is known of the result.

Three recipes, by what the training may know (never a category, action unit or blendshape weight):

    none      unrelated pictures: each is paired with itself under a made-up expression
    neutral   also which picture is the person's neutral one: neutral <-> expressive of one person is an exact pair
    rendered  also pictures of one person in one pose and light in several expressions, and which pictures of different
              persons wear the same expression: the exact target of an edit between two persons is known

A batch is a set of pictures, each seen once, and edits between them. A picture is source, target and reference at the
same time, so that reading it once serves all.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from leed_hub.data.augment import (
    Affine,
    ColorJitter,
    Degradation,
    Views,
    apply_color_jitter,
    apply_gain_field,
    degrade,
    mirror,
)
from leed_hub.data.expression_warps import warp_expressions
from leed_hub.data.landmarks import LandmarkMap
from leed_hub.data.memory import JoinedPictures
from leed_hub.errors import ConfigError

UNKNOWN = -1


@dataclass(frozen=True, kw_only=True)
class FaceTable:
    """What is known of each of N pictures; group numbers are arbitrary, -1 is unknown.

    Attributes:
        images: uint8 (N, 3, S, S).
        setup: (N,) pictures of one person in one pose, light and framing.
        is_neutral: (N,) bool.
        expression: (N,) pictures, of whomever, that wear exactly one expression; -1 for neutral ones too.
        person: (N,).
        landmarks: (N, 68, 2), x, y in -1..1 over the picture; NaN where unknown.
        repeats: (N,) how often an epoch takes it as a target; 0 for pictures that only serve as references.
        corpus: (N,) which of the joined tables it comes from.
    """

    images: Tensor | JoinedPictures
    setup: Tensor
    is_neutral: Tensor
    expression: Tensor
    person: Tensor
    landmarks: Tensor
    repeats: Tensor
    corpus: Tensor

    def __len__(self) -> int:
        return len(self.setup)


@dataclass
class Draw:
    """A batch before any picture is read: P pictures in V views, E edits between them.

    Attributes:
        picture: rows of the table, one a picture.
        view: which view each is seen in; pictures of one setup share it.
        made_up: which made-up expression each is given; -1 for none.
        is_mirrored: one a view.
        edits: (source, reference, target) as places among the pictures, and the strength, which is 0 where a neutral
            target is asked for without a reference; target -1 where of that only the landmarks are known.
    """

    picture: list[int] = field(default_factory=list)
    view: list[int] = field(default_factory=list)
    made_up: list[int] = field(default_factory=list)
    is_mirrored: list[bool] = field(default_factory=list)
    edits: list[tuple[int, int, int, float]] = field(default_factory=list)

    def add_view(self, is_mirrored: bool) -> int:
        self.is_mirrored.append(is_mirrored)
        return len(self.is_mirrored) - 1

    def add_picture(self, row: int, view: int, made_up: int = -1) -> int:
        self.picture.append(row)
        self.view.append(view)
        self.made_up.append(made_up)
        return len(self.picture) - 1


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How edits are drawn and how far pictures are changed.

    Attributes:
        unpaired_share: share of edits whose reference is an unrelated face and whose target is unknown.
        own_reference_share: how often the target itself, in another view, is the reference though another person wears
            its expression.
        neutral_code_share: where the target is neutral, how often it is asked for by strength 0 instead of a reference.
        neutral_mate_share: how often an expressive picture is paired with its setup's neutral one instead of another.
        color_jitter_scale, affine_scale, degradation_scale: how far colours are changed, views moved and pictures
            degraded, as multiples of the bounds of `ColorJitter`, of `AFFINE` and of the shares of `Degradation`.
        elastic: how far each view is bent, see `augment.elastic_deformations`.
        gain_field: how far places of each face are darkened and lightened, see `augment.gain_fields`.
        background_share: how many views get another picture behind the head, see `DrawnViews.on_backgrounds`.
        rare_repeats: how many times as often pictures with rare movements are drawn, see `EditingPairs.is_rare`: closed
            lids, raised brows and wide open mouths are few among random expressions.
        estimated_neutrals: lone pictures are also made neutral; how far, their neutral landmarks tell, estimated from
            their landmarks, see `EditingPairs`.
        lent_movements: lone pictures also lend their expressions to each other: how far, their landmarks' movements
            tell, from the neutral ones so estimated.
    """

    unpaired_share: float = 0.0
    own_reference_share: float = 0.1
    neutral_code_share: float = 0.4
    neutral_mate_share: float = 0.5
    color_jitter_scale: float = 1.0
    affine_scale: float = 1.0
    degradation_scale: float = 1.0
    elastic: float = 0.008
    gain_field: float = 0.0
    background_share: float = 0.35
    rare_repeats: int = 1
    estimated_neutrals: bool = False
    lent_movements: bool = False

    def __post_init__(self):
        if self.lent_movements and not self.estimated_neutrals:
            raise ConfigError("lent_movements needs estimated_neutrals: a movement is one from the neutral face.")


class EditingPairs:
    """Draws batches of pictures and edits from a table of faces.

    Args:
        table: the faces, at least one of them with repeats above 0.
        pairs: the recipe, "none", "neutral" or "rendered".
        size: side of the crops in pixels.
        template: where eyes and mouth corners are in the table's pictures, as in `LEEDConfig`.
        sampling: how edits are drawn and pictures changed.

    Attributes:
        neutral_landmarks: (N, 68, 2), of each face when it is neutral: of its setup's neutral picture, NaN without one.
            With `estimated_neutrals` those of lone pictures are told from their own landmarks by a linear regression
            over the table's setups: how wide a mouth opens says how far it is from closed, whoever's it is.

    Raises:
        ConfigError: if neutral landmarks are to be estimated and no setup tells how.
    """

    AFFINE = Affine(scale=0.08, shift=0.03, rotation_deg=4, stretch=0.05)
    RARE = 3.0

    def __init__(
        self, table: FaceTable, pairs: str, size: int, template: tuple[float, ...], sampling: Sampling | None = None
    ):
        self.table, self.pairs, self.size, self.template = table, pairs, size, template
        self.sampling = sampling = sampling or Sampling()
        self.views = Views(
            size=size,
            affine=self.AFFINE.scaled(sampling.affine_scale),
            elastic=sampling.elastic,
            gain_field=sampling.gain_field,
            color_jitter=ColorJitter().scaled(sampling.color_jitter_scale),
            background_share=sampling.background_share,
        )
        self.degradation = Degradation().scaled(sampling.degradation_scale)

        # Who belongs together, as lists of rows.
        setups, neutral, expressions = table.setup.tolist(), table.is_neutral.tolist(), table.expression.tolist()
        self.mates: dict[int, list[int]] = {}
        self.neutral_of: dict[int, int] = {}
        self.wearers: dict[int, list[int]] = {}
        if pairs != "none":
            for row, setup in enumerate(setups):
                if setup != UNKNOWN:
                    self.mates.setdefault(setup, []).append(row)
                    if neutral[row]:
                        self.neutral_of[setup] = row
        if pairs == "rendered":
            for row, expression in enumerate(expressions):
                if expression != UNKNOWN:
                    self.wearers.setdefault(expression, []).append(row)
        self._setup, self._expression, self._person = setups, expressions, table.person.tolist()
        self._is_neutral = [
            is_neutral and setup in self.mates for is_neutral, setup in zip(neutral, setups, strict=True)
        ]
        self.neutrals = [row for row, is_neutral in enumerate(self._is_neutral) if is_neutral]
        self.shown = torch.nonzero(table.repeats).squeeze(1).tolist()
        self._neutral_rows = torch.tensor([self.neutral_of.get(setup, UNKNOWN) for setup in setups])
        self.lone = torch.nonzero((self._neutral_rows == UNKNOWN) & (table.repeats > 0)).squeeze(1).tolist()

        self.neutral_landmarks = self._neutral_landmarks()

        repeats = table.repeats.clone()
        repeats[self.is_rare()] *= sampling.rare_repeats
        # A neutral picture comes as the mate of others often enough.
        has_mate = torch.tensor([len(self.mates.get(setup, ())) > 1 for setup in setups])
        repeats[torch.tensor(self._is_neutral) & has_mate] = 0
        self.indices = torch.repeat_interleave(repeats).tolist()

    def __len__(self) -> int:
        return len(self.indices)

    def _neutral_landmarks(self) -> Tensor:
        known = self._neutral_rows != UNKNOWN
        landmarks = torch.where(known[:, None, None], self.table.landmarks[self._neutral_rows], torch.nan)
        if self.sampling.estimated_neutrals:
            if not landmarks.isfinite().any():
                raise ConfigError(
                    "estimated_neutrals needs pictures of one person, one of them neutral, with landmarks: a rendered "
                    "corpus and pairs: rendered or neutral."
                )
            to_neutral = LandmarkMap(self.table.landmarks[known], landmarks[known])
            landmarks[~known] = to_neutral(self.table.landmarks[~known])
        return landmarks

    def is_rare(self) -> Tensor:
        """Which pictures (N,) have a landmark that is moved more than `RARE` times as far as it is moved usually.

        Movements are taken from the setup's neutral picture, usual is their root mean square over the table.
        """
        moved = (self.table.landmarks - self.table.landmarks[self._neutral_rows]).norm(dim=2)
        moved[self._neutral_rows == UNKNOWN] = torch.nan
        return (moved > self.RARE * moved.square().nanmean(0).sqrt()).any(1)

    def draw(self, indices: Tensor, generator: torch.Generator) -> Draw:
        """Who edits whom, for indices (B,) in 0..len(self): two to four edits an anchor, there and back."""
        random = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        draw = Draw()
        for anchor in indices.tolist():
            row, is_mirrored = self.indices[anchor], bool(random.random() < 0.5)
            if len(self.mates.get(self._setup[row], ())) > 1:
                self._add_pair(draw, row, is_mirrored, random)
            else:
                self._add_made_up(draw, row, is_mirrored, random)
        return draw

    def _add_pair(self, draw: Draw, row: int, is_mirrored: bool, random: np.random.Generator) -> None:
        """A picture and a mate of its setup, there and back; likewise of whoever lends the expression."""
        view = draw.add_view(is_mirrored)
        neutral_row = self.neutral_of.get(self._setup[row])
        others = [mate for mate in self.mates[self._setup[row]] if mate not in (row, neutral_row)]
        wants_neutral = self.pairs == "neutral" or random.random() < self.sampling.neutral_mate_share
        if neutral_row not in (row, None) and (wants_neutral or not others):
            mate_row = neutral_row
        else:
            mate_row = int(random.choice(others))
        target, mate = draw.add_picture(row, view), draw.add_picture(mate_row, view)

        lender_row = self._lender(row, random)
        lender_view = draw.add_view(is_mirrored)
        lender = draw.add_picture(row if lender_row is None else lender_row, lender_view)
        lender_neutral_row = None if lender_row is None else self.neutral_of.get(self._setup[lender_row])
        draw.edits.append((mate, lender, target, 1.0))

        lender_neutral = None
        if lender_neutral_row not in (None, lender_row):
            lender_neutral = draw.add_picture(lender_neutral_row, lender_view)
            draw.edits.append((lender_neutral, target, lender, 1.0))
            neutral_reference = mate if mate_row == neutral_row else None
            self._add_neutral_edit(draw, lender, lender_neutral, neutral_reference, is_mirrored, random)
        if mate_row == neutral_row:
            self._add_neutral_edit(draw, target, mate, lender_neutral, is_mirrored, random)
        else:
            mate_lender_row = self._lender(mate_row, random)
            reference_row = mate_row if mate_lender_row is None else mate_lender_row
            reference = draw.add_picture(reference_row, draw.add_view(is_mirrored))
            draw.edits.append((target, reference, mate, 1.0))

    def _add_neutral_edit(
        self,
        draw: Draw,
        source: int,
        target: int,
        reference: int | None,
        is_mirrored: bool,
        random: np.random.Generator,
    ) -> None:
        """An expression is taken off: by strength 0, or by a neutral reference."""
        if random.random() < self.sampling.neutral_code_share:
            draw.edits.append((source, source, target, 0.0))
            return
        if reference is None:
            reference = draw.add_picture(int(random.choice(self.neutrals)), draw.add_view(is_mirrored))
        draw.edits.append((source, reference, target, 1.0))

    def _add_made_up(self, draw: Draw, row: int, is_mirrored: bool, random: np.random.Generator) -> None:
        """A lone picture and a made-up expression of it, there and back, each asked for by another view of it.

        By landmarks alone it is also made neutral, and takes another lone picture's expression.
        """
        view, made_up = draw.add_view(is_mirrored), len(draw.picture)
        as_is, changed = draw.add_picture(row, view), draw.add_picture(row, view, made_up)
        other_view = draw.add_view(is_mirrored)
        references = draw.add_picture(row, other_view), draw.add_picture(row, other_view, made_up)
        draw.edits.append((changed, references[0], as_is, 1.0))
        draw.edits.append((as_is, references[1], changed, 1.0))
        if self.sampling.estimated_neutrals:
            draw.edits.append((as_is, as_is, UNKNOWN, 0.0))
        if self.sampling.lent_movements:
            stranger = draw.add_picture(int(random.choice(self.lone)), draw.add_view(is_mirrored))
            draw.edits.append((as_is, stranger, UNKNOWN, 1.0))

    def _lender(self, row: int, random: np.random.Generator) -> int | None:
        """Another person who wears the picture's expression, or None."""
        if random.random() < self.sampling.own_reference_share:
            return None
        lenders = self._lenders(row)
        return int(random.choice(lenders)) if lenders else None

    def _lenders(self, row: int) -> list[int]:
        """The pictures of other persons who wear a picture's expression."""
        wearers = self.wearers.get(self._expression[row], ())
        return [other for other in wearers if self._person[other] != self._person[row]]

    def batch(self, indices: Tensor, generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
        """Random views of a draw.

        Returns:
            dict: of the P pictures `images` (P, 3, size, size) in [-1, 1], `landmarks` (P, 68, 2) in -1..1 over the
            crop (NaN where unknown), `neutral_landmarks`, those of the person's neutral face in the same view,
            `setup`, `expression`, `person`, `corpus` (P,), and `is_neutral` (P,) bool, False where the recipe may not
            know. An expression and its mirror image have different numbers; unknown ones and neutral ones are -1. Of
            the E edits `source`, `reference`, `target` (E,) as places among the pictures, `target_landmarks`
            (E, 68, 2), `strength` (E, 1), `has_target` (E,) bool.
        """
        draw, table = self.draw(indices, generator), self.table
        rows, view_of = torch.tensor(draw.picture), torch.tensor(draw.view)
        made_up, is_mirrored = torch.tensor(draw.made_up), torch.tensor(draw.is_mirrored)
        views = self.views.draw(len(is_mirrored), generator)
        views.affine = mirror(views.affine, is_mirrored)

        images = table.images[rows].to(device).float()
        changed = torch.nonzero(made_up >= 0).squeeze(1)
        if len(changed):
            _, which = made_up[changed].unique(return_inverse=True)
            images[changed] = warp_expressions(images[changed], self.template, generator, which)
        images = views.seen(images, view_of)
        if len(self.shown) > 1:
            behind = torch.tensor(self.shown)[torch.randint(len(self.shown), (len(is_mirrored),), generator=generator)]
            images = views.on_backgrounds(images, view_of, table.images[behind].to(device), self.template, generator)
        images = apply_gain_field(images, views.gain_field[view_of])
        images = apply_color_jitter(images, views.color_jitter[view_of])
        images = degrade(images, view_of, self.degradation, generator)

        source, reference, target, strength = (torch.tensor(column) for column in zip(*draw.edits, strict=True))
        is_pictured = target != UNKNOWN
        target = torch.where(is_pictured, target, source)
        is_paired = torch.rand(len(source), generator=generator) >= self.sampling.unpaired_share
        is_paired = is_paired | ~is_pictured
        stranger = torch.randint(len(rows), (len(source),), generator=generator)
        knows_pairs = made_up < 0
        expression = torch.where(knows_pairs, table.expression[rows], UNKNOWN)
        if self.pairs != "rendered":
            expression = torch.full_like(expression, UNKNOWN)
        expression = torch.where(expression != UNKNOWN, 2 * expression + is_mirrored[view_of], UNKNOWN)
        landmarks, neutral_landmarks = (
            views.landmarks_seen(torch.where(knows_pairs[:, None, None], points[rows], torch.nan), view_of)
            for points in (table.landmarks, self.neutral_landmarks)
        )
        # All crops are aligned, so a movement of one face is one of another's.
        lent = rows[reference]
        movements = (table.landmarks[lent] - self.neutral_landmarks[lent]) * strength[:, None, None]
        moved = views.landmarks_seen(self.neutral_landmarks[rows[source]] + movements, view_of[source])
        target_landmarks = torch.where(is_pictured[:, None, None], landmarks[target], moved)
        batch = {
            "images": images * 2 - 1,
            "landmarks": landmarks,
            "neutral_landmarks": neutral_landmarks,
            "setup": view_of,
            "expression": expression,
            "person": table.person[rows],
            "corpus": table.corpus[rows],
            "is_neutral": torch.tensor([self._is_neutral[row] for row in draw.picture]) & knows_pairs,
            "source": source,
            "reference": torch.where(is_paired, reference, stranger),
            "target": target,
            "target_landmarks": torch.where(is_paired[:, None, None], target_landmarks, torch.nan),
            "strength": torch.where(is_paired, strength, 1.0)[:, None],
            "has_target": is_paired & is_pictured,
        }
        return {name: value.to(device) for name, value in batch.items()}

    def triplets(self, limit: int) -> dict[str, Tensor]:
        """The cross-person edits with a known result, as they are, to choose checkpoints on.

        Returns:
            dict: `source`, `reference`, `target` (N, 3, size, size) in [-1, 1] and `corpus` (N,), N at most `limit`;
            where no expression is worn by two persons each picture is its own reference, and where one has no mate a
            made-up expression is the source.
        """
        fixed = np.random.default_rng(0)
        rows = []
        for row in np.unique(self.indices):
            lenders = self._lenders(row)
            mates = [mate for mate in self.mates.get(self._setup[row], ()) if mate != row]
            rows.append(
                (int(fixed.choice(mates)) if mates else row, int(fixed.choice(lenders)) if lenders else row, int(row))
            )
        if any(reference != target for _, reference, target in rows):
            rows = [row for row in rows if row[1] != row[2] and row[0] != row[2]]
        rows = [rows[place] for place in np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(int)]
        source, reference, target = (torch.tensor(column) for column in zip(*rows, strict=True))
        sources, references, targets = (self.table.images[indices].float() for indices in (source, reference, target))
        alone = torch.nonzero(source == target).squeeze(1)
        if len(alone):
            sources[alone] = warp_expressions(sources[alone], self.template, torch.Generator().manual_seed(0))
        views = Views(size=self.size).draw(1, torch.Generator().manual_seed(0))
        same = torch.zeros(len(source), dtype=torch.long)
        return {
            name: views.seen(images, same) * 2 - 1
            for name, images in (("source", sources), ("reference", references), ("target", targets))
        } | {"corpus": self.table.corpus[target]}
