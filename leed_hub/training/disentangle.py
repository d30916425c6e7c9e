"""Closed-form disentanglement: what is left of the expression in an editor's z_n goes over into d.

Gradients do not get there: the loss that asks for one neutral point a person falls, while a probe still reads the
expression off z_n in faint directions that the loss hardly sees. Fisher's linear discriminant weighs each direction
beside its own variance, as a probe does, and needs no more than what the training knows: which pictures show one
person. For a lone picture whose neutral landmarks the training was told, the z_n that they taught stands for the
person's neutral picture: renders alone would not say what is neutral in the wild. X, T and the decoder's first layer
are then fitted anew by least squares: X to the codes that others have in the same expression, so that e tells less of
who wears it, and the others so that the decoder is told the same way to go as before. Source: Fisher 1936, doi
10.1111/j.1469-1809.1936.tb02137.x.
"""

import dataclasses
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from leed_hub.errors import ConfigError
from leed_hub.models.leed import LEEDModel

RIDGE = 3e-3  # of the mean square of what a fit starts from


@torch.no_grad()
def disentangle_codes(model: LEEDModel, batches: Iterable[dict[str, Tensor]], *, identity_dim: int) -> LEEDModel:
    """An editor that edits as `model` does, and whose z_n holds as little of the expression as can be.

    Args:
        model: the trained editor, on the CPU; it stays as it is.
        batches: of `EditingPairs`, a few thousand pictures together, seen as the training sees them: fits on pictures
            without its changes of light and framing do not hold for photographs.
        identity_dim: numbers that the new N passes on.
    Raises:
        ConfigError: if no batch shows a person's neutral picture beside another one, or `identity_dim` is out of range.
    """
    if not 1 <= identity_dim <= model.config.manifold_dim:
        raise ConfigError(f"identity_dim must lie between 1 and {model.config.manifold_dim}; got {identity_dim}.")
    model.eval()
    parts: list[tuple[Tensor, ...]] = []
    setups = 0
    for batch in batches:
        faces = model.encode(batch["images"])
        setup = batch["setup"] + setups
        parts.append(
            (faces.point, faces.neutral_point, faces.expression_code, setup)
            + tuple(batch[name] for name in ("is_neutral", "corpus", "expression", "person"))
            + (batch["neutral_landmarks"].isfinite().flatten(1).all(1),)
        )
        setups = int(setup.max()) + 1
    columns = map(torch.cat, zip(*parts, strict=True))
    point, old_neutral, code, setup, is_neutral, corpus, expression, person, has_landmarks = columns

    # Each picture beside its setup's neutral one.
    neutral_of = torch.full((setups,), -1)
    neutral_of[setup[is_neutral]] = torch.nonzero(is_neutral).squeeze(1)
    knows_neutral = neutral_of[setup] >= 0
    paired = knows_neutral & ~is_neutral
    if not paired.any():
        raise ConfigError(
            "Closed-form disentanglement needs a person who is known to be neutral in one picture of a pair."
        )

    # N: the directions in which one person's pictures agree, and from them the neutral picture's z. Persons are told
    # apart within the corpus that shows most pairs: what differs most between corpora is how they were made.
    everybody = point[corpus == corpus[paired].mode().values]
    centre = everybody.mean(dim=0)
    told = has_landmarks & ~knows_neutral
    wanted_neutral = torch.where(knows_neutral[:, None], point[neutral_of[setup]], old_neutral)
    pairs, known = paired | told, knows_neutral | told
    steady = fisher_directions(point[pairs], wanted_neutral[pairs], everybody, identity_dim)
    identity = (point - centre) @ steady
    to_point = _fit(_with_one(identity[known]), wanted_neutral[known])
    neutral_point = _with_one(identity) @ to_point
    displacement = point - neutral_point

    # From here on without the corpora of which no neutral face is known: they may lie so far off that they rule every
    # fit.
    shown = torch.nonzero(torch.isin(corpus, corpus[pairs])).squeeze(1)

    # X: the old code that others have who wear the expression, and zero where a face is neutral. A face's own code
    # also tells who wears it; nobody else wears what a lone picture does.
    straight = model.extractor.straightened(code)
    straight = straight - straight[is_neutral].mean(dim=0)
    wearers, common = codes_of_others(straight, expression, person)
    if len(wearers):
        neutral, lone = (torch.nonzero(rows).squeeze(1) for rows in (is_neutral, told & (expression < 0)))
        none = torch.zeros(len(neutral), straight.shape[1])
        codes = torch.cat([common, none, straight[lone]])
        extractor = _fit(displacement[torch.cat([wearers, neutral, lone])], codes)
    else:  # a recipe that does not know who wears the same
        extractor = _fit(displacement[shown], straight[shown])

    # T, and the decoder's first layer for what depends on the source alone: the way z' - z is the old one, with the
    # others' expressions and at strength 0.
    generator = torch.Generator().manual_seed(0)
    strangers = [shown[torch.randperm(len(shown), generator=generator)] for _ in range(3)]
    rows, referred = shown.repeat(3), torch.cat(strangers)
    strength = torch.ones(len(rows), 1)
    strength[2 * len(shown) :] = 0
    start = point[rows]
    wanted = old_neutral[rows] + strength * model.transform(old_neutral[rows], code[referred]) - start
    new_code = model.extractor.bounded(displacement[referred] @ extractor)
    activity = _activity(model.transformer_personal[0], neutral_point[rows], new_code)
    asked = torch.cat([new_code, activity], dim=1) * strength
    explained = _fit(torch.cat([asked, _with_one(start)], dim=1), wanted)
    common, personal = explained[: new_code.shape[1]], explained[new_code.shape[1] : asked.shape[1]]
    way = neutral_point[rows] - start + asked @ explained[: asked.shape[1]]
    rest = _fit(_with_one(start), wanted - way)

    disentangled = LEEDModel(dataclasses.replace(model.config, identity_dim=identity_dim))
    weights = model.state_dict()
    from_point, from_way = weights["decoder.condition.0.weight"].chunk(2, dim=1)
    weights |= {
        "neutral_mapping.0.weight": steady.T,
        "neutral_mapping.0.bias": -(centre @ steady),
        "neutral_mapping.1.weight": to_point[:-1].T,
        "neutral_mapping.1.bias": to_point[-1],
        "extractor.weight": extractor.T,
        "transformer_common.weight": common.T,
        "transformer_personal.2.weight": personal.T,
        "decoder.condition.0.weight": torch.cat([from_point + from_way @ rest[:-1].T, from_way], dim=1),
        "decoder.condition.0.bias": weights["decoder.condition.0.bias"] + from_way @ rest[-1],
    }
    disentangled.load_state_dict(weights)
    return disentangled.eval()


