"""Sheets of many edits on one page, good and bad alike, for looking at.

    python benchmarks/contact_sheet.py photographs --data-dir CORPORA --output docs/editing_photographs.jpg
    python benchmarks/contact_sheet.py renders --data-dir CORPORA --output docs/editing_renders.jpg
    python benchmarks/contact_sheet.py examples --output docs/edits.jpg --golden tests/golden_edit.png
    python benchmarks/contact_sheet.py moving --output docs/moving.gif
    python benchmarks/contact_sheet.py folder --sources DIR --references DIR --output sheet.jpg

The first shows no photograph but its edits, `examples` the renders of docs/examples, and `folder` whatever is in two
folders, for your eyes only. Which faces are shown is laid down by rules that know nothing of how the edits turn out.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFont

from leed_hub import ExpressionEditor
from leed_hub.data import load_corpus
from leed_hub.errors import NoFaceError
from leed_hub.evaluation.damage import strongest_of_each_category
from leed_hub.evaluation.photographs import read_persons
from leed_hub.faces.alignment import crop_face, similarity
from leed_hub.media.images import load_image
from leed_hub.media.provenance import save_edited, save_edited_animation
from leed_hub.pipelines.editor import EditResult

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
CELL_PX = 128
GAP_PX = 4
LINE_PX = 20
N_PERSONS = 16
N_OLDEST = 3
BEARDED = ("022", "037", "092", "108")  # as the photographs show; the corpus' table does not tell
EYES = np.array([[0.37, 0.42], [0.63, 0.42]]) * CELL_PX - 0.5
N_PROFILES = 3
PHOTOGRAPHS_CREDIT = (
    "First row: the references, renders. Below: neutral photographs, edited by leed_hub to the expression above them.",
    "Face Research Lab London Set, DeBruine & Jones 2017, CC BY 4.0 (doi 10.6084/m9.figshare.5047666.v5), "
    "modified: edited by leed_hub.",
    "The renders are made from it too, and from ICT-FaceKit (MIT, (c) 2020 USC Institute for Creative Technologies).",
)
RENDERS_CREDIT = (
    "Renders, two triplets a row: source | reference | edit by leed_hub | exact target.",
    "Contains renders made from the Face Research Lab London Set (DeBruine & Jones, 2017, CC BY 4.0, modified) and "
    "ICT-FaceKit (MIT, (c) 2020 USC Institute for Creative Technologies).",
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
DataDir = Annotated[Path, typer.Option(help="The folder that holds the corpora.")]
Output = Annotated[Path, typer.Option(help="Where the sheet goes: .jpg or .png.")]
Model = Annotated[str | None, typer.Option(help="A folder or ORG/NAME on the Hub; the bundled checkpoint by default.")]


def choose_persons(data_dir: Path) -> list[str]:
    """The held-out persons, some bearded, the oldest, and then whoever belongs to the group shown least so far."""
    about = {}
    for split in ("train", "validation"):
        rows = load_corpus("london", data_dir, split).select_columns(["subject", "age", "gender", "ethnicity"])
        about |= {row["subject"]: row | {"is_unseen": split == "validation"} for row in rows}
    by_age = sorted(about, key=lambda name: (-(about[name]["age"] or 0), name))
    unseen = sorted(name for name in about if about[name]["is_unseen"])
    chosen = list(dict.fromkeys([*unseen, *BEARDED, *by_age[:N_OLDEST]]))

    def group(name: str) -> tuple:
        return about[name]["ethnicity"], about[name]["gender"]

    while len(chosen) < min(N_PERSONS, len(about)):
        shown = Counter(map(group, chosen))
        chosen.append(min(about.keys() - chosen, key=lambda name: (shown[group(name)], name)))
    return sorted(chosen)


def choose_triplets(pairs) -> list[int]:
    """The first triplet of each reference category, and the sources turned farthest."""
    labels, yaws = pairs["reference_label"][:], np.abs(pairs["source_yaw"][:])
    first_of_label = [labels.index(label) for label in sorted(set(labels))]
    profiles = [row for row in np.argsort(-yaws, kind="stable").tolist() if row not in first_of_label]
    return first_of_label + profiles[:N_PROFILES]


def in_cell(picture: Image.Image, result: EditResult) -> Image.Image:
    """A photograph or its edit around the face that was edited."""
    return Image.fromarray(crop_face(np.asarray(picture), similarity(result.faces[0].points[:2], EYES), CELL_PX))


def lay_out(rows: list[list[Image.Image]], rows_across: int, caption: tuple[str, ...]) -> Image.Image:
    """Rows of pictures, several beside each other, over lines of text."""
    n_cells, n_down = len(rows[0]), -(-len(rows) // rows_across)
    row_width = n_cells * CELL_PX + GAP_PX
    sheet = Image.new("RGB", (rows_across * row_width, n_down * (CELL_PX + GAP_PX) + len(caption) * LINE_PX), "white")
    for place, row in enumerate(rows):
        for column, picture in enumerate(row):
            left = (place % rows_across) * row_width + column * CELL_PX
            sheet.paste(
                picture.resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS),
                (left, place // rows_across * (CELL_PX + GAP_PX)),
            )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for number, line in enumerate(caption):
        draw.text((GAP_PX, n_down * (CELL_PX + GAP_PX) + number * LINE_PX), line, fill="black", font=font)
    return sheet


@app.command()
def photographs(data_dir: DataDir, output: Output, model: Model = None) -> None:
    """Neutral photographs, each with the expressions of several renders of persons that no training saw."""
    editor = ExpressionEditor.from_pretrained(model)
    rows = load_corpus("rendered_faces", data_dir / "rendered_faces", "validation")
    references = strongest_of_each_category(rows)
    codes = [editor.encode_expression([reference], detector="none") for reference in references]
    chosen = choose_persons(data_dir / "london")
    sheet = [references]
    for person in read_persons(data_dir / "london"):
        if person.name in chosen:
            results = [editor.session(person.neutral).render(code) for code in codes]
            sheet.append([in_cell(result.image, result) for result in results])
    save_edited(lay_out(sheet, 1, PHOTOGRAPHS_CREDIT), output, software=editor.software)


@app.command()
def folder(
    sources: Annotated[Path, typer.Option(help="Folder of photographs.")],
    references: Annotated[Path, typer.Option(help="Folder of faces that lend their expression.")],
    output: Output,
    limit: Annotated[int, typer.Option(help="At most so many sources.")] = 40,
    model: Model = None,
) -> None:
    """Each source with each reference's expression and with none; the references above them."""
    editor = ExpressionEditor.from_pretrained(model)
    lenders = [load_image(path) for path in picture_paths(references) if not path.stem.endswith("_n")]
    codes = [editor.encode_expression([picture]) for picture in lenders]
    heads = [in_cell(picture, editor(picture, None, 0.0)) for picture in lenders]
    blank = Image.new("RGB", (CELL_PX, CELL_PX), "white")
    sheet = [[blank, blank, *heads]]
    for path in picture_paths(sources)[:limit]:
        picture = load_image(path)
        try:
            session = editor.session(picture)
            results = [session.render(None, 0.0), *(session.render(code) for code in codes)]
        except NoFaceError:
            continue
        sheet.append([in_cell(picture, results[0]), *(in_cell(result.image, result) for result in results)])
    save_edited(lay_out(sheet, 1, ()), output, software=editor.software)


