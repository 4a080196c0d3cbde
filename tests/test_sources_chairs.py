"""The chairs that are drawn: what a label says is what is to be seen."""

import numpy as np
import pytest

from cgankd.preset import Data
from cgankd.sources import catalogue, chairs


def settings(size: int = 16) -> Data:
    return Data(source="chairs", size=size, num_train=100, num_validation=100)


@pytest.fixture(scope="module")
def drawn():
    return catalogue.read(settings(), 0)


def test_each_chair_is_seen_from_all_sides_and_no_picture_is_there_twice(drawn):
    assert drawn.label == {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees"}
    assert np.bincount(drawn.types).tolist() == [chairs.VIEWS] * chairs.CHAIRS
    for chair in range(chairs.CHAIRS):
        angles = np.sort(drawn.labels[drawn.types == chair])
        assert 0 < angles[0] < 3 < 87 < angles[-1] < 90
        assert 1.4 < np.diff(angles).min() < np.diff(angles).max() < 4.3
    assert len(np.unique(drawn.images.reshape(len(drawn.images), -1), axis=0)) == len(drawn.images)


def test_a_seed_draws_its_own_chairs_and_the_same_ones_again(drawn):
    again, other = catalogue.read(settings(), 0), catalogue.read(settings(), 1)
    assert np.array_equal(again.images, drawn.images)
    assert np.array_equal(again.labels, drawn.labels)
    assert not np.array_equal(other.images[0], drawn.images[0])


def test_nothing_is_cut_off_by_the_frame():
    images = catalogue.read(settings(32), 0).images
    assert max(images[:, :, [0, -1]].max(), images[:, :, :, [0, -1]].max()) == 0
    assert images.reshape(len(images), -1).max(1).min() > 60


def test_from_the_front_a_chair_is_its_own_mirror_image_and_from_the_side_it_is_not():
    rng = np.random.default_rng(0)
    for _ in range(5):
        chair = chairs._boxes(rng)
        front, side = (chairs._seen(chair, angle, 32) for angle in (0.0, np.pi / 2))
        odd = [np.abs(view - view[:, ::-1]).sum() / view.sum() for view in (front, side)]
        assert odd[0] < 0.05
        assert odd[1] > 0.2


def test_what_is_nearer_hides_what_is_behind_it():
    # Turned by 90 degrees the eye looks from the left side: of a board and a smaller box before it.
    board, box = [(-0.1, 0.1), (-0.5, 0.5), (-0.5, 0.5)], [(-0.5, -0.3), (-0.2, 0.2), (-0.2, 0.2)]
    corners = [np.stack(np.meshgrid(*one, indexing="ij"), -1).reshape(8, 3) for one in (board, box)]
    both = chairs._seen(np.array(corners), np.pi / 2, 128)
    behind = chairs._seen(np.array(corners[:1]), np.pi / 2, 128)
    alone = chairs._seen(np.array(corners[1:]), np.pi / 2, 128)
    solid = np.isin(alone, [alone.max(), alone[70, 64]])  # pixels that its top or side fills
    assert alone.max() > 0.3
    assert solid.sum() > 200
    assert np.array_equal(both[solid], alone[solid])
    assert np.array_equal(both[alone == 0], behind[alone == 0])


def test_angles_that_are_near_look_alike(drawn):
    """Of the views of a chair, the most alike one is a neighbour."""
    flat = drawn.images[:, 0].reshape(chairs.CHAIRS, chairs.VIEWS, -1).astype(float)
    nearest = []
    for views in flat:
        distance = np.square(views[:, None] - views[None]).sum(-1)
        np.fill_diagonal(distance, np.inf)
        nearest.append(np.abs(distance.argmin(1) - np.arange(chairs.VIEWS)))
    assert np.mean(np.concatenate(nearest) <= 2) > 0.9
