"""Tiny made-up corpora in the true layouts; the pictures are drawn, nobody is on them."""

import os
import zipfile
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image, ImageDraw

datasets.disable_progress_bars()
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # FER2013's codes 0..6


def draw(path: Path, seed: int, side: int = 32) -> Path:
    """A JPEG, or WebP where the name says so, with a drawn face that differs by seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (side, side), (seed * 37 % 256, 120, 200))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((4, 4, side - 4, side - 4), fill=(240, seed * 11 % 256, 160))
    pen.line((side // 3, side * 2 // 3, side * 2 // 3, side * 2 // 3 + seed % 5), fill=(0, 0, 0), width=2)
    picture.save(path, "WEBP" if path.suffix == ".webp" else "JPEG")
    return path


def zipped(folder: Path, prefix: str = "") -> Path:
    """A zip of a folder, its entries below `prefix`."""
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + path.relative_to(folder).as_posix())
    return target


def make_fer2013(root: Path) -> Path:
    for code, name in enumerate(CLASSES):
        draw(root / f"train/{name}/Training_{code}.jpg", code, 48)
        draw(root / f"test/{name}/PublicTest_{code}.jpg", code + 10, 48)
        draw(root / f"test/{name}/PrivateTest_{code}.jpg", code + 20, 48)
    return root


def make_facial_expressions(root: Path) -> Path:
    lines = ["user.id,image,emotion"]
    for person in range(20):
        for shot, emotion in enumerate(("happiness", "NEUTRAL", "Anger")):
            name = f"Person_{person}_{shot:04d}.jpg"
            draw(root / "images" / name, person + shot)
            lines.append(f"u,{name},{emotion}")
    draw(root / "images/facial-expressions_2868582k.jpg", 3)
    lines.append("u,facial-expressions_2868582k.jpg,disgust")
    (root / "data").mkdir()
    (root / "data/legend.csv").write_text("\n".join(lines) + "\n")
    return root


def make_london(root: Path) -> Path:
    (root / "smiling_front").mkdir(parents=True)
    for person in ("001", "002", "005"):
        draw(root / f"neutral_front/{person}_03.jpg", int(person))
        draw(root / f"smiling_front/{person}_08.jpg", int(person) + 1)
        points = "\n".join(f"{x}.5\t{x + 1}" for x in range(189))
        (root / f"neutral_front/{person}_03.tem").write_text(f"189\n{points}\n1\n0\n3\n0 1 2\n")
    (root / "london_info.csv").write_text("face_id,face_age,face_gender,face_eth\n001,24,female,white\n002,,male,\n")
    return root


def make_rendered_faces(root: Path) -> Path:
    import pyarrow
    import pyarrow.parquet

    def body(prefix: str, person: int) -> dict:
        angles = {f"{prefix}{angle}": float(person + turn) for turn, angle in enumerate(("yaw", "pitch", "roll"))}
        return {f"{prefix}identity": person * 10, f"{prefix}person": person} | angles

    def mind(prefix: str, expression: str) -> dict:
        weights = np.full(53, len(expression) / 20, dtype=np.float32)
        intensity = float(expression != "neutral")
        return {f"{prefix}expression": expression, f"{prefix}intensity": intensity, f"{prefix}blendshapes": weights}

    points = [[float(i), float(i) + 0.5] for i in range(68)]

    def write(folder: str, name: str, rows: list[dict]) -> None:
        (root / folder).mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), root / folder / name)

    for folder, person in (("train", 1), ("validation", 5)):
        rows = []
        for index, expression in enumerate(("neutral", "happiness", "free")):
            file = f"{person * 10:04d}_00_{index}.jpg"
            draw(root / folder / file, index + person)
            rows.append({"file_name": file, "landmarks68": points, "neutral_file": f"{person * 10:04d}_00_0.jpg"})
            rows[-1] |= body("", person) | mind("", expression)
        write(folder, "metadata.parquet", rows)
    draw(root / "train_twins/t00000.jpg", 9)
    twin = {"file_name": "t00000.jpg", "twin_of": "0010_00_1.jpg", "landmarks68": points}
    write("train_twins", "metadata.parquet", [twin | body("", 2) | mind("", "happiness")])
    pair = {"pair": 0} | body("source_", 5) | body("reference_", 16)
    pair |= mind("source_", "neutral") | mind("reference_", "surprise")
    for index, role in enumerate(("source", "reference", "target")):
        draw(root / f"pairs_validation/000_{role}.jpg", index)
        pair |= {f"{role}_file": f"000_{role}.jpg", f"{role}_landmarks68": points}
    write("pairs_validation", "pairs.parquet", [pair])
    return root


def make_rendered_people(root: Path) -> Path:
    """A London person, a Canadian one and one blended from both and a third, with an expression that two wear."""
    import pyarrow
    import pyarrow.parquet

    points = [[float(i), float(i) + 0.5] for i in range(68)]
    worn = (("neutral", -1), ("happiness", 7), ("free", 8))

    def write(folder: str, name: str, rows: list[dict]) -> None:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), root / folder / name)

    def face(folder: str, stem: str, index: int, person: int, parts: tuple[str, str, str], yaw: float) -> dict:
        draw(root / folder / f"{stem}_{index}.webp", index + person)
        expression, expression_id = worn[index]
        row = {"file_name": f"{stem}_{index}.webp", "neutral_file": f"{stem}_0.webp", "landmarks68": points}
        row |= {"identity": 10 * person, "person": person} | dict(
            zip(("carrier", "inner", "third"), parts, strict=True)
        )
        row |= {"expression": expression, "expression_id": expression_id, "intensity": float(index > 0)}
        weights = np.full(53, max(expression_id, 0) / 20, dtype=np.float32)
        return row | {"blendshapes": weights, "yaw": yaw, "pitch": 1.0, "roll": 2.0}

    blend = ("004", "c003f", "011")
    rows = [face("posed", "00040_00", index, 4, ("004", "", ""), 30.0) for index in range(3)]
    rows += [face("posed", "20000_00", index, 2000, blend, -8.0) for index in range(2)]
    write("posed", "metadata.parquet", rows)
    rows = [face("photographs", "10030_99", index, 1003, ("c003f", "", ""), 0.0) for index in range(3)]
    write("photographs", "metadata.parquet", rows)

    pair = {"pair": 0}
    for role, person, expression in (("source", 5, "neutral"), ("reference", 16, "surprise")):
        weights = np.full(53, len(expression) / 20, dtype=np.float32)
        pair |= {f"{role}_person": person, f"{role}_expression": expression, f"{role}_blendshapes": weights}
    for index, role in enumerate(("source", "reference", "target")):
        draw(root / f"photographs_pairs_validation/000_{role}.webp", index)
        pair |= {f"{role}_file": f"000_{role}.webp", f"{role}_landmarks68": points}
    write("photographs_pairs_validation", "pairs.parquet", [pair])
    return root


def make_affectnet(root: Path) -> Path:
    """The 2017 release."""
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    points = ";".join(str(number) for number in range(136))
    for table, start, count in (("training.csv", 0, 11), ("validation.csv", 20, 8)):
        lines = [header]
        for label in range(count):
            name = f"{start}/{label:02d}ab.jpg"
            draw(root / "Manually_Annotated_Images" / name, label)
            affect = "-2,-2" if label > 7 else f"{label / 10},-0.5"
            lines.append(f"{name},1,2,30,40,{points},{label},{affect}")
        (root / table).write_text("\n".join(lines) + "\n")
    return root


def make_affectnet_2021(root: Path) -> Path:
    for folder, count in (("train_set", 8), ("val_set", 8)):
        (root / folder / "annotations").mkdir(parents=True)
        for label in range(count):
            draw(root / folder / f"images/{label}.jpg", label)
            facts = {"exp": str(label), "val": str(label / 10), "aro": "-0.5", "lnd": np.arange(136.0)}
            for fact, value in facts.items():
                np.save(root / folder / f"annotations/{label}_{fact}.npy", np.array(value))
    return root


def make_rafd(root: Path) -> Path:
    emotions = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
    for model in range(1, 25):
        emotion = emotions[model % 8]
        draw(root / f"Rafd090_{model:02d}_Caucasian_female_{emotion}_frontal.jpg", model)
    draw(root / "Rafd045_01_Moroccan_male_happy_left.JPG", 30)
    return root


def make_rafdb(root: Path) -> Path:
    """As its owners pack it: two pictures of each of the labels 1..7 in either split."""
    lines = []
    for split, start in (("test", 50), ("train", 0)):
        for number in range(1, 15):
            draw(root / f"basic/Image/aligned/{split}_{number:05d}_aligned.jpg", start + number)
            lines.append(f"{split}_{number:05d}.jpg {(number - 1) % 7 + 1}")
    (root / "basic/EmoLabel").mkdir(exist_ok=True)
    (root / "basic/EmoLabel/list_patition_label.txt").write_text("\n".join(lines) + "\n")
    return root


def make_cfee(root: Path) -> Path:
    for person in range(100, 130):
        draw(root / f"01-04/Images1/02_{person}_3470.jpg", person)
        draw(root / f"05-08/Images2/08_{person}.jpg", person + 1)
    return root


def make_folder(root: Path) -> Path:
    for number in range(6):
        draw(root / f"album/{number}.jpg", number)
    draw(root / "me.PNG", 7)
    (root / "notes.txt").write_text("hello")
    return root


MAKERS = {
    "affectnet": make_affectnet,
    "cfee": make_cfee,
    "facial_expressions": make_facial_expressions,
    "fer2013": make_fer2013,
    "folder": make_folder,
    "london": make_london,
    "rafd": make_rafd,
    "rafdb": make_rafdb,
    "rendered_faces": make_rendered_faces,
    "rendered_people": make_rendered_people,
}


@pytest.fixture
def make(tmp_path):
    """Make a tiny corpus by name."""
    return lambda name: MAKERS[name](tmp_path / name)


@pytest.fixture
def draw_face():
    return draw


@pytest.fixture
def zip_folder():
    return zipped


@pytest.fixture
def affectnet_2021(tmp_path):
    return make_affectnet_2021(tmp_path / "affectnet_2021")


@pytest.fixture
def load(tmp_path):
    """`load_corpus` with a cache of the test's own."""
    from leed_hub.data import load_corpus

    return lambda *args, **options: load_corpus(*args, cache_dir=tmp_path / "cache", **options)


@pytest.fixture(scope="session")
def load_shared(tmp_path_factory):
    """`load_corpus` with one cache for all tests on real corpora."""
    from leed_hub.data import load_corpus

    cache = tmp_path_factory.mktemp("cache")
    return lambda *args, **options: load_corpus(*args, cache_dir=cache, **options)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Real corpora beside the repository."""
    folder = Path(__file__).parents[3] / "shared" / "corpora"
    if not folder.is_dir():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("needs ../shared/corpora")
    return folder