def fisher_directions(codes: Tensor, mates: Tensor, everybody: Tensor, count: int) -> Tensor:
    """The directions in which pairs differ least beside the variance over all, each scaled to unit variance.

    Args:
        codes, mates: (N, D) each; row by row, what should be equal.
        everybody: (M, D).
        count: how many, at most D.
    Returns:
        Tensor: (D, count), the best first.
    """
    gaps = (codes - mates).double()
    within, total = gaps.T @ gaps / (2 * len(gaps)), everybody.T.double().cov()
    # In both, so that a dimension in which nobody differs is the last choice, not the first.
    ridge = RIDGE * total.diagonal().mean() * torch.eye(len(total), dtype=total.dtype)
    within, total = within + ridge, total + ridge
    # Whitened by the scatter of all, pairs differ least along the first eigenvectors of their own scatter.
    whitening = torch.linalg.inv(torch.linalg.cholesky(total)).T
    _, vectors = torch.linalg.eigh(whitening.T @ within @ whitening)
    directions = (whitening @ vectors[:, :count]).float()
    return directions / (everybody @ directions).std(dim=0).clamp(min=1e-6)


def codes_of_others(codes: Tensor, expression: Tensor, person: Tensor) -> tuple[Tensor, Tensor]:
    """What the other persons in a picture's expression have for a code.

    Args:
        codes: (N, D).
        expression, person: (N,), equal numbers for equal ones; pictures of expression -1 are left out.
    Returns:
        tuple: the rows (M,) of pictures whose expression somebody else wears, and the mean codes (M, D) of these.
    """

    def sums(groups: Tensor) -> tuple[Tensor, Tensor]:
        """Of each row's group: the sum of its codes, and how many they are."""
        _, place, count = groups.unique(dim=0, return_inverse=True, return_counts=True)
        return codes.new_zeros(len(count), codes.shape[1]).index_add(0, place, codes)[place], count[place]

    all_codes, everybody = sums(expression)
    own_codes, own = sums(torch.stack([expression, person], dim=1))
    rows = torch.nonzero((expression >= 0) & (everybody > own)).squeeze(1)
    return rows, ((all_codes - own_codes)[rows] / (everybody - own)[rows, None])


def _activity(layer: torch.nn.Module, neutral_point: Tensor, code: Tensor) -> Tensor:
    """What a code changes in the hidden layer of T's personal part."""
    without = layer(torch.cat([neutral_point, torch.zeros_like(code)], dim=1))
    return F.silu(layer(torch.cat([neutral_point, code], dim=1))) - F.silu(without)


def _with_one(features: Tensor) -> Tensor:
    """A last column of ones, whose weights are a fit's constant."""
    return torch.cat([features, torch.ones(len(features), 1)], dim=1)


def _fit(features: Tensor, wanted: Tensor) -> Tensor:
    """Ridge regression: weights (D, E) with features (N, D) @ weights near wanted (N, E)."""
    features, wanted = features.double(), wanted.double()
    moment = features.T @ features / len(features)
    ridge = RIDGE * moment.diagonal().mean() * torch.eye(len(moment), dtype=moment.dtype)
    return torch.linalg.solve(moment + ridge, features.T @ wanted / len(features)).float()
