"""`leed-hub evaluate NAME`: a command for every measurement in `EVALUATIONS`, made from its class' fields."""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperGroup

from leed_hub.cli.options import detector_option, plain_errors
from leed_hub.evaluation import EVALUATIONS, Evaluation, evaluation_class

JSON_FILE = Annotated[Path, typer.Option("--json", help="Where the numbers go.")]
CARD = Annotated[
    bool, typer.Option("--card", help="Also write the numbers into the card of MODEL, which must be a folder.")
]


class EvaluationGroup(TyperGroup):
    """Imports a measurement, and with it torch, only when its command is run or asked for help."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if command is None else build_command(str(name)), rest


app = typer.Typer(help="Measure a model on a corpus.", no_args_is_help=True, cls=EvaluationGroup)
for _name, _help in EVALUATIONS.items():
    app.command(_name, help=_help)(lambda: None)  # for the listing; `resolve_command` gives the real one


def build_command(name: str) -> Any:
    """The command of a measurement: its fields as options, and `--json` and `--card`."""
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name, help=EVALUATIONS[name])(command_function(evaluation_class(name)))
    return typer.main.get_command(single)


def command_function(evaluation: type[Evaluation]) -> Callable[..., None]:
    """A function whose signature holds the measurement's options."""
    hints = get_type_hints(evaluation, include_extras=True)
    parameters = [_parameter("json_file", JSON_FILE), _parameter("card", CARD, False)]
    for field in dataclasses.fields(evaluation):
        if get_origin(hints[field.name]) is Annotated:
            kind, text = get_args(hints[field.name])
            flag = f"--{field.name.replace('_', '-')}"
            option = detector_option(text) if field.name == "detector" else typer.Option(flag, help=text)
            parameters.append(_parameter(field.name, Annotated[kind, option], field.default))

    def command(json_file: Path, card: bool, **arguments: Any) -> None:
        with plain_errors():
            measure(evaluation(**arguments, progress=True), json_file, with_card=card)

    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _parameter(name: str, annotation: Any, default: Any = dataclasses.MISSING) -> inspect.Parameter:
    default = inspect.Parameter.empty if default is dataclasses.MISSING else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def measure(evaluation: Evaluation, json_file: Path, *, with_card: bool) -> None:
    """Run a measurement, write all numbers, print the single ones, and put the main ones into the model's card."""
    from leed_hub.evaluation.card import record_in_card, write_json

    pipeline = evaluation.load()
    numbers = evaluation.run(pipeline)
    write_json(numbers, json_file)
    if with_card and evaluation.model:
        record_in_card(pipeline.model, evaluation.model, numbers)
    if "table" in numbers:
        print(numbers["table"])
    for name, value in numbers.items():
        if isinstance(value, float | int):
            print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    print(f"Wrote {json_file}.")
