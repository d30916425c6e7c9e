"""Shared by all tests: no network, the shared corpora where they are, and a skip that names what is missing."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Waiting threads sleep instead of spinning: beside another busy process the probes' tests took 311 s, and so 2.5 s.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "docs" / "examples"
SHARED = Path(__file__).resolve().parents[2] / "shared"


def portrait(name: str) -> Image.Image:
    """An example render as a photograph of 512 x 512 pixels shows a face: with room around it."""
    canvas = Image.new("RGB", (512, 512), (128, 128, 128))
    canvas.paste(Image.open(EXAMPLES / f"{name}.png").convert("RGB").resize((256, 256)), (20, 100))
    return canvas


def missing(what: str) -> None:
    """Skip a test for want of `what`; in CI, where everything is there, that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"needs {what}, which CI should have")
    pytest.skip(f"needs {what}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first: at the end one process would go on with them alone."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of corpora and detector that tests may read."""
    if not SHARED.is_dir():
        missing("../shared")
    return SHARED


@pytest.fixture(autouse=True)
def two_threads():
    """The same small number of threads everywhere, so that sums come out the same."""
    torch.set_num_threads(min(2, int(os.environ.get("OMP_NUM_THREADS", 2)), os.cpu_count() or 1))
