"""Whether edits follow their references: by a mesh that reads colours, on editors whose answer is known."""

import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import pytest
from face_mesh_stub import LEVELS_PER_UNIT, REST, landmarks_of, levels_of, picture_of, stub_mesh, stub_points
from PIL import Image
from skimage import data
from typer.testing import CliRunner

from leed_hub.cli import app
from leed_hub.errors import ConfigError, CorpusError, NoFaceError
from leed_hub.evaluation import FaceIdentity, Transfer, record_in_card
from leed_hub.evaluation.transfer import default_networks
from leed_hub.faces.face_mesh import FaceMesh
from leed_hub.metrics.face_geometry import FEATURES
from leed_hub.models.card import CardFacts
from leed_hub.pipelines.editor import ExpressionEditor

N_SOURCES, N_REFERENCES = 12, 8
NEUTRAL_LEVEL = 128
judges = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mediapipe", "ai_edge_litert", "dlib")),
    reason="needs the extra `evaluate` and mediapipe's wheel",
)


def save(levels, path):
    Image.fromarray(picture_of(levels)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Twelve neutral persons of different faces; eight expressions of persons with their own neutral picture."""
    rng = np.random.default_rng(0)
    for name in ("sources", "references"):
        (tmp_path / name).mkdir()
    for i in range(N_SOURCES):
        save(NEUTRAL_LEVEL + rng.integers(-8, 9, 5), tmp_path / "sources" / f"{i:02d}.png")
    for i in range(N_REFERENCES):
        face = NEUTRAL_LEVEL + rng.integers(-8, 9, 5)
        save(face, tmp_path / "references" / f"{i}_n.png")
        save(face + rng.integers(-40, 41, 5), tmp_path / "references" / f"{i}.png")
    save([NEUTRAL_LEVEL] * 5, tmp_path / "references" / "neutral.png")
    return tmp_path / "sources", tmp_path / "references"


class Mover:
    """An editor that gives a share of the reference's movement, which it knows from the folder."""

    def __init__(self, references, gain=1.0, constant=0.0):
        self.gain, self.constant = gain, constant
        self.asked = {}
        for path in references.glob("[0-9].png"):
            own = path.with_stem(f"{path.stem}_n")
            levels = levels_of(Image.open(path))
            self.asked[levels.tobytes()] = levels - levels_of(Image.open(own))

    def __call__(self, source, reference=None, strength=1.0):
        if reference is None:
            assert strength == 0.0
            return SimpleNamespace(image=source)
        asked = self.asked.get(levels_of(reference).tobytes(), np.zeros(5))
        levels = levels_of(source) + self.gain * asked + self.constant
        return SimpleNamespace(image=Image.fromarray(picture_of(levels)))


def measure(editor, folders, **options):
    return Transfer(sources=folders[0], references=folders[1]).run(editor, mesh=stub_mesh, **options)


@pytest.mark.parametrize("gain", [1.0, 0.5, -1.0])
def test_an_editor_that_follows_scores_its_gain_and_its_control_does_not(folders, gain):
    result = measure(Mover(folders[1], gain), folders)
    assert result["correlation"] == pytest.approx(np.sign(gain), abs=0.01)
    assert result["slope"] == pytest.approx(gain, abs=0.02)
    for name in FEATURES:
        assert result[f"slope_{name}"] == pytest.approx(gain, abs=0.03)
    assert abs(result["correlation_shuffled"]) < 0.3 and abs(result["slope_shuffled"]) < 0.3
    assert result["motion_made"] == pytest.approx(abs(gain) * result["motion_asked"], abs=0.002)
    assert result["spread"] > 1 and result["distance_to_source"] > 1


def test_the_second_judge_sees_a_movement_that_the_first_one_misses(folders):
    def still(picture):
        return None if stub_mesh(picture) is None else landmarks_of(REST)

    editor, run = Mover(folders[1], gain=0.5), Transfer(sources=folders[0], references=folders[1]).run
    result = run(editor, mesh=still, points=stub_points)
    assert result["correlation"] is None and result["slope"] is None
    assert result["slope_points"] == pytest.approx(0.5, abs=0.02) and result["correlation_points"] > 0.99
    assert abs(result["slope_points_shuffled"]) < 0.3
    assert measure(editor, folders)["slope_points"] is None


def test_an_editor_that_ignores_the_reference_has_neither_slope_nor_spread(folders):
    result = measure(Mover(folders[1], gain=0.0), folders)
    assert result["slope"] == pytest.approx(0.0, abs=1e-9) and result["correlation"] is None
    assert result["spread"] == 0.0 and result["distance_to_source"] == 0.0 and result["motion_made"] == 0.0


def test_one_answer_to_every_reference_moves_but_does_not_spread(folders):
    result = measure(Mover(folders[1], gain=0.0, constant=20.0), folders)
    assert result["correlation"] is None and result["spread"] == 0.0 and result["distance_to_source"] > 5
    assert result["motion_made"] == pytest.approx(20 / LEVELS_PER_UNIT)


def test_what_neutral_references_do_is_told_apart_from_noise(folders):
    still = measure(Mover(folders[1]), folders)
    restless = measure(Mover(folders[1], constant=12.0), folders)
    assert still["motion_by_neutral_references"] == 0.0
    assert restless["motion_by_neutral_references"] == pytest.approx(12 / LEVELS_PER_UNIT)
    assert 0 <= still["landmark_noise"] < 0.1 * restless["motion_by_neutral_references"]


def test_counts_say_what_was_measured_and_what_was_left_out(folders):
    sources, references = folders
    save([0] * 5, sources / "no_face.png")
    save([0] * 5, references / "no_face.png")
    (sources / "broken.jpg").write_bytes(b"no picture")
    (sources / "notes.txt").write_text("none either")
    (references / "broken.png").write_bytes((references / "1.png").read_bytes()[:60])
    (references / "3_n.png").unlink()
    with pytest.warns(UserWarning) as notes:
        result = measure(Mover(references.parent / "nowhere"), folders)
    assert [str(note.message).split(": ")[0] for note in notes] == [
        "Left out broken.png", "Left out no_face.png", "Left out broken.jpg", "Left out no_face.png",
    ]  # fmt: skip
    assert [result[f"n_{name}"] for name in ("sources", "references", "neutral_references")] == [12, 8, 1]
    assert [result[f"n_{name}"] for name in ("sources_skipped", "references_skipped", "own_neutral")] == [2, 2, 7]
    assert result["n_edits"] == 12 * 9 and result["n_pairs"] == 12 * 8


@pytest.mark.parametrize("ending", [".tif", ".apng", ".JPE"])
def test_pictures_of_any_ending_are_measured(folders, ending):
    sources, _ = folders
    (sources / "00.png").rename(sources / f"00{ending}")  # the first bytes tell what it is
    assert measure(Mover(folders[1]), folders)["n_sources"] == N_SOURCES


def test_without_an_own_neutral_picture_the_mean_of_the_others_stands_in(folders):
    _, references = folders
    follow = Mover(references)
    for path in references.glob("*_n.png"):
        path.unlink()
    (references / "neutral.png").unlink()
    save([120] * 5, references / "neutral_a.png")
    save([136] * 5, references / "neutral_b.png")
    save([128 + 40] * 5, references / "up.png")
    result = measure(follow, folders)
    assert result["n_own_neutral"] == 0 and "2 neutral pictures" in result["neutral_of_others"]
    assert list(result["by_reference"]["up"]["asked"].values()) == pytest.approx([40 / LEVELS_PER_UNIT] * 5)
    for name in ("neutral_a.png", "neutral_b.png"):
        (references / name).unlink()
    assert "neutralised sources" in measure(follow, folders)["neutral_of_others"]


def test_an_editor_that_finds_another_face_or_none_skips_the_source(folders):
    follow = Mover(folders[1])

    def editor(source, reference=None, strength=1.0):
        if levels_of(source)[0] == levels_of(Image.open(folders[0] / "03.png"))[0]:
            raise NoFaceError("no face")
        result = follow(source, reference, strength)
        return SimpleNamespace(image=result.image, faces=[SimpleNamespace(box=(0, 0, 9, 9))])

    with pytest.raises(CorpusError, match="same face"):
        measure(editor, folders)


@pytest.mark.parametrize("kind", ["lost", "destroyed"])
def test_a_lost_or_destroyed_face_is_counted_as_broken(folders, kind):
    follow = Mover(folders[1], gain=0.5)
    spoilt = levels_of(Image.open(folders[1] / "2.png")).tobytes()

    def editor(source, reference=None, strength=1.0):
        image = np.asarray(follow(source, reference, strength).image).copy()
        if reference is not None and levels_of(reference).tobytes() == spoilt:
            if kind == "lost":
                image[:] = 0
            else:
                image[40:60] = (250, 20, 40)
        return SimpleNamespace(image=Image.fromarray(image))

    result = measure(editor, folders)
    assert result["broken_share"] >= 1 / 9 and result[f"{kind}_share"] >= 1 / 9
    assert measure(follow, folders)["broken_share"] == 0.0
    assert result["n_pairs"] == 12 * (7 if kind == "lost" else 8)


def test_sharpness_is_that_of_the_edit_beside_the_source(folders):
    rng = np.random.default_rng(0)
    for path in folders[0].glob("*.png"):
        grain = rng.integers(-20, 21, (100, 100, 1))
        Image.fromarray((np.asarray(Image.open(path)) + grain).clip(0, 255).astype(np.uint8)).save(path)

    def soft(source, reference=None, strength=1.0):
        pixels = np.asarray(source).astype(float)
        return SimpleNamespace(image=Image.fromarray((pixels / 2 + 64).astype(np.uint8)))

    def same(source, reference=None, strength=1.0):
        return SimpleNamespace(image=source)

    for region in ("mouth", "eyes"):
        assert measure(same, folders)[f"sharpness_{region}"] == 1.0
        assert measure(soft, folders)[f"sharpness_{region}"] == pytest.approx(0.25, abs=0.03)


def describe(picture, landmarks):
    """A descriptor that turns with the mean level of the picture's bands."""
    angle = picture[:, :50].mean() / 50
    return np.array([np.cos(angle), np.sin(angle)])


def test_identity_lies_between_the_same_picture_and_other_persons(folders):
    for i, path in enumerate(sorted(folders[0].glob("*.png"))):
        save([90 + 5 * i] * 5, path)
    kept = measure(Mover(folders[1], 0.0), folders, identity=describe)
    lost = measure(Mover(folders[1], 0.0, constant=60.0), folders, identity=describe)
    assert kept["identity_distance"] == pytest.approx(0.0, abs=1e-9)
    assert kept["identity_distance_itself"] < 1e-3 < kept["identity_distance_others"] < lost["identity_distance"]
    assert measure(Mover(folders[1]), folders)["identity_distance"] is None


def test_folders_without_use_are_refused(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    follow = Mover(folders[1])
    with pytest.raises(CorpusError, match="nowhere is no folder"):
        Transfer(sources=folders[0], references=tmp_path / "nowhere").run(follow, mesh=stub_mesh)
    with pytest.raises(CorpusError, match="no picture of an expression"):
        Transfer(sources=folders[0], references=tmp_path / "empty").run(follow, mesh=stub_mesh)
    with pytest.raises(CorpusError, match="same face"):
        Transfer(sources=tmp_path / "empty", references=folders[1]).run(follow, mesh=stub_mesh)


def test_the_result_is_json_and_goes_into_the_card(folders, tmp_path):
    result = measure(Mover(folders[1], 0.5), folders, identity=describe)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    model = ExpressionEditor.from_pretrained(detector="none").model
    model.save_pretrained(tmp_path / "saved")
    record_in_card(model, tmp_path / "saved", result)
    record_in_card(model, tmp_path / "saved", result)
    entries = [entry for entry in CardFacts.read(tmp_path / "saved").metrics if "wild" in entry["dataset"]]
    named = {entry["name"]: entry for entry in entries}
    assert len(named) == len(entries) and named["slope"]["value"] == pytest.approx(0.5, abs=0.02)
    assert "12 sources, 8 references" in named["broken_share"]["protocol"]


def test_absent_judges_are_named_with_what_installs_them(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    default_networks.cache_clear()
    with pytest.raises(ConfigError, match="pip install --no-deps mediapipe"):
        FaceMesh()
    with pytest.raises(ConfigError, match=r"leed-hub\[evaluate\]"):
        FaceIdentity()
    done = CliRunner().invoke(
        app, ["evaluate", "transfer", "--sources", ".", "--references", ".", "--json-file", str(tmp_path / "out.json")]
    )
    assert done.exit_code == 2 and not (tmp_path / "out.json").exists()


@judges
def test_the_real_mesh_finds_a_face_where_it_is_and_none_where_there_is_none():
    picture = data.astronaut()
    mesh = FaceMesh()
    points = mesh(picture)
    assert points.shape == (468, 3)
    assert np.linalg.norm(points[4, :2] - (227, 117)) < 12  # the tip of the nose
    assert 180 < points[33, 0] < points[263, 0] < 260 and points[33, 1] < points[61, 1]
    moved = mesh(np.roll(picture, (20, 30), axis=(0, 1)))
    assert np.abs(moved[:, :2] - points[:, :2] - (30, 20)).mean() < 1
    assert mesh(data.coffee()) is None


@judges
def test_the_real_identity_knows_a_person_from_another_picture_of_noise():
    picture = data.astronaut()
    points, identity = FaceMesh()(picture), FaceIdentity()
    own = identity(picture, points)
    darker = identity((picture * 0.8).astype(np.uint8), points)
    assert own.shape == (128,) and np.linalg.norm(own) == pytest.approx(1.0)
    assert own @ darker > 0.97 > own @ identity(np.ascontiguousarray(picture[::-1]), points)
