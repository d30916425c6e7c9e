"""The locator's recipe on a made-up corpus: who is left out, what a config may say, and that a step teaches."""

import numpy as np
import pytest
import torch
from PIL import Image

import leed_hub.data.scenes
import leed_hub.recipes
from leed_hub.data.scenes import textures
from leed_hub.errors import ConfigError
from leed_hub.faces import Face
from leed_hub.recipes import build_recipe, read_settings

CPU = torch.device("cpu")
POINTS = np.float32([[40, 45], [80, 45], [60, 68], [44, 85], [76, 85]])
TINY = {"detector_widths": [4, 4, 8], "refiner_widths": [4, 4, 8, 8], "hidden_dim": 8, "crop_size": 32}
ENTRY = {"corpus": "london", "data_dir": "london", "split": "train"}


@pytest.fixture
def corpora(tmp_path, monkeypatch):
    """Four persons, a face drawn at `POINTS` in each picture, and a teacher that knows; one picture has no face."""
    for person in ("001", "002", "003", "004"):
        for folder, number in (("neutral_front", "03"), ("smiling_front", "08")):
            picture = np.full((128, 128, 3), 40 * int(person), np.uint8)
            if (person, number) != ("004", "08"):
                for x, y in POINTS.astype(int):
                    picture[y - 3 : y + 4, x - 3 : x + 4] = 250
            (tmp_path / "london" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(tmp_path / "london" / folder / f"{person}_{number}.jpg", quality=95)
    monkeypatch.setenv("LEED_HUB_CORPORA", str(tmp_path))

    def teacher(image):
        return [Face((20, 20, 100, 110), 0.9, POINTS)] if image.max() > 200 else []

    monkeypatch.setattr(leed_hub.recipes, "build_locator", lambda name: teacher)
    # Hundreds of backgrounds take seconds.
    monkeypatch.setattr(leed_hub.data.scenes, "textures", lambda count, *rest: textures(4, *rest))


def recipe(**data):
    torch.manual_seed(0)
    data = {"corpora": [ENTRY | {"repeats": 3}], "judge": [ENTRY], "held_out": ["001"]} | data
    return build_recipe(read_settings("locating", TINY, {}, data))


def test_persons_held_out_and_pictures_without_a_face_are_left_out(corpora):
    assert len(recipe().feed) == 3 * 5
    assert len(recipe(held_out=[]).feed) == 3 * 7
    assert len(recipe(corpora=[ENTRY | {"every": 2}], held_out=[]).feed) == 4


def test_a_few_steps_on_one_batch_lower_the_loss(corpora):
    made = recipe()
    task, optimizer = made.make_task(made.model, None), torch.optim.AdamW(made.model.parameters(), 3e-3)
    batch = made.feed.batch(torch.arange(8), torch.Generator().manual_seed(0), CPU)
    seen = []
    for step in range(25):
        loss = task.generator_losses(batch, step)[0]["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    assert seen[-1] < 0.8 * seen[0]
    numbers = made.evaluate(made.model.eval(), CPU)
    assert made.score(numbers) == -numbers["loss"]
    assert made.evaluate(made.model, CPU) == numbers  # always the same scenes


def test_a_misspelt_key_is_named(corpora):
    with pytest.raises(ConfigError, match="locating.*evry"):
        recipe(corpora=[ENTRY | {"evry": 2}])
    with pytest.raises(ConfigError, match="hiden_dim"):
        read_settings("locating", TINY | {"hiden_dim": 3}, {}, {"corpora": [ENTRY], "judge": [ENTRY], "held_out": []})
