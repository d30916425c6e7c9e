"""The arguments of public calls: one that does not fit is a `ConfigError` that names it."""

import functools
import inspect
import operator
import os
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from leed_hub.errors import ConfigError

P = ParamSpec("P")
T = TypeVar("T")


def known_arguments(call: Callable[P, T]) -> Callable[P, T]:
    """Make misspelt, missing and superfluous arguments of a call a `ConfigError`."""
    signature = inspect.signature(call)

    @functools.wraps(call)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ConfigError(f"{call.__qualname__}: {error}.") from None
        return call(*args, **kwargs)

    return checked


def whole_number(name: str, value: object, least: int) -> int:
    """A whole number of at least that, of Python or NumPy."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError(f"{name} must be a whole number; got {value!r:.80}.") from None
    if number < least:
        raise ConfigError(f"{name} must be at least {least}; got {number}.")
    return number


def number(name: str, value: Any) -> float:
    """Any number as a float; the caller knows its range."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{name} must be a number; got {value!r:.80}.") from None


def several(name: str, values: object) -> None:
    """Refuse what is not several things."""
    if not isinstance(values, Iterable):
        raise ConfigError(f"{name} must be several pictures, such as a list of paths; got {values!r:.80}.")


def a_path(name: str, value: object) -> None:
    """Refuse what is no path."""
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"{name} must be a path; got {value!r:.80}.")
