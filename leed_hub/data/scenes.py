"""Scenes with known faces for the locator's training: faces set onto backgrounds, or only what looks like one.

Every draw comes from the given generator. Places are in units of half a picture's side, (0, 0) being its middle, as
`grid_sample` has them; grey pictures only, as the locator sees no others.
"""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from leed_hub.data.augment import Light, relit, roughened
from leed_hub.data.face_bank import FaceBank
from leed_hub.models.face_locator import STRIDE, FaceLocatorConfig, face_frames, placed

MIRRORED = [1, 0, 2, 4, 3]  # the five points change places in a mirror
TEXTURE_SIZE = 256
FRAME_GREY = 127 / 255  # what the locator sees beyond a picture's edge


def textures(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Made-up backgrounds (count, 1, size, size) uint8: clouds of many grains; on most are leaves, stripes or clutter.

    Overlapping shapes have edges of all sizes, as photographs do (the dead leaves model, Lee et al. 2001).
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    made = torch.zeros(count, size, size)
    for index in range(count):
        fall = 0.3 + 0.9 * uniform(1)  # how much a finer grain weighs less
        picture = torch.zeros(1, 1, size, size)
        for octave in range(1, 7):
            grain = torch.randn(1, 1, 2**octave + 1, 2**octave + 1, generator=generator)
            mode = "bicubic" if octave < 6 else "bilinear"
            picture += fall**octave * F.interpolate(grain, size=(size, size), mode=mode, align_corners=True)
        picture = picture[0, 0] / picture.std()
        slope = uniform(2) * 4 - 2
        picture = picture * uniform(1) ** 2 + slope[0] * x * uniform(1) + slope[1] * y * uniform(1)
        if index % 4 == 1:  # leaves: ellipses, of which some are round and small like eyes
            for _ in range(int(5 + 60 * uniform(1) ** 2)):
                draw = uniform(8)
                angle = torch.pi * draw[2]
                cos, sin = torch.cos(angle), torch.sin(angle)
                u, v = x - draw[0] * 2.4 + 1.2, y - draw[1] * 2.4 + 1.2
                radius = 0.03 + 0.5 * draw[3] ** 3
                long, short = (u * cos + v * sin) / radius, (v * cos - u * sin) / radius / (0.25 + 0.75 * draw[4])
                inside = (long.abs() + short.abs() < 1) if draw[7] < 0.2 else (long**2 + short**2 < 1)
                if draw[7] > 0.8:
                    inside = (long.abs() < 1) & (short.abs() < 1)
                fill = 3 * (draw[5] - 0.5) + (draw[6] - 0.5) * long + 0.2 * picture
                picture = torch.where(inside, fill, picture)
        elif index % 4 == 2:  # stripes, crossed on some
            draw = uniform(6)
            for turn in (draw[0], draw[0] + 0.5)[: 1 + int(draw[1] < 0.4)]:
                angle = torch.pi * turn
                wave = torch.sin((6 + 90 * draw[2] ** 2) * (x * torch.cos(angle) + y * torch.sin(angle)) + 6 * draw[3])
                picture = picture + (0.3 + draw[4]) * (wave.sign() if draw[5] < 0.5 else wave)
        elif index % 4 == 3:  # clutter: many shapes of nearly one size, from stones to blades to specks
            draw = uniform(4)
            shapes, radius = int(40 * 20 ** draw[0]), 0.01 * size * 12 ** draw[1]
            ground = np.ascontiguousarray(picture.numpy())
            thin, dark = 3 * draw[2].item(), 0.3 + 3 * draw[3].item()
            for left, top, grow, narrow, turn, fill in uniform(shapes, 6).tolist():
                length = 2 * radius.item() * (0.5 + grow)
                box = ((left * size, top * size), (length, length * max(narrow**thin, 0.08)), 360 * turn)
                fill = 4 * fill**dark - 1
                if narrow < 0.3:
                    cv2.fillConvexPoly(ground, cv2.boxPoints(box).round().astype(np.int32), fill)
                else:
                    cv2.ellipse(ground, box, fill, -1)
            picture = torch.from_numpy(ground) + 0.4 * picture
        low, high = picture.quantile(0.01), picture.quantile(0.99)
        picture = (picture - low) / (high - low).clamp(min=1e-3)
        contrast, floor = uniform(1) ** 0.5, uniform(1)
        made[index] = floor * (1 - contrast) + contrast * picture.clamp(0, 1)
    return (made[:, None] * 255).round().to(torch.uint8)


class LocatorScenes:
    """Training batches for `FaceLocatorModel`.

    A scene has one face in three of four, sometimes a second, and may hold decoys: parts of faces, faces far too large,
    pictures whose face is hidden. The detector sees scenes at half the resolution the refiner's crops are cut from, as
    in use, where crops come from the photograph itself.

    Args:
        bank: the faces.
        config: the locator's; says which sizes of faces the detector shall know.
        size: side of the detector's scenes in pixels, a multiple of 8.
        texture_count: how many backgrounds are made up.
    """

    def __init__(self, bank: FaceBank, config: FaceLocatorConfig, size: int = 80, texture_count: int = 600):
        self.bank, self.config, self.size, self.canvas = bank, config, size, 2 * size
        self.order = torch.arange(len(bank.images)).repeat_interleave(bank.repeats)
        self.middles, self.axes = face_frames(bank.points)
        self.textures = textures(texture_count, TEXTURE_SIZE, torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.order)

    def batch(self, anchors: Tensor, generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
        """Scenes (B, 1, size, size) around the anchors (B,) with what the detector shall say of them, and crops.

        Returns:
            dict: `images`; `heat` (B, H/8, W/8) in 0..1, 1 in the cell of a face and NaN around half a one; `points`
            (B, 5, 2, H/8, W/8) of the nearest face and `side` (B, H/8, W/8), its side, in pixels; `crops` (3B, 1,
            crop_size, crop_size), `is_face` (3B,), 0, 1 or NaN where it is unclear, and `crop_points` (3B, 5, 2) in
            units of half the crop's side. Pictures lie in [-1, 1].
        """
        canvas, points, visible = self.scenes(self.order[anchors], generator)
        batch = self._cell_targets(points, visible)
        batch |= self._crops(canvas, points, visible, generator)
        batch["images"] = F.avg_pool2d(canvas, 2) * 2 - 1
        return {name: value.to(device) for name, value in batch.items()}

    def scenes(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (B, 1, 2 size, 2 size) in [0, 1], points (B, 2, 5, 2) of up to two faces, and how many of a face's
        five lie inside the picture (B, 2), 0 where there is no face.

        A face of the bank's rows (B,) is the first of each scene.
        """
        count = len(rows)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        def any_rows(number: int) -> Tensor:
            return torch.randint(len(self.bank.images), (number,), generator=generator)

        low, high = (2 * side / self.size for side in (self.config.smallest_face, self.config.largest_face))
        everywhere = torch.ones(())

        def lay(where: Tensor, layer: Tensor, alpha: Tensor) -> None:
            canvas[where] = torch.lerp(canvas[where], layer, alpha)

        # Background: a texture, or in half of the scenes a photograph whose face a texture hides.
        canvas = self._texture_layer(count, generator)
        photo = torch.nonzero(uniform(count) < 0.5).squeeze(1)
        sides = low * (4 * high / low) ** uniform(len(photo))
        middles = uniform(len(photo), 2) * 2.4 - 1.2
        axes = _axes(sides, normal(len(photo)) * 0.3)
        ground = self._sampled(any_rows(len(photo)), middles, axes, uniform(len(photo)) < 0.5)
        lay(photo, ground[:, :1], ground[:, 1:])
        radii = 0.62 + 0.2 * uniform(len(photo), 2)
        lay(photo, self._texture_layer(len(photo), generator), _blob(self.canvas, middles, axes, radii, 0.05))

        # Two faces, the second in a third of the scenes. Those without one get a part of a face, or one far too large.
        points = torch.zeros(count, 2, 5, 2)
        present = torch.zeros(count, 2, dtype=torch.bool)
        first_middles, first_sides = torch.zeros(count, 2), torch.zeros(count)
        for layer in range(2):
            is_face = uniform(count) < (0.75, 0.33)[layer]
            is_decoy = ~is_face & (uniform(count) < (0.9, 0.3)[layer])
            is_part = is_decoy & (uniform(count) < (0.4, 1.0)[layer])
            sides = low * (high / low) ** uniform(count)
            sides = torch.where(is_decoy & ~is_part, high * 1.5 * 4 ** uniform(count), sides)
            middles = (uniform(count, 2) * 2 - 1) * (1.1 - 0.3 * sides.clamp(max=1))[:, None]
            axes = _axes(sides, torch.deg2rad(normal(count) * 14).clamp(-0.7, 0.7))
            flips = uniform(count) < 0.5
            if layer:  # far enough from the first one that neither hides the other
                apart = (middles - first_middles).norm(dim=1) > 0.75 * (sides + first_sides)
                is_face, is_decoy = is_face & apart, is_decoy & apart
            # Of a part, the mask shows another place of the picture than the face's middle.
            away = _axes(sides * (0.9 + 0.5 * uniform(count)), 6.283 * uniform(count))
            radii = (0.62 + 0.45 * uniform(count, 2)) * torch.where(is_part, 0.45, 1.0)[:, None]
            is_cut_out = is_part | is_face & (uniform(count) < (0.5, 1.0)[layer])
            which = any_rows(count) if layer else rows
            at = torch.nonzero(is_face | is_decoy).squeeze(1)
            seen_at = torch.where(is_part[:, None], middles + away, middles)
            shown = self._sampled(which[at], seen_at[at], axes[at], flips[at])
            mask = _blob(self.canvas, middles[at], axes[at], radii[at], 0.12)
            mask = torch.where(is_cut_out[at][:, None, None, None], mask, everywhere)
            lay(at, shown[:, :1], shown[:, 1:] * mask)
            points[:, layer] = self._carried(which, flips, middles, axes)
            present[:, layer] = is_face
            if not layer:
                first_middles, first_sides = middles, sides

        # Something before the first face in some.
        before = torch.nonzero(uniform(count) < 0.3).squeeze(1)
        sides = first_sides[before]
        near = first_middles[before] + _axes(sides * (0.25 + 0.6 * uniform(len(before))), 6.283 * uniform(len(before)))
        axes, radii = _axes(sides, 3.1 * uniform(len(before))), 0.08 + 0.3 * uniform(len(before), 2)
        lay(before, self._texture_layer(len(before), generator), _blob(self.canvas, near, axes, radii, 0.05))

        light = Light(gamma=0.5, gain=0.4, offset=0.15, tint=0, saturation=0).draw(count, generator)
        canvas = roughened(relit(canvas, light), 0.35, 1.0, generator)
        canvas, inside = self._framed(canvas, generator)
        visible = ((points > inside[:, None, None, :2]) & (points < inside[:, None, None, 2:])).all(dim=3).sum(dim=2)
        return canvas, points, torch.where(present, visible, 0)

    def _sampled(self, rows: Tensor, middles: Tensor, axes: Tensor, flips: Tensor) -> Tensor:
        """The bank's rows as (M, 2, canvas, canvas) in [0, 1], the face's frame laid onto middles and axes (M, 2)."""
        grid = _grid(self._to_source(rows, middles, axes, flips), self.canvas)
        return F.grid_sample(self.bank.images[rows].float().div_(255), grid, align_corners=False)

    def _to_source(self, rows: Tensor, middles: Tensor, axes: Tensor, flips: Tensor) -> Tensor:
        """Affine maps (M, 2, 3) from the canvas to the bank's pictures."""
        sign = torch.where(flips, -1.0, 1.0)
        own_middle, own_axis = self._own_frame(rows, flips)
        # Complex division: how the canvas' axis turns and stretches into the picture's own.
        square = (axes**2).sum(dim=1)
        real = (own_axis * axes).sum(dim=1) / square
        imaginary = (own_axis[:, 1] * axes[:, 0] - own_axis[:, 0] * axes[:, 1]) / square
        turn = torch.stack([torch.stack([real, -imaginary], 1), torch.stack([imaginary, real], 1)], 1)
        shift = own_middle - (turn @ middles[:, :, None])[:, :, 0]
        theta = torch.cat([turn, shift[:, :, None]], dim=2)
        return torch.cat([theta[:, :1] * sign[:, None, None], theta[:, 1:]], dim=1)

    def _own_frame(self, rows: Tensor, flips: Tensor) -> tuple[Tensor, Tensor]:
        """Middle and axis of the bank's faces, mirrored where `flips` says so."""
        sign = torch.where(flips, -1.0, 1.0)
        middle, axis = self.middles[rows].clone(), self.axes[rows].clone()
        middle[:, 0] *= sign
        axis[:, 1] *= sign
        return middle, axis

    def _carried(self, rows: Tensor, flips: Tensor, middles: Tensor, axes: Tensor) -> Tensor:
        """Where the points of the bank's rows (M,) come to lie on the canvas, (M, 5, 2)."""
        points = self.bank.points[rows]
        points = torch.where(flips[:, None, None], points[:, MIRRORED] * torch.tensor([-1.0, 1.0]), points)
        own_middle, own_axis = self._own_frame(rows, flips)
        square = (own_axis**2).sum(dim=1, keepdim=True)
        real = (own_axis * axes).sum(dim=1, keepdim=True) / square
        imaginary = (axes[:, 1:] * own_axis[:, :1] - axes[:, :1] * own_axis[:, 1:]) / square
        return placed(points - own_middle[:, None], middles, torch.cat([real, imaginary], dim=1))

    def _texture_layer(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 1, canvas, canvas) in [0, 1]: pieces of the textures."""
        which = torch.randint(len(self.textures), (count,), generator=generator).tolist()
        corners = torch.randint(TEXTURE_SIZE - self.canvas + 1, (count, 2), generator=generator).tolist()
        layer = torch.empty(count, 1, self.canvas, self.canvas, dtype=torch.uint8)
        for index, (row, (top, left)) in enumerate(zip(which, corners, strict=True)):
            layer[index] = self.textures[row, :, top : top + self.canvas, left : left + self.canvas]
        return layer.float().div_(255)

    def _framed(self, canvas: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Grey beyond some edges in a quarter of the scenes, as where photographs end; (B, 4) is the box that stays."""
        count = len(canvas)
        cut = 0.7 * torch.rand(count, 4, generator=generator)
        cut = (
            cut * (torch.rand(count, 4, generator=generator) < 0.6) * (torch.rand(count, 1, generator=generator) < 0.25)
        )
        inside = (1 - cut) * torch.tensor([-1.0, -1.0, 1.0, 1.0])  # x0, y0, x1, y1
        place = (torch.arange(self.canvas) + 0.5) * 2 / self.canvas - 1
        columns = (place > inside[:, :1]) & (place < inside[:, 2:3])
        lines = (place > inside[:, 1:2]) & (place < inside[:, 3:])
        return torch.where((lines[:, :, None] & columns[:, None, :])[:, None], canvas, FRAME_GREY), inside

    def _cell_targets(self, points: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """What the detector's cells shall say."""
        count, cells = len(points), self.size // STRIDE
        pixels = (points + 1) * self.size / 2 - 0.5  # (B, 2, 5, 2)
        middles, axes = (each.unflatten(0, (count, 2)) for each in face_frames(pixels.flatten(0, 1)))
        sides = axes.norm(dim=2)
        place = (torch.arange(cells) + 0.5) * STRIDE - 0.5
        cell = torch.stack(torch.meshgrid(place, place, indexing="xy"))  # (2, H/8, W/8), x first
        away = (cell[None, None] - middles[..., None, None]).abs()  # (B, 2, 2, H/8, W/8)
        spread = (0.12 * sides)[..., None, None].clamp(min=2.5)
        heat = torch.exp(-away.square().sum(dim=2) / (2 * spread**2))
        heat = torch.where((away < STRIDE / 2).all(dim=2), 1.0, heat) * (visible > 3)[..., None, None]
        unclear = ((visible > 0) & (visible < 4))[..., None, None] & (away.amax(dim=2) < 0.6 * sides[..., None, None])
        nearest = heat.argmax(dim=1, keepdim=True)  # (B, 1, H/8, W/8)
        first = (nearest == 0)[:, :, None]  # (B, 1, 1, H/8, W/8)
        chosen = torch.where(first, pixels[:, 0, :, :, None, None], pixels[:, 1, :, :, None, None])
        side = torch.where(first[:, 0, 0], sides[:, 0, None, None], sides[:, 1, None, None])
        heat = torch.where(unclear.any(dim=1), torch.nan, heat.amax(dim=1))
        return {"heat": heat, "points": chosen, "side": side}

    def _crops(self, canvas: Tensor, points: Tensor, visible: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Three crops a scene: the first face as the detector may find it, the same badly framed, and another place."""
        count = len(canvas)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator)

        middles, axes = (each.unflatten(0, (count, 2)) for each in face_frames(points.flatten(0, 1)))
        sides, first, first_axes = axes.norm(dim=2), middles[:, 0], axes[:, 0]
        # Near misses of the detector around the first face.
        near = first + (uniform(count, 2) - 0.5) * 0.36 * sides[:, :1]
        near_axes = _turned(first_axes * torch.exp((uniform(count, 1) - 0.5) * 0.5), (uniform(count) - 0.5) * 0.6)
        # Badly framed: off by its own size, much too wide, or only an eye, the nose, a corner of the mouth. A face that
        # is far too large for the scene shows such parts only.
        off = first + _axes(sides[:, 0] * (0.45 + 0.5 * uniform(count)), 6.283 * uniform(count))
        kind = uniform(count, 1)
        part = points[torch.arange(count), 0, torch.randint(5, (count,), generator=generator)]
        part = part + (uniform(count, 2) - 0.5) * 0.3 * sides[:, :1]
        off = torch.where(kind < 0.4, part, torch.where(kind < 0.6, near, off))
        zoom = torch.where(kind < 0.4, 0.15 + 0.35 * uniform(count, 1), torch.where(kind < 0.6, 1.9, 1.0))
        off_axes = _turned(first_axes * zoom, (uniform(count) - 0.5) * 0.6)
        is_part = visible[:, :1] == 0
        near = torch.where(is_part, part, near)
        near_axes = torch.where(is_part, first_axes * (0.15 + 0.35 * uniform(count, 1)), near_axes)
        # Anywhere, at any turn.
        low, high = (2 * side / self.size for side in (self.config.smallest_face, self.config.largest_face))
        far = uniform(count, 2) * 2 - 1
        far_axes = _axes(low * (high / low) ** uniform(count), 6.283 * uniform(count))

        crop_middles, crop_axes = torch.cat([near, off, far]), torch.cat([near_axes, off_axes, far_axes])
        points, middles, axes, visible = (torch.cat([each] * 3) for each in (points, middles, axes, visible))
        sides, every = axes.norm(dim=2), torch.arange(3 * count)
        crop_sides = crop_axes.norm(dim=1, keepdim=True)
        alike = (axes * crop_axes[:, None]).sum(dim=2) / (sides * crop_sides)  # the cosine of the turn between them
        miss = (middles - crop_middles[:, None]).norm(dim=2) / sides + (sides / crop_sides).log().abs()
        miss = torch.where((visible > 0) & (alike > 0.5), miss, torch.inf)  # (3B, 2)
        best, which = miss.min(dim=1)
        half = self.config.crop_scale / 2 * crop_axes  # half the crop's side, turned
        crops = self._cut_out(canvas, crop_middles, half)
        square = (half**2).sum(dim=1)[:, None]
        x, y = (points[every, which] - crop_middles[:, None]).unbind(dim=2)
        cos, sin = half[:, :1], half[:, 1:]
        crop_points = torch.stack([(cos * x + sin * y) / square, (cos * y - sin * x) / square], dim=2)
        # Nothing is asked between well framed and badly framed, nor of a face that lies half outside the picture.
        is_whole = visible[every, which] > 3
        is_face = torch.where((best < 0.36) & is_whole, 1.0, torch.where(best > 0.55, 0.0, torch.nan))
        return {"crops": crops * 2 - 1, "is_face": is_face, "crop_points": crop_points}

    def _cut_out(self, canvas: Tensor, middles: Tensor, half: Tensor) -> Tensor:
        """Crops (3B, 1, crop_size, crop_size) of the canvases (B, 1, ...), in three rounds."""
        size = self.config.crop_size
        turn = torch.stack([torch.stack([half[:, 0], -half[:, 1]], 1), torch.stack([half[:, 1], half[:, 0]], 1)], 1)
        theta = torch.cat([turn, middles[:, :, None]], dim=2)
        grid = _grid(theta, size)
        rounds = [F.grid_sample(canvas - FRAME_GREY, part, align_corners=False) for part in grid.split(len(canvas))]
        return torch.cat(rounds) + FRAME_GREY  # zeros beyond the canvas become the frame's grey


def _axes(sides: Tensor, turns: Tensor) -> Tensor:
    """(N, 2): sides times (cos, sin) of turns in radians."""
    return torch.stack([sides * torch.cos(turns), sides * torch.sin(turns)], dim=1)


def _turned(axes: Tensor, turns: Tensor) -> Tensor:
    cos, sin = torch.cos(turns), torch.sin(turns)
    return torch.stack([axes[:, 0] * cos - axes[:, 1] * sin, axes[:, 0] * sin + axes[:, 1] * cos], dim=1)


def _grid(theta: Tensor, size: int) -> Tensor:
    """(N, size, size, 2): `affine_grid` without its matrix product, which would take longer than the sampling."""
    place = (torch.arange(size) + 0.5) * 2 / size - 1
    along_x = place[None, None, :, None] * theta[:, None, None, :, 0]
    along_y = place[None, :, None, None] * theta[:, None, None, :, 1] + theta[:, None, None, :, 2]
    return along_x + along_y


def _blob(size: int, middles: Tensor, axes: Tensor, radii: Tensor, softness: float) -> Tensor:
    """Soft ellipses (N, 1, size, size) in 0..1; radii (N, 2) in units of the axes' length, along and across them."""
    place = (torch.arange(size) + 0.5) * 2 / size - 1
    x = place[None, None, :] - middles[:, 0, None, None]
    y = place[None, :, None] - middles[:, 1, None, None]
    square = (axes**2).sum(dim=1)[:, None, None]
    cos, sin = axes[:, 0, None, None], axes[:, 1, None, None]
    along = (cos * x + sin * y) / square / radii[:, 0, None, None]
    across = (cos * y - sin * x) / square / radii[:, 1, None, None]
    return ((1 - (along**2 + across**2).sqrt()) / softness).clamp(0, 1)[:, None]
