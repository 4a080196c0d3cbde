"""Simple grey chairs, each seen from angles of [0, 90) degrees, which are their labels: a twin of
RC-49 (Ding et al. 2021) that is drawn here and needs no file.
"""

import numpy as np

from cgankd.preset import Data
from cgankd.sources.embedded import files, recognises, three_channels
from cgankd.sources.embedded import quarter_turn as label
from cgankd.sources.source import RawData

__all__ = ["files", "label", "read", "recognises"]

CHAIRS = 49
VIEWS = 32  # of each chair
FINER = 8  # points along a side of a pixel
ELEVATION = np.radians(25)  # of the eye above the seat
LAMP = np.array([-0.4, -0.5, 0.77])  # where it hangs for the eye: so far right, away and up
LEFT, FRONT, TOP = (0, 1, 3, 2), (0, 1, 5, 4), (1, 3, 7, 5)  # the faces of a box that it sees
HALF_WIDTH = 1.35  # of what is seen; chairs are 0.7 to 1.1 wide and up to 2.2 high


def read(settings: Data, seed: int) -> RawData:
    """The chairs of a seed; their types say which chair it is."""
    rng = np.random.default_rng([seed, 0xC4A])
    types, views = np.divmod(np.arange(CHAIRS * VIEWS), VIEWS)
    # At least half a step of views lies between two of a chair, so that no picture is there twice.
    angles = (90 / VIEWS * (views + rng.uniform(0.25, 0.75, len(views)))).astype(np.float32)
    chairs = [(_boxes(rng), rng.uniform(0.5, 1)) for _ in range(CHAIRS)]
    seen = [
        chairs[chair][1] * _seen(chairs[chair][0], np.radians(float(angle)), settings.size)
        for chair, angle in zip(types, angles, strict=True)
    ]
    rows = {"development": np.arange(len(seen))}
    return RawData(three_channels(np.stack(seen)), angles, label(settings), rows, types)


def _boxes(rng: np.random.Generator) -> np.ndarray:
    """The corners of the boxes of a chair (B, 8, 3): how far to the right, to the rear and up of
    its middle each is, counted as [right, rear, up] in binary.

    Four legs carry the seat; the back is a board or a frame, and some chairs have arms. In this
    order, from below and from the right and rear, an eye that looks from above, left and front
    finds no box in front of a later one.
    """
    half_width, half_depth = rng.uniform(0.35, 0.55, 2)
    seat, back = rng.uniform(0.6, 1.0), rng.uniform(0.6, 1.2)
    thick = rng.uniform(0.1, 0.2)
    framed, armed = rng.random(2) < 0.4
    right, rear = (half_width - thick, half_width), (half_depth - thick, half_depth)
    left, front = (-half_width, thick - half_width), (-half_depth, thick - half_depth)
    wide, deep = (-half_width, half_width), (-half_depth, half_depth)
    boxes = [(side, end, (0.0, seat - thick)) for side in (right, left) for end in (rear, front)]
    boxes += [(wide, deep, (seat - thick, seat))]
    if framed:
        rail = ((left[1], right[0]), rear, (seat + 0.7 * back, seat + back))
        boxes += [(right, rear, (seat, seat + back)), rail, (left, rear, (seat, seat + back))]
    else:
        boxes += [(wide, rear, (seat, seat + back))]
    if armed:
        height = (seat + 0.3, seat + 0.3 + 0.7 * thick)
        boxes += [(side, (-half_depth, rear[0]), height) for side in (right, left)]
    corners = [np.stack(np.meshgrid(*box, indexing="ij"), -1).reshape(8, 3) for box in boxes]
    return np.array(corners) - [0, 0, (seat + back) / 2]


def _seen(chair: np.ndarray, angle: float, size: int) -> np.ndarray:
    """How bright each pixel is (S, S), in [0, 1]: from far away, lit by a lamp and a room."""
    from PIL import Image, ImageDraw

    sin, cos = np.sin(angle), np.cos(angle)
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])  # its columns: right, far, up
    ahead = turn @ np.array([0, np.cos(ELEVATION), -np.sin(ELEVATION)])
    right = turn[:, 0]
    lit = 0.35 + 0.65 * np.clip(np.array([-1, -1, 1]) * (turn @ LAMP), 0, 1)
    flat = np.stack([chair @ right, -chair @ np.cross(right, ahead)], -1)  # to the right and down
    points = (flat / HALF_WIDTH + 1) / 2 * size * FINER - 0.5
    canvas = Image.new("L", (size * FINER, size * FINER))
    paint = ImageDraw.Draw(canvas)
    for corners in points:
        for face, light in zip((LEFT, FRONT, TOP), lit, strict=True):
            paint.polygon([tuple(corners[corner]) for corner in face], fill=round(255 * light))
    bright = np.asarray(canvas, np.float64) / 255
    return bright.reshape(size, FINER, size, FINER).mean((1, 3))
