"""Distillation methods: their terms by hand, and a teacher that stays as it is."""

import math

import pytest
import torch
from torch import nn, tensor

from cgankd import preset
from cgankd.data import images
from cgankd.losses import softened_kl
from cgankd.methods import SskdHead, Teacher, make_method
from cgankd.methods.blkd import Blkd
from cgankd.methods.nokd import Nokd
from cgankd.methods.sskd import Sskd, kept, similarities, sources, turned
from cgankd.methods.uda import Uda
from cgankd.models.cnn import Projection
from cgankd.task import Classification, Regression

CLASSES, DEGREES = Classification(["a", "b", "c"]), Regression(0.0, 90.0, "degrees")


PLAIN = images.Augmentation()


class Fixed(nn.Module):
    """Outputs that do not depend on the images but can be trained."""

    def __init__(self, outputs) -> None:
        super().__init__()
        self.outputs = nn.Parameter(tensor(outputs))

    def forward(self, images):
        return self.outputs.expand(len(images), -1)


def test_nokd_is_the_loss_of_the_task():
    losses = Nokd(CLASSES, Fixed([math.log(2), 0.0, 0.0]))(torch.zeros(2, 3, 4, 4), tensor([0, 1]))
    assert set(losses) == {"label"}
    assert losses["label"].item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    losses = Nokd(DEGREES, Fixed([0.5]))(torch.zeros(2, 3, 4, 4), tensor([0.5, 0.1]))
    assert losses["label"].item() == pytest.approx(0.08)


def test_blkd_weighs_the_labels_and_the_softened_outputs_of_the_teacher():
    teacher = Teacher(Fixed([4 * math.log(3), 0.0, 0.0]))
    method = Blkd(
        CLASSES,
        Fixed([0.0, 0.0, 0.0]),
        teacher,
        label_weight=0.5,
        match_weight=1.25,
        temperature=4.0,
    )
    losses = method(torch.zeros(2, 3, 4, 4), tensor([0, 2]))
    # at T = 4 the teacher says (3/5, 1/5, 1/5), the student a third each
    divergence = 0.6 * math.log(1.8) + 2 * 0.2 * math.log(0.6)
    assert losses["label"].item() == pytest.approx(0.5 * math.log(3))
    assert losses["match"].item() == pytest.approx(1.25 * 16 * divergence, rel=1e-5)


def test_blkd_of_a_continuous_label_matches_the_teachers_value():
    method = Blkd(
        DEGREES,
        Fixed([0.5]),
        Teacher(Fixed([0.7])),
        label_weight=0.25,
        match_weight=2.0,
        temperature=9.0,
    )
    losses = method(torch.zeros(3, 3, 4, 4), tensor([0.5, 0.5, 0.2]))
    assert losses["label"].item() == pytest.approx(0.25 * 0.03)
    assert losses["match"].item() == pytest.approx(2 * 0.04)


class Seen(nn.Module):
    """A student or teacher whose output, a value, is the mean pixel; it remembers its images."""

    def forward(self, images):
        self.images = images
        return images.mean((1, 2, 3))[:, None]


def test_mixup_shows_both_networks_mixed_pairs_and_weighs_both_labels_by_their_shares():
    student, network = Seen(), Seen()
    weights = {"label_weight": 0.5, "match_weight": 2.0, "temperature": 1.0}
    method = Blkd(DEGREES, student, Teacher(network), mixup=0.4, **weights)
    drawn, labels = torch.rand(6, 3, 4, 4), tensor([0.0, 0.1, 0.2, 0.5, 0.7, 1.0])
    torch.manual_seed(5)
    losses = method(drawn, labels)
    torch.manual_seed(5)
    mixed, others, share = images.mixed(drawn, 0.4)
    assert 0 < share < 1
    assert sorted(others.tolist()) == list(range(6))
    assert others.tolist() != list(range(6))
    assert torch.allclose(mixed, share * drawn + (1 - share) * drawn[others])
    assert torch.equal(student.images, mixed)
    assert torch.equal(network.images, mixed)
    answers = mixed.mean((1, 2, 3))
    first, second = ((answers - one).square().mean() for one in (labels, labels[others]))
    assert losses["label"].item() == pytest.approx(
        0.5 * (share * first + (1 - share) * second).item()
    )
    assert losses["match"].item() == 0


