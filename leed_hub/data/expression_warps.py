"""Made-up expressions: a face warped where muscles move it, for pictures whose person has no other picture.

A warp opens no mouth and folds no cheek, but it moves corners, lips, jaw, brows and lids; what reads it and makes it on
another face has learned where they are.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# Each move as place, size and direction of a Gaussian push. Across: in eye distances from the middle of the face, and
# mirrored to its other half, so that lips and chin are pushed twice; down: 0 is the eyes' line, 1 the mouth's. One
# amount a move, which may be negative.
MOVES = (  # across, down, sigma in eye distances, push across, push down
    (0.41, 1.00, 0.21, 1.0, 0.0),  # mouth corners wider
    (0.41, 1.00, 0.21, 0.0, 1.0),  # mouth corners down
    (0.00, 0.90, 0.18, 0.0, 1.0),  # upper lip
    (0.00, 1.26, 0.32, 0.0, 1.0),  # lower lip and chin
    (0.27, -0.26, 0.21, 0.0, 1.0),  # inner brows
    (0.68, -0.26, 0.21, 0.0, 1.0),  # outer brows
    (0.50, -0.06, 0.14, 0.0, 1.0),  # lids
)
LARGEST = 0.4  # of a push, in its sigma: the sum of all still folds nothing over
UNEVENNESS = 0.2  # how far the two halves of a face may differ


def warp_expressions(
    images: Tensor, template: tuple[float, ...], generator: torch.Generator, which: Tensor | None = None
) -> Tensor:
    """Give each face a random made-up expression.

    Args:
        images: (B, C, S, S) crops.
        template: where eyes and mouth corners are in them, as in `LEEDConfig`.
        generator: of the amounts, seven numbers an expression and one factor a half.
        which: (B,), faces of one number get one expression; each its own by default.
    Returns:
        Tensor: (B, C, S, S) float, in the images' own range.
    """
    height, width = images.shape[-2:]
    which = torch.arange(len(images)) if which is None else which
    count = int(which.max()) + 1
    x, y = (2 * torch.tensor(template) - 1).view(4, 2).T  # image-left and -right eye and mouth corner; -1 to 1
    middle, eyes, mouth, eye_distance = x.mean(), y[:2].mean(), y[2:].mean(), x[1] - x[0]
    across, down, sigma, push_x, push_y = torch.tensor(MOVES).T
    sides = torch.tensor([[-1.0], [1.0]])
    place_x = (middle + sides * across * eye_distance).flatten()  # (14,)
    place_y = (eyes + down * (mouth - eyes)).repeat(2)
    sigma = (sigma * eye_distance).repeat(2)
    push = torch.stack([(sides * push_x).flatten(), push_y.repeat(2)], dim=1) * (LARGEST * sigma)[:, None]
    amounts = (2 * torch.rand(count, len(MOVES), generator=generator) - 1).repeat(1, 2)
    amounts = amounts * (1 + UNEVENNESS * (2 * torch.rand(amounts.shape, generator=generator) - 1))
    amounts = amounts[which]

    here = F.affine_grid(torch.eye(2, 3)[None], [1, 1, height, width], align_corners=False)  # (1, H, W, 2)
    squared = (here[..., :1] - place_x).square() + (here[..., 1:] - place_y).square()  # (1, H, W, 14)
    nearness = torch.exp(-squared / (2 * sigma.square()))[0]
    places = here + torch.einsum("hwk,bk,kc->bhwc", nearness, amounts, push)
    return F.grid_sample(images.float(), places.to(images.device), padding_mode="border", align_corners=False)
