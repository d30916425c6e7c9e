"""`leed-hub edit` and `edit-video`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from leed_hub.cli.options import Detector, Model, face_choice, plain_errors, progress_bar, shown

Strength = Annotated[float, typer.Option(help="0 neutral, 1 as the reference, up to 2 exaggerated.")]
Mouth = Annotated[float, typer.Option(help="Strength of the mouth, on top of --strength.")]
Eyes = Annotated[float, typer.Option(help="Strength of eyes and brows, on top of --strength.")]
Face = Annotated[str, typer.Option("--face", help="Which face: largest, all, or a number, 0 being the largest.")]


def edit(
    source: Annotated[Path, typer.Argument(help="The photograph to edit.")],
    reference: Annotated[
        str, typer.Argument(help="A picture, a preset such as smile or neutral, or a saved expression (.json).")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Where the result goes: .png, .jpg or .webp; .gif or .mp4 move to and fro."
        ),
    ],
    strength: Strength = 1.0,
    mouth: Mouth = 1.0,
    eyes: Eyes = 1.0,
    eyes_from: Annotated[str | None, typer.Option(help="Another reference for eyes and brows.")] = None,
    slide: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Move a slider, -1 to 1; may be given again.")
    ] = None,
    save_expression: Annotated[Path | None, typer.Option(help="Also keep the expression as a .json file.")] = None,
    face: Face = "largest",
    model: Model = None,
    detector: Detector = "yunet",
) -> None:
    """Give SOURCE the expression of REFERENCE; the result is marked as edited in its metadata."""
    values = _slider_values(slide or [])
    with plain_errors():
        from leed_hub.media.files import check_output
        from leed_hub.media.provenance import save_edited
        from leed_hub.pipelines.editor import ExpressionEditor
        from leed_hub.pipelines.series import animate

        for written in filter(None, (output, save_expression)):
            check_output(written, source, reference, eyes_from)
        editor = ExpressionEditor.from_pretrained(model, detector=detector)
        expression = editor.expression(reference)
        if eyes_from is not None:
            expression = expression.with_eyes_of(editor.expression(eyes_from))
        expression = editor.slide(expression, values).with_strengths(
            mouth=mouth * expression.mouth_strength, eyes=eyes * expression.eyes_strength
        )
        session = editor.session(source, face=face_choice(face))
        if save_expression is not None:
            expression.save(save_expression)
        if output.suffix.lower() in (".gif", ".mp4"):
            animate(session, expression, output, strength)
            print(f"Wrote {shown(output)}.")
            return
        result = session.render(expression, strength)
        save_edited(result.image, output, software=editor.software)
        edited = f"{len(result.faces)} faces edited, " if len(result.faces) > 1 else ""
        size = f"{result.image.width}x{result.image.height}"
        print(f"Wrote {shown(output)} ({size}, {edited}faces found by: {result.detector}).")
        if result.note:
            print(f"Note: {result.note}", file=sys.stderr)


def _slider_values(texts: list[str]) -> dict[str, float]:
    values = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            values[name.strip()] = float(value)
        except ValueError:
            raise typer.BadParameter(f"--slide takes NAME=VALUE, such as 'smile=0.5'; got {text!r}.") from None
    return values


def edit_video(
    source: Annotated[Path, typer.Argument(help="The video, or the picture, to edit.")],
    reference: Annotated[
        str, typer.Argument(help="A video, a picture, a preset such as smile, or a saved expression (.json).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the result goes: .mp4.")],
    strength: Strength = 1.0,
    mouth: Mouth = 1.0,
    eyes: Eyes = 1.0,
    seconds: Annotated[float | None, typer.Option(help="Only so much from the start, as a trial.")] = None,
    face: Face = "largest",
    model: Model = None,
    detector: Detector = "yunet",
) -> None:
    """Give a video the expression of REFERENCE, or a picture that of a video; the result is marked."""
    with plain_errors():
        from leed_hub.pipelines.editor import ExpressionEditor

        editor = ExpressionEditor.from_pretrained(model, detector=detector)
        with progress_bar("Frames") as on_progress:
            result = editor.edit_video(
                source,
                reference,
                output,
                strength=strength,
                mouth=mouth,
                eyes=eyes,
                seconds=seconds,
                face=face_choice(face),
                on_progress=on_progress,
            )
        sound = f"sound {result.sound}" if result.sound else "no sound"
        print(f"Wrote {shown(output)} ({result.frames} frames, {sound}, faces found by: {result.detector}).")
        if result.frames_without_face:
            print(f"Note: no face was found in {result.frames_without_face} frames.", file=sys.stderr)