def test_the_shares_of_mixup_are_of_the_beta_distribution():
    torch.manual_seed(0)
    one = torch.zeros(1, 3, 1, 1)
    shares = tensor([images.mixed(one, 0.5)[2] for _ in range(1000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.04)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * 0.5 + 1)), abs=0.02)


def test_methods_with_a_teacher_take_mixup_from_the_preset():
    settings = preset.load("digits", ["distill.mixup=0.3"]).distill
    teacher = Teacher(Fixed([0.0, 0.0, 0.0]))
    made = make_method("takd", CLASSES, Fixed([0.0, 0.0, 0.0]), teacher, settings).objective
    assert made.mixup == 0.3
    made = make_method("blkd+uda", CLASSES, Fixed([0.0, 0.0, 0.0]), teacher, settings)
    assert made.blkd.mixup == 0.3
    assert preset.load("digits").distill.mixup == 0


@pytest.mark.parametrize(("task", "outputs"), [(CLASSES, [1.0, -2.0, 0.3]), (DEGREES, [0.4])])
def test_a_student_that_equals_its_teacher_has_nothing_to_match(task, outputs):
    method = Blkd(
        task, Fixed(outputs), Teacher(Fixed(outputs)), label_weight=1, match_weight=1, temperature=3
    )
    labels = tensor([0, 1]) if task is CLASSES else tensor([0.0, 1.0])
    losses = method(torch.zeros(2, 3, 4, 4), labels)
    assert losses["match"].item() == pytest.approx(0, abs=1e-6)
    losses["match"].backward()
    torch.testing.assert_close(
        method.student.outputs.grad, torch.zeros(len(outputs)), atol=1e-6, rtol=0
    )


def test_the_teacher_is_in_eval_mode_without_gradients_and_no_part_of_the_method():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    network.train()
    method = Blkd(
        CLASSES,
        Fixed([0.0, 0.0, 0.0]),
        Teacher(network),
        label_weight=1,
        match_weight=1,
        temperature=1,
    )
    method.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.randn(8, 3, 2, 2)
    sum(method(images, torch.zeros(8, dtype=torch.int64)).values()).backward()
    assert not network.training
    assert all(
        parameter.grad is None and not parameter.requires_grad for parameter in network.parameters()
    )
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert set(method.state_dict()) == {"student.outputs"}
    assert torch.equal(method.teacher(images), method.teacher(images)), "no dropout"


def test_methods_are_made_with_the_weights_of_the_preset():
    settings = preset.load(
        "digits",
        ["distill.label_weight=0.5", "distill.match_weight=1.25", "distill.temperature=4.0"],
    ).distill
    student, teacher = Fixed([0.0, 1.0, 0.0]), Teacher(Fixed([1.0, 0.0, 2.0]))
    images, labels = torch.zeros(2, 3, 4, 4), tensor([0, 2])
    nokd = make_method("nokd", CLASSES, student, None, settings)(images, labels)
    for name in ("blkd", "takd"):
        losses = make_method(name, CLASSES, student, teacher, settings)(images, labels)
        assert losses["label"].item() == pytest.approx(0.5 * nokd["label"].item())
        match = softened_kl(student(images), teacher(images), 4.0)
        assert losses["match"].item() == pytest.approx(1.25 * match.item())


def test_a_method_without_its_teacher_is_a_bug_and_so_is_an_unknown_one():
    settings = preset.load("digits").distill
    with pytest.raises(AssertionError, match="blkd needs a teacher"):
        make_method("blkd", CLASSES, Fixed([0.0]), None, settings)
    with pytest.raises(AssertionError, match="unknown method fitnet"):
        make_method("fitnet", CLASSES, Fixed([0.0]), Teacher(Fixed([0.0])), settings)


# SSKD


