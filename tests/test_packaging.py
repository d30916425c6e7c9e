"""What an installed leed_hub needs and holds."""

import email
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from conftest import EXAMPLES, ROOT, missing
from packaging.requirements import Requirement

import leed_hub
from leed_hub.pipelines.pipeline import default_device

# A sitecustomize that makes what the extras bring look as if it were not installed.
NOT_CORE = [
    *("accelerate", "av", "datasets", "face_alignment", "gradio", "gradio_client", "onnx", "onnxruntime"),
    *("onnxscript", "pandas", "pyarrow", "sklearn", "tensorboard", "torchmetrics"),
]
CORE_ONLY = f"import sys; sys.modules.update(dict.fromkeys({NOT_CORE}))"
EDIT = """
import sys
import leed_hub

assert leed_hub.__file__.startswith({site!r}), leed_hub.__file__
editor = leed_hub.ExpressionEditor.from_pretrained()
editor({source!r}, {reference!r}).image.save("edited.png")
print(leed_hub.ExpressionRecognizer.from_pretrained()({reference!r})[0].label)
"""


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in requirements)
    return {re.split(r"[<>=\[ ;]", line)[0].lower().replace("_", "-") for line in lines if line}


def test_requirements_of_the_space_hold_all_that_the_page_and_the_training_need():
    extras = project()["optional-dependencies"]
    needed = names(project()["dependencies"]).union(
        *(names(extras[name]) for name in ("app", "face-alignment", "heif", "mcp", "train", "video"))
    )
    assert names((ROOT / "requirements.txt").read_text().splitlines()) == needed - {"leed-hub"}


def test_the_space_asks_for_what_the_package_does_and_for_a_torch_that_zerogpu_has():
    ours = [line for lines in project()["optional-dependencies"].values() for line in lines] + project()["dependencies"]
    for line in (ROOT / "requirements.txt").read_text().splitlines()[1:]:
        assert line.removesuffix(",<2.12") in ours
    assert "torch>=2.8,<2.12" in (ROOT / "requirements.txt").read_text().splitlines()


def all_needed(requirements) -> set[str]:
    """The names of these packages and of all that they bring, as the installed ones say."""
    extras = project()["optional-dependencies"]
    found, left = set(), [Requirement(line) for line in requirements]
    while left:
        one = left.pop()
        if (place := (one.name.lower(), *sorted(one.extras))) in found:
            continue
        found.add(place)
        if one.name == "leed-hub":
            left += [Requirement(line) for extra in one.extras for line in extras[extra]]
            continue
        brought = [Requirement(line) for line in metadata.requires(one.name) or []]
        left += [
            other
            for other in brought
            if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in ("", *one.extras))
        ]
    return {name for name, *_ in found}


@pytest.mark.parametrize("extra", [None, "app", "export", "heif", "mcp", "train", "video"])
def test_a_container_without_libgl_is_enough_for_all_but_face_alignment(extra):
    """OpenCV's other builds need libGL.so.1, and overwrite the files of the headless one."""
    more = project()["optional-dependencies"][extra] if extra else []
    opencv = {name for name in all_needed(project()["dependencies"] + more) if "opencv" in name}
    assert opencv == {"opencv-python-headless"}


def test_floors_leave_out_the_versions_that_break_every_call():
    lines = [project()["dependencies"], *project()["optional-dependencies"].values()]
    floors = {one.name: one.specifier for one in map(Requirement, sum(lines, []))}
    assert not floors["scikit-image"].contains("0.25.2")  # lacks SimilarityTransform.from_estimate
    assert not floors["onnxscript"].contains("0.6.2")
    assert not floors["av"].contains("16.1.0")


def test_the_bundled_networks_load_without_timm_and_without_torchs_compiler():
    code = """
import sys
from leed_hub import ExpressionEditor, ExpressionRecognizer
ExpressionEditor.from_pretrained(), ExpressionRecognizer.from_pretrained()
print({"timm", "torch._dynamo", "sympy"} & sys.modules.keys())"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert said.strip() == "set()"


def test_the_public_names_are_listed_and_there():
    assert set(leed_hub.__all__) <= set(dir(leed_hub))
    assert leed_hub.EditResult.__name__ == "EditResult"


@pytest.mark.parametrize(("cuda", "mps", "device"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_is_the_fastest_device_of_the_machine(monkeypatch, cuda, mps, device):
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)
    assert default_device() == device


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, leed_hub; print([name for name in sys.modules if '.' not in name])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    for name in ("torch", "numpy", "cv2", "PIL", "timm", "huggingface_hub", "pydantic", "datasets", "gradio", "typer"):
        assert f"'{name}'" not in loaded


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel's folder."""
    try:
        import hatchling  # noqa: F401
    except ImportError:
        missing("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_wheel_names_the_papers(wheel):
    (described,) = wheel.glob("*.dist-info/METADATA")
    urls = email.message_from_string(described.read_text()).get_all("Project-URL")
    assert {url.rpartition("/")[2] for url in urls} == {"2007.08971", "2008.07001"}
    readme = (ROOT / "README.md").read_text()
    assert all(url.rpartition(", ")[2] in readme for url in urls)


@pytest.mark.slow
def test_wheel_holds_weights_cards_and_types(wheel):
    package = wheel / "leed_hub"
    held = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert {
        "checkpoints/editor/model.safetensors",
        "checkpoints/recognizer/model.safetensors",
        "faces/weights/face_detection_yunet.onnx",
        "faces/weights/LICENSE.md",
        "model_cards/editor.md",
        "model_cards/recognizer.md",
        "py.typed",
    } <= held
    assert any(name.startswith("data/cards/") for name in held)


@pytest.mark.slow
def test_wheel_with_the_core_dependencies_alone_edits_and_classifies_a_photograph_offline(wheel, tmp_path):
    from PIL import Image

    (tmp_path / "sitecustomize.py").write_text(CORE_ONLY)
    code = EDIT.format(site=str(wheel), source=str(EXAMPLES / "source.png"), reference=str(EXAMPLES / "happiness.png"))
    environment = {"PYTHONPATH": f"{tmp_path}:{wheel}", "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path), "PATH": ""}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == "happiness"
    with Image.open(tmp_path / "edited.png") as edited, Image.open(EXAMPLES / "source.png") as source:
        assert edited.size == source.size
        assert edited.convert("RGB").tobytes() != source.convert("RGB").tobytes()


def test_a_missing_extra_is_named_in_one_sentence(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(CORE_ONLY)
    code = """
from leed_hub.errors import LeedHubError
try:
    import leed_hub.data.pushing
except LeedHubError as error:
    print(type(error).__name__, error)
"""
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "HOME": str(tmp_path), "PATH": ""}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    sentence = 'MissingExtraError Reading corpora needs datasets: pip install "leed-hub[train]".'
    assert said.stdout.strip() == sentence, said.stderr
