"""Sheets of many edits on one page, good and bad alike, for looking at.

    python benchmarks/contact_sheet.py photographs --data-dir LONDON_SET --output docs/editing_photographs.jpg
    python benchmarks/contact_sheet.py renders --data-dir RENDERED_FACES --output docs/editing_renders.jpg

The first shows nothing but edits of photographs; `--private` writes another, with the photographs beside them.
Which faces are shown is laid down by rules that know nothing of how the edits turn out.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFont

from leed_hub import ExpressionEditor
from leed_hub.data import load_corpus
from leed_hub.evaluation.photographs import choose_references, read_persons
from leed_hub.images import save_edited
from leed_hub.pipelines import EditResult
from leed_hub.transforms import crop_face, similarity

CELL_PX = 160
GAP_PX = 4
LINE_PX = 20
N_PERSONS = 24
N_OLDEST = 3
BEARDED = ("022", "037", "092", "108")  # as the photographs show; the corpus' table does not tell
EYES = np.array([[0.37, 0.42], [0.63, 0.42]]) * CELL_PX - 0.5
N_PROFILES = 3
PHOTOGRAPHS_CREDIT = (
    "Every face is an edit by leed_hub: the neutral photograph with another person's smile.",
    "Face Research Lab London Set, DeBruine & Jones 2017, CC BY 4.0 (doi 10.6084/m9.figshare.5047666.v5), "
    "modified: edited by leed_hub.",
)
RENDERS_CREDIT = (
    "Renders, two triplets a row: source | reference | edit by leed_hub | exact target.",
    "Contains renders made from the Face Research Lab London Set (DeBruine & Jones, 2017, CC BY 4.0, modified) and "
    "ICT-FaceKit (MIT, (c) 2020 USC Institute for Creative Technologies).",
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
DataDir = Annotated[Path, typer.Option(help="The corpus' folder.")]
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
def photographs(
    data_dir: DataDir,
    output: Output,
    private: Annotated[
        Path | None, typer.Option(help="Where source, reference and edit go, for your eyes only.")
    ] = None,
    model: Model = None,
) -> None:
    """Neutral photographs with another person's smile."""
    editor = ExpressionEditor.from_pretrained(model)
    persons = read_persons(data_dir)
    chosen = choose_persons(data_dir)
    edits, with_photographs = [], []
    for person, reference in zip(persons, choose_references(persons), strict=True):
        if person.name in chosen:
            result = editor(person.neutral, reference.smile, 1.0)
            edits.append([in_cell(result.image, result)])
            if private:
                smile = in_cell(reference.smile, editor(reference.smile, None, 0.0))
                with_photographs.append([in_cell(person.neutral, result), smile, *edits[-1]])
    save_edited(lay_out(edits, 6, PHOTOGRAPHS_CREDIT), output, software=editor.software)
    if private:
        save_edited(lay_out(with_photographs, 3, PHOTOGRAPHS_CREDIT[1:]), private, software=editor.software)


@app.command()
def renders(data_dir: DataDir, output: Output, model: Model = None) -> None:
    """Rendered triplets beside their exact targets."""
    editor = ExpressionEditor.from_pretrained(model, aligner="none")
    pairs = load_corpus("rendered_faces", data_dir, "validation", config="pairs")
    rows = []
    for number in choose_triplets(pairs):
        source, reference, target = (pairs[number][role].convert("RGB") for role in ("source", "reference", "target"))
        rows.append([source, reference, editor(source, reference, 1.0).image, target])
    save_edited(lay_out(rows, 2, RENDERS_CREDIT), output, software=editor.software)


if __name__ == "__main__":
    app()
