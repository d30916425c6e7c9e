"""No linear probe reads the expression off h_n, and the rest of the recogniser stays as it was."""

import torch
from probes import nearest_mean
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel
from leed_hub.training.erasure import erase_expression, least_squares_erasure

CONFIG = ExpressionEncoderConfig(image_size=16, widths=(8, 8, 16, 16), non_expression_width=32, code_dim=32)
CLASSES = 4
ONE = torch.zeros(5000, dtype=torch.long)  # one corpus


def faces(seed: int, count: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture is its category's pattern in noise."""
    patterns = torch.rand(CLASSES, 1, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    noise = torch.rand(count, 1, 16, 16, generator=generator) - 0.5
    return (patterns[labels] + noise).clamp(-1, 1), labels


def model() -> ExpressionEncoderModel:
    torch.manual_seed(0)
    network = ExpressionEncoderModel(CONFIG)
    with torch.no_grad():
        for seed in range(30):  # running statistics, as a training leaves them
            network(faces(100 + seed, 64)[0])
    return network.eval()


@torch.no_grad()
def read_by_a_linear_probe(network: ExpressionEncoderModel) -> float:
    (seen, labels), (other, others) = faces(2), faces(3)
    probe = LogisticRegression(max_iter=500).fit(network(seen).non_expression_code.numpy(), labels.numpy())
    return balanced_accuracy_score(others.numpy(), probe.predict(network(other).non_expression_code.numpy()))


def test_what_a_probe_reads_off_the_code_is_gone_and_reading_stays():
    before = model()
    weights = {name: weight.clone() for name, weight in before.state_dict().items()}
    images, labels = faces(1, 4000)
    after = erase_expression(
        before, ((images[rows], labels[rows], ONE[rows]) for rows in torch.arange(4000).split(500))
    )
    assert read_by_a_linear_probe(before) > 0.8
    assert abs(read_by_a_linear_probe(after) - 1 / CLASSES) < 0.1
    assert all(torch.equal(weight, weights[name]) for name, weight in before.state_dict().items())
    changed = {name for name, weight in after.state_dict().items() if not torch.equal(weight, weights[name])}
    assert changed == {f"non_expression_branch.0.to_code.{part}" for part in ("weight", "bias")}


def test_the_network_gives_the_codes_that_the_map_would_give():
    network = model()
    images, labels = faces(1, 4000)
    with torch.no_grad():
        codes = network(images).non_expression_code
        projection, centre = least_squares_erasure(codes, labels, ONE[:4000])
        after = erase_expression(network, [(images, labels, ONE[:4000])])
        assert torch.allclose(
            after(images).non_expression_code, centre + (codes - centre) @ projection.T, atol=1e-4, rtol=1e-3
        )


def test_all_classes_have_one_mean_and_the_codes_hardly_change():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (5000,), generator=generator)
    mixed = torch.randn(12, 12, generator=generator)  # dimensions that go together, of unlike size
    means = torch.randn(CLASSES, 12, generator=generator)
    codes = torch.randn(5000, 12, generator=generator) @ mixed + means[labels]
    projection, centre = least_squares_erasure(codes, labels, ONE[:5000])
    erased = centre + (codes - centre) @ projection.T
    of_class = torch.stack([erased[labels == number].mean(dim=0) for number in range(CLASSES)])
    assert torch.allclose(of_class, erased.mean(dim=0).expand_as(of_class), atol=0.01)
    assert nearest_mean(erased, labels, erased, labels, seed=0)["linear_accuracy"] < 1 / CLASSES + 0.03
    assert torch.linalg.matrix_rank(projection, tol=1e-4) == 12 - CLASSES + 1

    # The orthogonal projection that makes the means alike changes them more.
    basis, _ = torch.linalg.qr((means - means.mean(dim=0)).T[:, : CLASSES - 1])
    orthogonal = (codes - centre) @ basis @ basis.T
    assert (erased - codes).square().sum() < 0.9 * orthogonal.square().sum()


def test_codes_that_tell_nothing_stay():
    codes = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    projection, _ = least_squares_erasure(codes, ONE[:500], ONE[:500])
    assert torch.equal(projection, torch.eye(6))


def test_within_each_corpus_the_classes_have_one_mean():
    generator = torch.Generator().manual_seed(0)
    labels, corpora = (torch.randint(2, (4000,), generator=generator) for _ in range(2))
    codes = torch.randn(4000, 6, generator=generator)
    codes[:, 0] += 3 * torch.where(corpora == 0, labels, -labels)  # over both, the classes are alike
    codes[:, 1] += 3 * corpora
    projection, centre = least_squares_erasure(codes, labels, corpora)
    erased = centre + (codes - centre) @ projection.T
    for corpus in (0, 1):
        first, second = (erased[(corpora == corpus) & (labels == label)].mean(dim=0) for label in (0, 1))
        assert torch.allclose(first, second, atol=0.01)
    assert (erased[corpora == 1] - erased[corpora == 0].mean(dim=0)).mean(dim=0)[1] > 2  # which corpus stays told
