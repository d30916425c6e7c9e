import json

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch import tensor

from leed_hub.metrics import affect_scores, recognition_scores

NAMES = ("neutral", "happiness", "sadness")


def logits_for(predicted, confidence=5.0):
    return confidence * torch.nn.functional.one_hot(tensor(predicted), 3).float()


def test_scores_by_hand():
    labels = [0, 0, 0, 0, 1, 1, 2, 2]
    predicted = [0, 0, 0, 1, 1, 1, 2, 0]
    result = recognition_scores(logits_for(predicted), tensor(labels), NAMES)
    assert result["n"] == 8 and result["accuracy"] == 0.75
    assert result["balanced_accuracy"] == pytest.approx((3 / 4 + 1 + 1 / 2) / 3)
    assert result["macro_f1"] == pytest.approx((3 / 4 + 4 / 5 + 2 / 3) / 3)
    assert result["confusion"] == [[3, 1, 0], [0, 2, 0], [1, 0, 1]]
    happiness = result["per_class"]["happiness"]
    assert happiness == pytest.approx({"recall": 1.0, "precision": 2 / 3, "f1": 0.8, "support": 2})
    assert result["class_names"] == list(NAMES)


def test_a_perfect_classifier_scores_one():
    result = recognition_scores(logits_for([0, 1, 2]), tensor([0, 1, 2]), NAMES)
    assert result["accuracy"] == result["macro_f1"] == result["balanced_accuracy"] == 1.0


def test_classes_without_rows_do_not_poison_the_macro_averages():
    result = recognition_scores(logits_for([0, 0, 1, 2]), tensor([0, 0, 1, 1]), NAMES)  # sadness only ever predicted
    assert result["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert result["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert result["per_class"]["sadness"] == {"recall": None, "precision": None, "f1": None, "support": 0}
    assert result["confusion"][1] == [0, 1, 1]


def test_a_class_never_predicted_costs_its_share():
    result = recognition_scores(logits_for([0, 0, 0, 0]), tensor([0, 0, 1, 2]), NAMES)
    assert result["balanced_accuracy"] == pytest.approx(1 / 3)
    assert result["per_class"]["sadness"] == {"recall": 0.0, "precision": 0.0, "f1": 0.0, "support": 1}


def test_macro_averages_agree_with_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(200, 3, generator=generator), torch.randint(0, 3, (200,), generator=generator)
    result, predicted = recognition_scores(logits, labels, NAMES), logits.argmax(dim=1)
    assert result["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert result["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))


def test_calibration_error_by_hand():
    # Ten rows sure to 0.8 of which nine are right, ten sure to 0.6 of which three are right: (0.1 + 0.3) / 2.
    probabilities = tensor([[0.8, 0.1, 0.1]] * 10 + [[0.6, 0.2, 0.2]] * 10)
    labels = tensor([0] * 9 + [1] + [0] * 3 + [1] * 7)
    result = recognition_scores(probabilities.log(), labels, NAMES)
    assert result["expected_calibration_error"] == pytest.approx(0.2, abs=1e-5)


def test_logits_that_look_like_probabilities_are_still_taken_for_logits():
    logits = tensor([[1.0, 0.0, 0.0]] * 4)
    confidence = logits.softmax(dim=1)[0, 0].item()
    result = recognition_scores(logits, tensor([0, 0, 0, 0]), NAMES)
    assert result["expected_calibration_error"] == pytest.approx(1 - confidence, abs=1e-6)


def test_accuracy_at_80_coverage_leaves_out_the_least_confident_fifth():
    logits = torch.cat([logits_for([0, 0, 1, 1], 5.0), logits_for([2], 0.5)])
    result = recognition_scores(logits, tensor([0, 0, 1, 1, 1]), NAMES)
    assert result["accuracy"] == pytest.approx(4 / 5) and result["accuracy_at_80_coverage"] == 1.0


def test_scores_can_be_written_as_json():
    json.dumps(recognition_scores(logits_for([0, 1]), tensor([0, 2]), NAMES), allow_nan=False)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.zeros(2, 4), tensor([0, 1])),
        (torch.zeros(3, 3), tensor([0, 1])),
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)),
        (torch.zeros(2, 3), tensor([0, -1])),
        (torch.zeros(2, 3), tensor([0, 3])),
    ],
)
def test_rows_that_do_not_fit_are_refused(logits, labels):
    with pytest.raises(ValueError, match="recognition_scores expected"):
        recognition_scores(logits, labels, NAMES)


def test_affect_scores_know_a_constant_answer_from_a_right_one():
    annotated = torch.tensor([[0.0, -0.5], [0.5, 0.5], [1.0, 0.0], [torch.nan, 0.0]])
    right = affect_scores(annotated.nan_to_num(0.3), annotated)
    assert right["n"] == 3 and right["valence"] == {"concordance": pytest.approx(1), "rmse": pytest.approx(0)}
    constant = affect_scores(torch.full((4, 2), 0.5), annotated)
    assert constant["valence"]["concordance"] == pytest.approx(0)
    assert constant["valence"]["rmse"] == pytest.approx((0.5 / 3) ** 0.5)
    assert affect_scores(annotated, torch.full((4, 2), torch.nan)) is None