def picture_paths(directory: Path) -> list[Path]:
    """The pictures of a folder, by name."""
    return sorted(path for path in directory.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))


@app.command()
def renders(data_dir: DataDir, output: Output, model: Model = None) -> None:
    """Rendered triplets beside their exact targets."""
    editor = ExpressionEditor.from_pretrained(model, detector="none")
    pairs = load_corpus("rendered_faces", data_dir / "rendered_faces", "validation", config="pairs")
    rows = []
    for number in choose_triplets(pairs):
        source, reference, target = (pairs[number][role].convert("RGB") for role in ("source", "reference", "target"))
        rows.append([source, reference, editor(source, reference, 1.0).image, target])
    save_edited(lay_out(rows, 2, RENDERS_CREDIT), output, software=editor.software)


@app.command()
def examples(
    output: Output,
    golden: Annotated[Path | None, typer.Option(help="Where the edit goes that a test compares with.")] = None,
    model: Model = None,
) -> None:
    """An example render with the expressions of three others, which stand above their edits."""
    editor, names = ExpressionEditor.from_pretrained(model), ("happiness", "surprise", "anger")
    source, *references = (Image.open(EXAMPLES / f"{name}.png").convert("RGB") for name in ("source", *names))
    edits = [editor(source, reference).image for reference in references]
    side, gap = source.width, GAP_PX
    sheet = Image.new("RGB", (4 * side + 3 * gap, 2 * side + gap), "white")
    for column, (above, below) in enumerate(zip([None, *references], [source, *edits], strict=True)):
        if above:
            sheet.paste(above, (column * (side + gap), 0))
        sheet.paste(below, (column * (side + gap), side + gap))
    draw = ImageDraw.Draw(sheet)
    draw.text((side / 2, side / 2), "references", "black", ImageFont.load_default(20), anchor="mm")
    save_edited(sheet, output, software=editor.software)
    if golden:
        edits[0].save(golden)


@app.command()
def moving(output: Output, model: Model = None, side: int = 224, frames: int = 8) -> None:
    """An example render that goes to one expression after another and back."""
    editor = ExpressionEditor.from_pretrained(model)
    source = Image.open(EXAMPLES / "source.png").convert("RGB").resize((side, side))
    session, pictures = editor.session(source), []
    for name in ("surprise", "smile", "sadness", "anger"):
        expression = editor.expression(name)
        for share in np.sin(np.linspace(0, np.pi, frames, endpoint=False)) * 1.4:
            pictures.append(session.render(expression, share).image)
    save_edited_animation(pictures, output, ms_a_frame=100, software=editor.software)


if __name__ == "__main__":
    app()
