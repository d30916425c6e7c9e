"""The neutral point is made neutral, and the decoder is told the same way to go as before."""

import pytest
import torch

from leed_hub.errors import ConfigError
from leed_hub.losses.disentanglement import scatter_share
from leed_hub.models.leed import LEEDConfig, LEEDModel
from leed_hub.training.disentangle import codes_of_others, disentangle_codes, fisher_directions

CONFIG = LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=16, identity_dim=8, expression_dim=4)


def batches(count: int = 30, size: int = 16, knows_neutral: bool = True) -> list[dict[str, torch.Tensor]]:
    """A picture is its person's pattern plus the expression's; a setup is one person, neutral and otherwise."""
    noise = torch.Generator().manual_seed(0)
    persons = torch.rand(12, 3, 32, 32, generator=noise) - 0.5
    expressions = torch.cat([torch.zeros(1, 3, 32, 32), torch.rand(6, 3, 32, 32, generator=noise) - 0.5])
    made = []
    for _ in range(count):
        person = torch.randint(12, (size // 2,), generator=noise).repeat(2)
        worn = torch.cat([torch.zeros(size // 2, dtype=torch.long), torch.randint(1, 7, (size // 2,), generator=noise)])
        made.append(
            {
                "images": persons[person] + expressions[worn],
                "setup": torch.arange(size // 2).repeat(2),
                "is_neutral": (worn == 0) & knows_neutral,
                "corpus": torch.zeros(size, dtype=torch.long),
                "expression": torch.where(worn > 0, worn, -1),
                "person": person,
                "neutral_landmarks": torch.full((size, 68, 2), torch.nan),
            }
        )
    return made


def model() -> LEEDModel:
    torch.manual_seed(0)
    network = LEEDModel(CONFIG)
    with torch.no_grad():
        for batch in batches(20):  # running statistics, as a training leaves them
            places = torch.arange(len(batch["images"]))
            network(batch["images"], places, places.flip(0), torch.ones(len(places), 1))
    return network.eval()


@torch.no_grad()
def seen(network: LEEDModel) -> tuple[torch.Tensor, torch.Tensor]:
    """How much z_n differs within setups beside over all; what steers the decoder."""
    neutral, mates, conditions = [], [], []
    for batch in batches():
        faces = network.encode(batch["images"])
        mates.append(faces.neutral_point.roll(len(faces.point) // 2, 0))
        neutral.append(faces.neutral_point)
        target = faces.neutral_point + network.transform(faces.neutral_point, faces.expression_code.roll(3, 0))
        conditions.append(network.decoder.condition(torch.cat([faces.point, target - faces.point], dim=1)))
    neutral, mates = torch.cat(neutral), torch.cat(mates)
    within = (neutral - mates).square().mean() / 2 / neutral.var(dim=0).mean()
    return within, torch.cat(conditions)


def test_mates_share_their_neutral_point_and_the_decoder_notices_nothing():
    before = model()
    kept = {name: weight.clone() for name, weight in before.state_dict().items()}
    after = disentangle_codes(before, batches(), identity_dim=4)
    assert after.config.identity_dim == 4 and not after.training
    (within_before, steered_before), (within_after, steered_after) = seen(before), seen(after)
    assert within_after < 0.6 * within_before
    error = (steered_after - steered_before).square().mean() / steered_before.var(dim=0).mean()
    assert error < 0.1
    assert all(torch.equal(kept[name], weight) for name, weight in before.state_dict().items())


def test_the_neutral_mapping_is_linear_and_passes_on_so_many_numbers():
    after = disentangle_codes(model(), batches(), identity_dim=4)
    with torch.no_grad():
        mapped = after.neutral_mapping(torch.eye(16)) - after.neutral_mapping(torch.zeros(1, 16))
        both = after.neutral_mapping(torch.ones(1, 16)) - after.neutral_mapping(torch.zeros(1, 16))
    assert torch.allclose(mapped.sum(dim=0), both[0], atol=1e-4)
    assert torch.linalg.matrix_rank(mapped, rtol=1e-4) == 4


def test_how_a_second_corpus_was_made_is_no_trait_of_persons():
    faces = batches()
    for batch in faces[: len(faces) // 3]:  # all brighter, and paler: persons differ less
        batch["images"] = 0.3 * batch["images"] + 0.9
        batch["corpus"] = batch["corpus"] + 1

    def spread(known: bool) -> float:
        """Variance of z_n within the first corpus, beside that over both."""
        told = faces if known else [batch | {"corpus": torch.zeros(16, dtype=torch.long)} for batch in faces]
        disentangled = disentangle_codes(model(), told, identity_dim=2)
        with torch.no_grad():
            neutral = [disentangled.encode(batch["images"]).neutral_point for batch in faces]
        first = torch.cat([points for points, batch in zip(neutral, faces, strict=True) if not batch["corpus"].any()])
        return float(first.var(dim=0).sum() / torch.cat(neutral).var(dim=0).sum())

    assert spread(known=True) > 1.5 * spread(known=False)


def test_faces_without_a_neutral_mate_spoil_no_fit():
    faces = batches()
    lone = batches(count=15, knows_neutral=False)
    for batch in lone:  # far off, and nothing is known of them
        batch["images"] = 4 - 3 * batch["images"]
        batch["expression"] = torch.full((16,), -1)
        batch["setup"], batch["corpus"] = torch.arange(16), batch["corpus"] + 1
    plain, mixed = (disentangle_codes(model(), told, identity_dim=4).state_dict() for told in (faces, faces + lone))
    assert all(torch.allclose(plain[name], weight, atol=1e-4) for name, weight in mixed.items())


def test_lone_pictures_of_known_neutral_landmarks_keep_the_neutral_point_that_they_taught():
    """In another corpus, where other directions of z are the expression's than the setups show."""
    before, lone = model(), batches(count=15)
    for batch in lone:
        batch["images"] = batch["images"].flip(2) * 0.5 + 0.5
        batch["expression"] = torch.full((16,), -1)
        batch["is_neutral"] = torch.zeros(16, dtype=torch.bool)
        batch["setup"], batch["corpus"] = torch.arange(16), batch["corpus"] + 1

    @torch.no_grad()
    def moved(told: bool) -> float:
        landmarks = torch.zeros(16, 68, 2) if told else torch.full((16, 68, 2), torch.nan)
        seen = [batch | {"neutral_landmarks": landmarks} for batch in lone]
        after = disentangle_codes(before, batches() + seen, identity_dim=8)
        points = [
            torch.cat([network.encode(batch["images"]).neutral_point for batch in lone]) for network in (before, after)
        ]
        return float((points[0] - points[1]).square().mean())

    assert moved(told=True) < 0.5 * moved(told=False)


def test_a_neutral_face_has_next_to_no_expression_code():
    after = disentangle_codes(model(), batches(), identity_dim=8)
    (batch,) = batches(1, 64)
    with torch.no_grad():
        codes = after.encode(batch["images"]).expression_code
    neutral = batch["is_neutral"]
    assert codes[neutral].square().mean() < 0.5 * codes[~neutral].square().mean()


def test_who_wears_an_expression_tells_less_of_its_code():
    before = model()
    after = disentangle_codes(before, batches(), identity_dim=4)
    unknown = [batch | {"expression": torch.full((16,), -1)} for batch in batches()]  # as recipe "neutral" knows it
    own = disentangle_codes(before, unknown, identity_dim=4)

    @torch.no_grad()
    def differing(network: LEEDModel) -> float:
        """How far codes of one expression differ beside how far all do."""
        faces = batches()
        codes = torch.cat([network.encode(batch["images"]).expression_code for batch in faces])
        return float(scatter_share(codes, torch.cat([batch["expression"] for batch in faces])))

    assert differing(after) < 0.8 * differing(own)


def test_codes_of_others_by_hand():
    codes = torch.tensor([[1.0], [2.0], [4.0], [10.0], [20.0], [7.0]])
    expression, person = torch.tensor([5, 5, 5, 6, 6, -1]), torch.tensor([0, 1, 1, 2, 2, 3])
    rows, means = codes_of_others(codes, expression, person)
    assert rows.tolist() == [0, 1, 2] and means.squeeze(1).tolist() == [3, 1, 1]


def test_without_a_known_neutral_face_the_codes_cannot_be_disentangled():
    with pytest.raises(ConfigError, match="known to be neutral"):
        disentangle_codes(model(), batches(2, knows_neutral=False), identity_dim=4)


@pytest.mark.parametrize("identity_dim", [0, 17])
def test_more_numbers_than_there_are_cannot_be_passed_on(identity_dim):
    with pytest.raises(ConfigError, match="between 1 and 16"):
        disentangle_codes(model(), batches(2), identity_dim=identity_dim)


def test_fisher_finds_what_pairs_share_however_faint():
    noise = torch.Generator().manual_seed(0)
    shared = torch.randn(500, 1, generator=noise)
    mixing = torch.randn(5, 5, generator=noise)
    codes, mates = (torch.cat([0.05 * shared, torch.randn(500, 4, generator=noise)], dim=1) @ mixing for _ in range(2))
    (found,) = (codes @ fisher_directions(codes, mates, torch.cat([codes, mates]), 1)).T
    assert abs(torch.corrcoef(torch.stack([found, shared[:, 0]]))[0, 1]) > 0.95
    assert found.std() == pytest.approx(1, abs=0.1)


def test_a_dimension_in_which_nobody_differs_is_no_direction_of_identity():
    generator = torch.Generator().manual_seed(0)
    persons = torch.randn(50, 6, generator=generator)
    persons[:, 2] = 3.0  # at the limit of the manifold, for all
    mates = persons + 0.3 * torch.randn(50, 6, generator=generator) * torch.tensor([1, 1, 0, 1, 1, 1.0])
    directions = fisher_directions(persons, mates, torch.cat([persons, mates]), 3)
    assert directions.isfinite().all() and directions[2].abs().max() < 1e-3
