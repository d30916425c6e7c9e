"""Results are written whole or not at all."""

import json

import pytest

from leed_hub.evaluation import write_json


def test_write_json_reads_back_and_leaves_nothing_beside_it(tmp_path):
    write_json({"error_ratio": 0.5, "psnr": None}, tmp_path / "results" / "editing.json")
    assert json.loads((tmp_path / "results" / "editing.json").read_text()) == {"error_ratio": 0.5, "psnr": None}
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["editing.json"]


def test_write_json_keeps_the_old_file_when_the_result_cannot_be_written(tmp_path):
    path = tmp_path / "editing.json"
    write_json({"n": 1}, path)
    for result, error in (({"n": float("nan")}, ValueError), ({"n": object()}, TypeError)):
        with pytest.raises(error):
            write_json(result, path)
    assert json.loads(path.read_text()) == {"n": 1} and list(tmp_path.iterdir()) == [path]