class Quadrants(nn.Module):
    """Features are the means of the four quarters of the image; outputs are the first three of
    them, tenfold.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Module()
        self.trunk.num_features = 4
        self.head = nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(10 * torch.eye(4)[:3])

    def features(self, pixels):
        return pixels.mean(1).unfold(1, 2, 2).unfold(2, 2, 2).mean((3, 4)).flatten(1)

    def forward(self, pixels):
        return self.head(self.features(pixels))


def dots(*places: int) -> torch.Tensor:
    """4x4 images with one bright quarter: 0 top left, 1 top right, 2 bottom left, 3
    bottom right.
    """
    pixels = torch.zeros(len(places), 3, 4, 4)
    for image, place in zip(pixels, places, strict=True):
        image[:, 2 * (place // 2) : 2 * (place // 2) + 2, 2 * (place % 2) : 2 * (place % 2) + 2] = 1
    return pixels


def sskd(teacher_head: nn.Module, **settings) -> Sskd:
    head = preset.Training(steps=1)
    method = Sskd(
        CLASSES,
        Quadrants(),
        Teacher(Quadrants(), teacher_head),
        preset.SskdSettings(head=head, **settings),
        PLAIN,
    )
    method.head = nn.Identity()
    return method


def test_an_image_is_turned_counter_clockwise_three_times():
    quarters = Quadrants().features(turned(dots(0, 3), PLAIN))
    # rows: both upright, both turned by 90, by 180, by 270 degrees
    assert quarters.argmax(1).tolist() == [0, 3, 2, 1, 3, 0, 1, 2]


def test_similarities_are_cosines_of_turned_and_upright_views():
    projected = tensor([[2.0, 0], [0, 3], [1, 0], [1, 1], [0, -1], [5, 0], [3, 4], [0, 1]])
    half = math.sqrt(0.5)
    expected = tensor([[1, 0], [half, half], [0, -1], [1, 0], [0.6, 0.8], [0, 1]])
    torch.testing.assert_close(similarities(projected), expected)
    assert sources(expected).tolist() == [0, 1, 0, 1, 0, 1]


def test_all_right_rows_are_kept_and_of_the_wrong_ones_a_share_of_the_best():
    scores = tensor([[3.0, 2, 1, 0], [0, 1, 2, 3], [2, 3, 1, 0], [1, 2, 3, 0], [0, 3, 2, 1]])
    truth = tensor([0, 0, 0, 0, 1])  # ranks 0, 3, 1, 2, 0
    assert kept(scores, truth, 1.0).tolist() == [True] * 5
    assert kept(scores, truth, 0.0).tolist() == [True, False, False, False, True]
    assert kept(scores, truth, 0.75).tolist() == [True, False, True, True, True], (
        "int(0.75 * 3) = 2 wrong ones"
    )
    assert kept(scores, truth, 0.5).tolist() == [True, False, True, False, True]


def test_of_equally_wrong_rows_the_first_are_kept():
    scores, truth = tensor([[0.0, 1, 1]]).expand(4, 3), torch.zeros(4, dtype=torch.int64)
    assert kept(scores, truth, 0.5).tolist() == [True, True, False, False]


def test_the_four_terms_of_sskd_are_those_computed_by_hand():
    # The teacher projects onto the first two quarters, the student onto all four.
    first_two = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        first_two.weight.copy_(torch.eye(4)[:2])
    method = sskd(first_two, keep_transform=0.5, keep_similarity=0.75)
    with torch.no_grad():
        method.student.head.weight.zero_()
    pixels, labels = dots(0, 1), tensor([0, 1])
    losses = method(pixels, labels)
    assert losses["label"].item() == pytest.approx(0.1 * math.log(3), rel=1e-5)
    # Upright: the teacher's logits are 10 at the label and 0 else, at temperature 4; the student's
    # are all 0.
    top = math.exp(2.5) / (math.exp(2.5) + 2)
    rest = (1 - top) / 2
    divergence = math.log(3) + top * math.log(top) + 2 * rest * math.log(rest)
    assert losses["match"].item() == pytest.approx(0.9 * 16 * divergence, rel=1e-5)
    # Turned views of image 0 light quarters 2, 3, 1, those of image 1 quarters 0, 2, 3 (labels 0
    # and 1). No row is right where another quarter of the first three is lit (ranks 1); quarter 3
    # lights nothing: all logits 0, rank 0. In order (turn, image): quarters 2 | 0 | 3 | 2 | 1 | 3:
    # ranks 1, 1, 0, 1, 1, 0. Kept: the two right ones with uniform logits (divergence 0) and
    # int(0.5 * 4) = 2 of the wrong ones, each with `divergence`.
    assert losses["transform"].item() == pytest.approx(2.7 * 16 * 2 * divergence / 4, rel=1e-5)


def test_the_similarity_term_compares_rows_of_cosines_at_its_temperature():
    method = sskd(nn.Identity(), keep_similarity=1.0)
    same = method(dots(0, 1), tensor([0, 1]))
    assert same["similarity"].item() == pytest.approx(0, abs=1e-6), (
        "student and teacher project alike"
    )
    constant = nn.Linear(4, 4)
    with torch.no_grad():
        constant.weight.zero_()
        constant.bias.fill_(1.0)
    method.head = constant  # the student finds everything equally similar
    losses = method(dots(0, 1), tensor([0, 1]))
    # The teacher's rows of cosines: (0, 0) for quarters 2 and 3, (1, 0) or (0, 1) for the lit
    # quarters 0 and 1.
    top = math.exp(2) / (math.exp(2) + 1)
    divergence = math.log(2) + top * math.log(top) + (1 - top) * math.log(1 - top)
    assert losses["similarity"].item() == pytest.approx(10 * 0.25 * 2 * divergence / 6, rel=1e-5)


def test_the_teachers_head_learns_from_which_upright_view_a_turned_one_comes():
    objective = SskdHead(Teacher(Quadrants()), nn.Identity(), PLAIN)
    # Cosines: (0, 0) in four rows; turned image 0 on quarter 1 is like image 1, turned image 1 on
    # quarter 0 like 0.
    wrong = math.log(1 + math.e)
    expected = (4 * math.log(2) + 2 * wrong) / 6
    assert objective(dots(0, 1), tensor([0, 1]))["similarity"].item() == pytest.approx(
        expected, rel=1e-5
    )


def test_of_sskd_student_and_both_its_heads_learn_and_the_teacher_does_not():
    teacher = Teacher(Quadrants(), Projection(size=4))
    method = Sskd(
        CLASSES,
        Quadrants(),
        teacher,
        preset.SskdSettings(head=preset.Training(steps=1)),
        images.Augmentation(["crop", "flip"]),
    )
    sum(method(torch.randn(6, 3, 4, 4), torch.arange(6) % 3).values()).backward()
    assert {name.split(".")[0] for name in method.state_dict()} == {"student", "head"}
    assert all(parameter.grad is not None for parameter in method.parameters())
    taught = [*teacher.network.parameters(), *teacher.head.parameters()]
    assert all(parameter.grad is None for parameter in taught)


# UDA


def test_uda_is_the_mean_of_blkd_on_a_plain_and_on_a_strong_view(monkeypatch):
    monkeypatch.setattr("cgankd.methods.uda.autoaugment", lambda pixels: -pixels)
    blkd = Blkd(
        CLASSES,
        Quadrants(),
        Teacher(Quadrants()),
        label_weight=0.5,
        match_weight=0.5,
        temperature=5.0,
    )
    with torch.no_grad():
        blkd.student.head.weight.copy_(torch.eye(4)[1:])
    pixels, labels = torch.randn(5, 3, 4, 4), tensor([0, 1, 2, 0, 1])
    losses = Uda(blkd, PLAIN)(pixels, labels)
    for name in ("label", "match"):
        expected = (blkd(pixels, labels)[name] + blkd(-pixels, labels)[name]) / 2
        assert losses[name].item() == pytest.approx(expected.item())


def test_the_plain_view_of_uda_is_augmented_and_the_strong_one_is_not_cropped(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "cgankd.methods.uda.autoaugment", lambda pixels: seen.append(pixels) or pixels
    )
    blkd = Blkd(
        CLASSES,
        Quadrants(),
        Teacher(Quadrants()),
        label_weight=0.5,
        match_weight=0.5,
        temperature=5.0,
    )
    pixels, labels = torch.randn(16, 3, 4, 4), torch.zeros(16, dtype=torch.int64)
    torch.manual_seed(3)
    losses = Uda(blkd, images.Augmentation(["flip"]))(pixels, labels)
    torch.manual_seed(3)
    plain, strong = blkd(images.flip(pixels), labels), blkd(pixels, labels)
    assert torch.equal(seen[0], pixels)
    assert losses["label"].item() == pytest.approx((plain["label"] + strong["label"]).item() / 2)


@pytest.mark.parametrize("name", ["sskd", "blkd+uda"])
def test_methods_with_views_take_their_weights_from_the_preset(name):
    changes = [
        "distill.sskd.head.steps=1",
        "distill.sskd.label_weight=0.3",
        "distill.uda.label_weight=0.7",
    ]
    settings = preset.load("digits", changes).distill
    method = make_method(
        name, CLASSES, Quadrants(), Teacher(Quadrants(), Projection(size=4)), settings
    )
    weight = {
        "sskd": lambda: method.settings.label_weight,
        "blkd+uda": lambda: method.blkd.label_weight,
    }[name]()
    assert weight == {"sskd": 0.3, "blkd+uda": 0.7}[name]
