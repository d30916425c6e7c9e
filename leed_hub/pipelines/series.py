"""One photograph in several expressions: side by side, or moving from neutral to one of them and back."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from leed_hub.errors import ConfigError
from leed_hub.media.provenance import ANIMATION_FORMATS, save_edited_animation
from leed_hub.pipelines.editor import EditSession
from leed_hub.pipelines.expressions import Expression

MS_A_FRAME = 50
MOST_PIXELS = 480**2  # of pictures that move; larger ones make huge files
CAPTION_PX = 24


def expression_strip(session: EditSession, expressions: Mapping[str, Expression], side: int = 192) -> Image.Image:
    """The photograph's first face in each expression, its name below.

    Args:
        session: of `ExpressionEditor.session`.
        expressions: name -> expression.
        side: of each face in pixels.
    """
    strip = Image.new("RGB", (side * len(expressions), side + CAPTION_PX), "white")
    draw = ImageDraw.Draw(strip)
    for number, (name, expression) in enumerate(expressions.items()):
        strip.paste(session.render(expression).crops[0].resize((side, side)), (number * side, 0))
        middle = ((number + 0.5) * side, side + CAPTION_PX / 2)
        draw.text(middle, name, "black", font_size=CAPTION_PX * 2 // 3, anchor="mm")
    return strip


@dataclass(frozen=True)
class _Timing:
    """What a new video takes over from another one, where there is none."""

    rate: Fraction = Fraction(1000, MS_A_FRAME)
    time_base: Fraction = Fraction(1, 1000)
    sound: None = None


def animate(
    session: EditSession, expression: Expression, output: str | os.PathLike, strength: float = 1.0, seconds: float = 2.0
) -> None:
    """Write the photograph's faces going from neutral to an expression and back, as a file marked as edited.

    Args:
        session: of `ExpressionEditor.session`.
        output: ends in .gif, .webp (both play again and again, and are made smaller than the photograph) or .mp4.
        strength: at the height of the expression.
        seconds: there and back, at most 60.
    Raises:
        ConfigError: if the output has another ending, or `strength` or `seconds` are out of range.
        BadImageError, BadVideoError: if it cannot be written.
    """
    suffix = Path(output).suffix.lower()
    if suffix not in (*ANIMATION_FORMATS, ".mp4"):
        raise ConfigError(f"An animation is saved as one of {', '.join(ANIMATION_FORMATS)}, .mp4; got {suffix!r}.")
    if not 0 < seconds <= 60:
        raise ConfigError(f"seconds must lie between 0 and 60; got {seconds}.")
    count = max(2, round(seconds * 1000 / MS_A_FRAME))
    shares = (strength * (1 - math.cos(2 * math.pi * number / count)) / 2 for number in range(count))
    pictures = (session.draw(expression, share)[0] for share in shares)
    software = session.software
    if suffix != ".mp4":
        small = (_reduced(picture) for picture in pictures)
        save_edited_animation(small, output, ms_a_frame=MS_A_FRAME, software=software)
        return
    from leed_hub.media.video import VideoWriter  # PyAV only where it is needed

    height, width = session.photo.shape[:2]
    with VideoWriter(output, _Timing(), size=(width, height), software=software) as writer:
        for number, picture in enumerate(pictures):
            writer.write(Fraction(number * MS_A_FRAME, 1000), picture)


def _reduced(picture: np.ndarray) -> Image.Image:
    image = Image.fromarray(picture)
    scale = min(1.0, math.sqrt(MOST_PIXELS / (image.width * image.height)))
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
