"""What several commands share: options, errors as one sentence, and the progress bar."""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from leed_hub.errors import LeedHubError
from leed_hub.faces.detectors import DETECTORS
from leed_hub.media.images import printable

FORMER_OPTIONS = {"aligner": "detector", "json-file": "json"}  # the spellings of version 0.1 -> today's
FORMER_DETECTORS = ("auto", "leed")  # `build_detector` translates them with a warning


def detector_name(name: str) -> str:
    """The name of a detector, as typed."""
    if name not in (*DETECTORS, *FORMER_DETECTORS):
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(DETECTORS)}.")
    return name


def detector_option(help_text: str) -> Any:
    """`--detector`."""
    return typer.Option("--detector", help=help_text, parser=detector_name, metavar="|".join(DETECTORS))


Detector = Annotated[str, detector_option("How faces are found; none: the pictures are face crops already.")]
Model = Annotated[str | None, typer.Option(help="A folder or ORG/NAME on the Hub; the bundled checkpoint by default.")]


def face_choice(face: str) -> str | int:
    """A number where one was typed; the pipeline checks everything else."""
    return int(face) if face.isdecimal() else face


def shown(text: object) -> str:
    """A path or a sentence without the characters in it that a terminal would obey."""
    return printable(os.fsdecode(text) if isinstance(text, os.PathLike) else str(text))


@contextmanager
def plain_errors() -> Iterator[None]:
    """Our own errors end the program with their sentence and exit code 2; warnings are one sentence too.

    A request to end (SIGTERM) leaves no unfinished file behind.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"Note: {shown(message)}", file=sys.stderr)
        warnings.filterwarnings("default", category=DeprecationWarning, module="leed_hub")
        try:
            yield
        except LeedHubError as error:
            print(f"Error: {shown(error)}", file=sys.stderr)
            raise typer.Exit(2) from error


@contextmanager
def progress_bar(what: str, *, is_shown: bool = True) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr where that is a terminal; gives a function that is told how many are done, and of how many."""
    console = Console(stderr=True)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    is_disabled = not (is_shown and console.is_terminal)
    # Results go to stdout, which rich would send to the bar's own stream.
    with Progress(*columns, disable=is_disabled, console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
