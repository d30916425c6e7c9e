"""Configs: frozen, strictly typed and checked by pydantic; errors of one sentence."""

import difflib
import functools
import re
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import AfterValidator, ConfigDict, Field, Strict, ValidationError
from pydantic.dataclasses import dataclass

from leed_hub.errors import ConfigError

T = TypeVar("T")

MAX_SIDE = 1024  # of a crop in pixels; one of 16384 would ask for gigabytes whatever the weights


def _face_shaped(template: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse points to which no face can be brought."""
    if not all(0 < fraction < 1 for fraction in template):
        raise ValueError("must be fractions between 0 and 1")
    (left_x, right_x, *mouth_x), ys = template[::2], template[1::2]
    apart = min(right_x - left_x, mouth_x[1] - mouth_x[0], min(ys[2:]) - max(ys[:2]))
    if apart < 0.02:
        raise ValueError("must have two eyes side by side and two mouth corners below them")
    return template


# JSON and YAML give lists for tuples, so a tuple may come as a list; the numbers in it are strict all the same.
Template = Annotated[tuple[float, ...], Strict(False), Field(min_length=8, max_length=8), AfterValidator(_face_shaped)]
FourPositive = Annotated[tuple[Annotated[int, Field(gt=0)], ...], Strict(False), Field(min_length=4, max_length=4)]
FourCounts = Annotated[tuple[Annotated[int, Field(ge=0, le=64)], ...], Strict(False), Field(min_length=4, max_length=4)]


@dataclass_transform(kw_only_default=True, frozen_default=True)
def checked_config(cls: type[T]) -> type[T]:
    """Make a class a config: a frozen, keyword-only dataclass that checks what it is given.

    The types are strict (no number from a string, no whole number from a fraction), NaN and infinity are refused, and
    so are unknown names. `dataclasses.replace` and `dataclasses.asdict` work as on any dataclass.

    Raises:
        ConfigError: when an object is made of values that do not fit; the sentence names the field.
    """
    strict = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    config: Any = dataclass(frozen=True, kw_only=True, config=strict)(cls)
    checked = config.__init__

    @functools.wraps(checked)
    def __init__(self, /, **values: Any) -> None:
        try:
            checked(self, **values)
        except ValidationError as error:
            raise ConfigError(_sentence(error, config)) from None

    config.__init__ = __init__
    return config


def _sentence(error: ValidationError, config: Any) -> str:
    """One complaint: a name that is not known before one that is lacking, and both before all others."""
    order = {"unexpected_keyword_argument": 0, "missing": 1}
    fault = min(error.errors(include_url=False), key=lambda fault: order.get(fault["type"], 2))
    if fault["type"] == "unexpected_keyword_argument":
        name = str(fault["loc"][0])
        close = difflib.get_close_matches(name, config.__dataclass_fields__, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "is it from a newer leed_hub?"
        return f"{config.__name__} does not know {name!r}; {hint}"
    if not fault["loc"] or isinstance(fault.get("ctx", {}).get("error"), ConfigError):  # it words its own sentence
        return fault["msg"].removeprefix("Value error, ")
    field, *inside = fault["loc"]
    place = str(field) + "".join(f"[{part}]" for part in inside if isinstance(part, int))  # else the branch of a union
    said = fault["msg"].removeprefix("Value error, ").replace(" after validation,", ",")
    said = re.sub("^(Dictionary|Input|List|String|Tuple) ", "", said)
    return f"{place} {said[0].lower()}{said[1:]}; got {fault['input']!r:.80}."
