"""Expressions to keep and to change: by name or from a picture, mixed, apart for mouth and eyes, moved by sliders.

expression = editor.expression("laughing.jpg").with_strengths(eyes=0.3)
expression = editor.slide(expression, {"brows up": 0.5})
expression.save("mine.json")
editor("me.jpg", "mine.json")
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from leed_hub.errors import ConfigError, ModelLoadError
from leed_hub.hub import CONTROLS, first_line
from leed_hub.media.files import write_text
from leed_hub.media.images import NO_URLS, is_url
from leed_hub.models.leed import LEEDConfig, LEEDOutput, composed, mixed
from leed_hub.pipelines.arguments import number

NEUTRAL = "neutral"
MOST_CHARACTERS = 1_000_000  # of a saved expression, which has a few thousand
EYES_END, MOUTH_BEGINS = 0.35, 0.7  # of the way from the eyes down to the mouth; in between both have a share


@dataclass(frozen=True, eq=False)
class Expression:
    """What a face shall wear: expression codes, each (1, expression_dim), for the two halves of the face.

    Attributes:
        mouth, eyes: the codes; "eyes" is all above the nose's tip, brows included.
        mouth_strength, eyes_strength: 0 neutral, 1 as the code says; an edit's own strength multiplies both.
        editor: the fingerprint of the editor whose codes these are; another editor's mean something else.
    """

    mouth: Tensor
    eyes: Tensor
    mouth_strength: float = 1.0
    eyes_strength: float = 1.0
    editor: str = ""

    def with_strengths(self, *, mouth: float | None = None, eyes: float | None = None) -> Self:
        """The same with other strengths, of at least 0, where given."""
        return replace(
            self,
            mouth_strength=self.mouth_strength if mouth is None else half_strength("mouth", mouth),
            eyes_strength=self.eyes_strength if eyes is None else half_strength("eyes", eyes),
        )

    def with_eyes_of(self, other: "Expression") -> Self:
        """This mouth, the other's eyes and brows."""
        return replace(self, eyes=other.eyes, eyes_strength=other.eyes_strength)

    def mixed(self, other: "Expression", share: float) -> Self:
        """`1 - share` of this and `share` (0..1) of the other."""
        share = number("share", share)
        if not 0 <= share <= 1:
            raise ConfigError(f"share must lie between 0 and 1; got {share}.")
        halves = {
            name: (1 - share) * getattr(self, f"{name}_strength") * getattr(self, name)
            + share * getattr(other, f"{name}_strength") * getattr(other, name)
            for name in ("mouth", "eyes")
        }
        return replace(self, **halves, mouth_strength=1.0, eyes_strength=1.0)

    def save(self, path: str | os.PathLike) -> None:
        """Write it as a small JSON file, whole or not at all."""
        values = {
            "leed_hub": "expression",
            "editor": self.editor,
            "mouth": self.mouth[0].tolist(),
            "eyes": self.eyes[0].tolist(),
            "mouth_strength": self.mouth_strength,
            "eyes_strength": self.eyes_strength,
        }
        write_text(Path(path), json.dumps(values, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Read what `save` wrote.

        Raises:
            ConfigError: if the file is missing or no expression, or the path is a URL.
        """
        if is_url(path) and not os.path.exists(path):
            raise ConfigError(NO_URLS)
        try:
            values = json.loads(_short_text(path))
            if values.pop("leed_hub") != "expression":
                raise ValueError("it is another file of leed_hub's")
            codes = {name: torch.tensor([values.pop(name)], dtype=torch.float32) for name in ("mouth", "eyes")}
            strengths = {name: float(values.pop(f"{name}_strength")) for name in ("mouth", "eyes")}
            editor = str(values.pop("editor"))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise ConfigError(f"{path} is no saved expression: {first_line(error)}.") from error
        return cls(**codes, mouth_strength=strengths["mouth"], eyes_strength=strengths["eyes"], editor=editor)


def half_strength(name: str, value: float) -> float:
    """The strength of mouth or eyes as a float; `ConfigError` if it is no finite number of at least 0."""
    strength = number(name, value)
    if not 0 <= strength < math.inf:
        raise ConfigError(f"{name} must be a strength of at least 0; got {strength:g}.")
    return strength


def _short_text(path: str | os.PathLike) -> str:
    """A file's text; a FIFO, which would make us wait, and what is far too long for an expression are not read."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError("it is no regular file")
    with open(path, encoding="utf-8") as file:
        text = file.read(MOST_CHARACTERS + 1)
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has more than {MOST_CHARACTERS:,} characters")
    return text


@dataclass(frozen=True, eq=False)
class Controls:
    """Named expressions and sliders of an editor, fitted to its codes after the training (`leed-hub fit-controls`).

    Attributes:
        presets: name -> code (expression_dim,).
        sliders: name -> what the code changes by where the slider goes from 0 to 1, (expression_dim,).
        r2: slider -> how much of what it is named after is read off the codes of persons left out of the fit, at
            most 1.
        radius: codes of real faces are at most about that long.
    """

    presets: dict[str, Tensor] = field(default_factory=dict)
    sliders: dict[str, Tensor] = field(default_factory=dict)
    r2: dict[str, float] = field(default_factory=dict)
    radius: float = float("inf")

    def slid(self, code: Tensor, values: Mapping[str, float]) -> Tensor:
        """A code (1, expression_dim) moved by sliders at -1..1, kept where real faces are.

        Raises:
            ConfigError: if there is no such slider, or a value is out of range.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"Sliders are given by name, such as {{'smile': 0.5}}; got {values!r:.80}.")
        for name, value in values.items():
            if name not in self.sliders:
                known = ", ".join(self.sliders) or "none"
                raise ConfigError(f"There is no slider {name!r}; this editor has: {known}.")
            value = number(f"The slider {name!r}", value)
            if not -1 <= value <= 1:
                raise ConfigError(f"The slider {name!r} goes from -1 to 1; got {value}.")
            code = code + value * self.sliders[name].to(code)
        return code * (self.radius / code.norm().clamp_min(1e-9)).clamp_max(1)

    def save(self, folder: str | os.PathLike) -> None:
        """Write `controls.json` into an editor's folder."""
        values = {
            "presets": {name: code.tolist() for name, code in self.presets.items()},
            "sliders": {name: code.tolist() for name, code in self.sliders.items()},
            "r2": self.r2,
            "radius": self.radius,
        }
        write_text(Path(folder) / CONTROLS, json.dumps(values) + "\n")

    @classmethod
    def load(cls, path: Path, dim: int) -> Self:
        """Read `controls.json` of an editor whose codes have `dim` numbers.

        Raises:
            ModelLoadError: if it does not fit.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            codes = {
                part: {name: torch.tensor(code, dtype=torch.float32) for name, code in values[part].items()}
                for part in ("presets", "sliders")
            }
            if any(
                code.shape != (dim,) or not code.isfinite().all() for part in codes.values() for code in part.values()
            ):
                raise ValueError(f"a code has not {dim} finite numbers")
            return cls(**codes, r2={str(k): float(v) for k, v in values["r2"].items()}, radius=float(values["radius"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelLoadError(f"{path} does not belong to this editor: {first_line(error)}.") from error


def eyes_share(config: LEEDConfig) -> Tensor:
    """How much of each row of a crop follows the eyes' code, (1, 1, image_size, 1): 1 above, 0 below the nose."""
    eyes, mouth = config.template[1], config.template[5]
    rows = (torch.arange(config.image_size) + 0.5) / config.image_size
    way = (rows - eyes) / (mouth - eyes)
    share = ((MOUTH_BEGINS - way) / (MOUTH_BEGINS - EYES_END)).clamp(0, 1)
    return (share.square() * (3 - 2 * share))[None, None, :, None]


def joined_halves(images: Tensor, mouth: LEEDOutput, eyes: LEEDOutput, share: Tensor) -> LEEDOutput:
    """One edit of two: eyes and brows of the one, the rest of the other.

    Args:
        images: (B, 3, H, W) in [-1, 1], the sources of both.
        share: of `eyes_share`.
    """
    share = share.to(images.device)
    flow_share = F.interpolate(share, (mouth.flow.shape[-2], 1), mode="bilinear", align_corners=False)
    below, above = ((half.flow, half.mask, half.color) for half in (mouth, eyes))
    fields = mixed(below, above, flow_share, share)
    return LEEDOutput(composed(images, *fields), *fields, mouth.target_point)
