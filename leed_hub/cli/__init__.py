"""The command line `leed-hub`: edit, edit-video, classify, classify-video, evaluate, push, push-corpus, export,
fit-controls.

Bad input gets one sentence and exit code 2.
"""

from typing import Annotated

import typer

from leed_hub import __version__
from leed_hub.cli import classify, edit, evaluate, publish
from leed_hub.cli.options import FORMER_OPTIONS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"token_normalize_func": lambda name: FORMER_OPTIONS.get(name, name)},
)


def print_version(is_asked: bool) -> None:
    """What `--version` does."""
    if is_asked:
        print(f"leed_hub {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Edit and classify facial expressions."""


app.command("edit")(edit.edit)
app.command("edit-video")(edit.edit_video)
app.command("classify")(classify.classify)
app.command("classify-video")(classify.classify_video)
app.command("read-video", hidden=True)(classify.read_video)
app.add_typer(evaluate.app, name="evaluate")
app.command("push")(publish.push)
app.command("push-corpus")(publish.push_corpus)
app.command("export")(publish.export)
app.command("fit-controls")(publish.fit_controls)
