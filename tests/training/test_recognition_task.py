"""The adversary learns to find the expression in h_n, the encoder learns to hide it, and neither undoes the other."""

import torch
from gradients import touched

from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel
from leed_hub.training.recognition import RecognitionLosses, RecognitionTask


def task(losses: RecognitionLosses, **config) -> RecognitionTask:
    torch.manual_seed(0)
    fields = {"image_size": 16, "widths": (4, 4, 8, 8), "code_dim": 8} | config
    return RecognitionTask(losses, ExpressionEncoderModel(ExpressionEncoderConfig(**fields)))


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "images": torch.rand(14, 1, 16, 16, generator=generator) * 2 - 1,
        "labels": torch.arange(14) % 7,
    }


def test_the_adversarys_own_loss_teaches_only_the_adversary():
    recognition = task(RecognitionLosses(beta2=1.0))
    recognition.generator_losses(batch(), 0)[0]["adversary"].backward()
    assert touched(recognition.model) == {"adversary"}


def test_the_confusion_teaches_the_encoder_and_not_the_adversary():
    recognition = task(RecognitionLosses(beta2=1.0))
    recognition.generator_losses(batch(), 0)[0]["confusion"].backward()
    assert touched(recognition.model) == {"shared", "non_expression_branch"}


def test_classification_leaves_the_non_expression_side_alone():
    recognition = task(RecognitionLosses(beta2=0.0))
    terms, _ = recognition.generator_losses(batch(), 0)
    terms["classification"].backward()
    assert touched(recognition.model) == {"shared", "expression_branch", "classifier"}


def test_the_total_is_the_papers_sum():
    recognition = task(RecognitionLosses(beta1=2.0, beta2=0.5), reconstructs=True)
    t, _ = recognition.generator_losses(batch(), 0)
    expected = t["classification"] + t["adversary"] + 2 * t["reconstruction"] + 0.5 * t["confusion"]
    assert torch.isclose(t["loss"], expected)


def test_a_few_steps_learn_separable_classes_and_the_adversary_does_not_spoil_it():
    """Bright pictures are class 0, dark ones class 1: any working step learns that within seconds."""
    torch.manual_seed(0)
    recognition = task(RecognitionLosses(beta2=0.1, label_smoothing=0.0), labels=("neutral", "happiness"))
    labels = torch.arange(32) % 2
    images = (1 - 2 * labels.float())[:, None, None, None] * 0.5 + 0.1 * torch.randn(32, 1, 16, 16)
    optimizer = torch.optim.AdamW(recognition.model.parameters(), 1e-2)
    for step in range(40):
        terms, _ = recognition.generator_losses({"images": images, "labels": labels}, step)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    recognition.model.eval()
    assert (recognition.model(images).logits.argmax(1) == labels).all()


def test_of_blended_pictures_each_label_counts_by_its_share():
    recognition = task(RecognitionLosses(label_smoothing=0.0))
    recognition.model.eval()
    first = batch()
    second = first | {"labels": first["labels"].roll(1)}
    mixed = first | {"other_labels": second["labels"], "other_share": torch.tensor(0.25)}
    of_first, of_second, of_both = (recognition.generator_losses(given, 0)[0] for given in (first, second, mixed))
    for term in ("classification", "adversary"):
        assert torch.isclose(of_both[term], 0.75 * of_first[term] + 0.25 * of_second[term])


def test_valence_and_arousal_are_learned_by_their_head_and_the_expression_branch():
    recognition = task(RecognitionLosses(valence_arousal=1.0), valence_arousal=True)
    annotated = torch.rand(14, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    terms, _ = recognition.generator_losses(batch() | {"valence_arousal": annotated}, 0)
    terms["valence_arousal"].backward()
    assert touched(recognition.model) == {"shared", "expression_branch", "affect"}


def test_teachers_take_the_labels_place_for_the_classifier_alone():
    teachers = [task(RecognitionLosses()).model for _ in range(2)]
    with torch.no_grad():
        teachers[1].classifier[-1].bias += torch.linspace(-1, 1, 7)
    images = batch()["images"]
    taught = RecognitionTask(RecognitionLosses(), task(RecognitionLosses()).model, teachers)
    taught.model.eval()
    mean = sum(teacher.recognize(images)[0].softmax(1) for teacher in teachers) / 2
    own = taught.model.recognize(images)[0].log_softmax(1)
    expected = (mean * (mean.log() - own)).sum(1).mean()
    terms, _ = taught.generator_losses(batch(), 0)
    assert expected > 0.01 and torch.isclose(terms["classification"], expected, atol=1e-6)
    by_labels, _ = RecognitionTask(RecognitionLosses(), taught.model).generator_losses(batch(), 0)
    assert torch.equal(terms["adversary"], by_labels["adversary"])
    terms["loss"].backward()
    assert touched(taught.model) and not any(touched(teacher) for teacher in teachers)


def test_labels_count_beside_the_teachers_by_what_these_leave():
    teacher, student = (task(RecognitionLosses()).model.eval() for _ in range(2))

    def classification(teachers, **weights):
        losses = RecognitionLosses(label_smoothing=0.0, **weights)
        return RecognitionTask(losses, student, teachers).generator_losses(batch(), 0)[0]["classification"]

    by_labels, by_teacher = classification([]), classification([teacher])
    assert not torch.isclose(by_labels, by_teacher)
    assert torch.isclose(classification([teacher], distillation=0.75), 0.75 * by_teacher + 0.25 * by_labels)
    assert torch.equal(classification([], distillation=0.75), by_labels)


def test_the_teachers_scores_are_freed_of_their_label_smoothing():
    teacher = task(RecognitionLosses()).model.eval()
    with torch.no_grad():
        teacher.classifier[-1].weight *= 20
    losses = RecognitionLosses(teachers_smoothing=0.1)
    images = batch()["images"]
    true = teacher.recognize(images)[0].softmax(1)
    smoothed = 0.9 * true + 0.1 / true.shape[1]

    class Smoothed(torch.nn.Module):
        def recognize(self, images):
            return smoothed.log(), None

    assert torch.allclose(RecognitionTask(losses, teacher, [Smoothed()])._taught(images), true, atol=1e-6)


def test_scores_below_what_smoothing_leaves_count_as_none():
    class Certain(torch.nn.Module):
        def recognize(self, images):
            return torch.tensor([[0.0, 20.0, 0.0]]).expand(len(images), 3), None

    network = task(RecognitionLosses()).model
    taught = RecognitionTask(RecognitionLosses(teachers_smoothing=0.1), network, [Certain()])._taught(torch.zeros(2, 1))
    assert taught.tolist() == [[0.0, 1.0, 0.0]] * 2


def test_who_is_its_own_teacher_has_nothing_to_learn():
    recognition = task(RecognitionLosses())
    recognition.model.eval()
    taught = RecognitionTask(RecognitionLosses(), recognition.model, [task(RecognitionLosses()).model])
    assert taught.generator_losses(batch(), 0)[0]["classification"].abs() < 1e-6
