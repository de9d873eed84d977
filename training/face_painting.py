"""The shapes of a procedural face: smooth implicit functions over a grid of pixels.

Coordinates run from -1 to 1 over the image, u to the right, v down; the face's middle lies near the origin.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 56  # pixels of a side, as the reconstruction path of the paper has it

# float32 all along; the stubs lose the width on the way.
Plane = NDArray[np.floating[Any]]  # [n, h, w], or [n, 1, 1] for one number per face
Colour = NDArray[np.floating[Any]]  # [n, 3]
Canvas = NDArray[np.float32]  # [n, 3, 56, 56], linear RGB, 0..1 but for highlights
Factors = Mapping[str, Plane]

# Rows that a feature can reach wherever a head is turned and moved.
EVERYWHERE, EYE_ROWS, CHEEK_ROWS, MOUTH_ROWS, NECK_ROWS = (
    slice(None),
    slice(7, 38),
    slice(20, 46),
    slice(26, 54),
    slice(32, None),
)
EDGE = SIZE / 2 / 1.3  # edges fade over 1.3 pixels
LAYERS = 19


class _Layers:
    """Layers laid from front to back: each shows where those before it let light pass.

    A layer costs one plane rather than three channels; `compose` turns planes into colours with one product.
    """

    def __init__(self, faces: int) -> None:
        self._passing = np.ones((faces, SIZE, SIZE), dtype=np.float32)
        self._shown = np.zeros((faces, LAYERS, SIZE, SIZE), dtype=np.float32)
        self._colours = np.zeros((faces, 3, LAYERS), dtype=np.float32)
        self._count = 0

    def cover(self, coverage: Plane | float, colour: Colour | float, rows: slice = EVERYWHERE) -> None:
        """Lay a colour at a coverage 0..1 behind everything so far."""
        shown, passing = self._shown[:, self._count, rows], self._passing[:, rows]
        np.multiply(passing, coverage, out=shown)
        passing -= shown
        self._colours[:, :, self._count] = colour
        self._count += 1

    def shade(self, factor: Plane, rows: slice = EVERYWHERE) -> None:
        """Darken (below 1) or lighten (above 1) whatever comes behind."""
        self._passing[:, rows] *= factor

    def compose(self) -> Canvas:
        faces, layers = self._shown.shape[:2]
        canvas = self._colours @ self._shown.reshape(faces, layers, SIZE * SIZE)  # [n, 3, 3136]
        return canvas.reshape(faces, 3, SIZE, SIZE)


def paint(p: Factors) -> Canvas:
    """Faces [n, 3, 56, 56] of factors [n, 1, 1], before lens and sensor."""
    u, v = _head_coordinates(p)  # each [n, 56, 56]
    inner_u = u + 0.22 * p["yaw"] * (u * u - 1)  # what lies on the face turns, its outline hardly moves
    inner_v = v + 0.1 * p["pitch"] * (v * v - 1)
    eye_u, eye_v = inner_u[:, EYE_ROWS], inner_v[:, EYE_ROWS]
    mouth_u, mouth_v = inner_u[:, MOUTH_ROWS], inner_v[:, MOUTH_ROWS]
    skin, hair = _skin_colour(p), _hair_colour(p)
    layers = _Layers(len(u))
    layers.shade(p["gain"] * (1 + p["light_x"] * u + p["light_y"] * v))
    _draw_glasses(layers, p, eye_u, eye_v)
    _draw_eyes(layers, p, eye_u, eye_v, hair)
    _draw_mouth(layers, p, mouth_u, mouth_v, skin)
    _draw_nose(layers, p, mouth_u, mouth_v)
    _draw_beard(layers, p, mouth_u, mouth_v, hair)
    _draw_skin_marks(layers, p, inner_u, inner_v, skin)
    _draw_head(layers, p, u, v, skin, hair)
    layers.shade(1 - 0.25 * v)
    layers.cover(1.0, _rgb(p["background_red"], p["background_green"], p["background_blue"]))
    canvas = layers.compose()
    canvas *= _rgb(1 + p["warmth"], np.ones_like(p["warmth"]), 1 - p["warmth"])[:, :, None, None]
    return canvas


def _head_coordinates(p: Factors) -> tuple[Plane, Plane]:
    axis = ((np.arange(SIZE, dtype=np.float32) + 0.5) * (2 / SIZE) - 1).astype(np.float32)  # [56]
    x = axis[None, None, :] - p["shift_x"]  # [n, 1, 56]
    y = axis[None, :, None] - p["shift_y"]  # [n, 56, 1]
    cos, sin = np.cos(p["roll"]) / p["scale"], np.sin(p["roll"]) / p["scale"]
    return cos * x + sin * y, cos * y - sin * x


def _inside(depth: Plane, sharpness: float = 1.0) -> Plane:
    """Coverage 0..1 of pixels at a signed depth inside a shape, in units of half an image."""
    covered = depth * (EDGE * sharpness)
    covered += 0.5
    np.maximum(covered, 0, out=covered)
    np.minimum(covered, 1, out=covered)
    return covered


def _spot(u: Plane, v: Plane, radius_u: Plane | float, radius_v: Plane | float) -> Plane:
    """A soft round blob: 1 in the middle, 0 from its rim on."""
    spot, down = u * (1 / radius_u), v * (1 / radius_v)
    spot *= spot
    down *= down
    spot += down
    np.subtract(1, spot, out=spot)
    np.maximum(spot, 0, out=spot)
    spot *= spot
    return spot


def _rgb(red: Plane, green: Plane, blue: Plane) -> Colour:
    return np.concatenate([red, green, blue], axis=1)[:, :, 0]  # [n, 3]


def _skin_colour(p: Factors) -> Colour:
    tone, redness = p["skin_tone"], p["skin_redness"]
    return _rgb(tone, tone * (0.76 - 0.07 * redness), tone * (0.6 + 0.06 * redness))


def _hair_colour(p: Factors) -> Colour:
    tone, redness = p["hair_tone"], p["hair_redness"]
    return _rgb(tone, tone * (0.9 - 0.4 * redness), tone * (0.75 - 0.55 * redness))


def _draw_glasses(layers: _Layers, p: Factors, u: Plane, v: Plane) -> None:
    worn = (p["glasses"] > 0).astype(np.float32)
    across, height = np.abs(u) - p["eye_distance"], v - p["eye_height"]
    ring = np.sqrt(across * across + 1.4 * height * height) - 0.19
    bridge = np.maximum(np.abs(height), across + 0.19)
    tone = p["glasses_tone"][:, 0]  # [n, 1]
    layers.cover(worn * _inside(0.03 - np.minimum(np.abs(ring), bridge)), tone * 0.3, EYE_ROWS)
    layers.cover(0.25 * worn * _inside(-ring), tone, EYE_ROWS)


def _draw_eyes(layers: _Layers, p: Factors, u: Plane, v: Plane, hair: Colour) -> None:
    across = np.abs(u) - p["eye_distance"]  # both eyes at once, outwards
    height = v - p["eye_height"]
    along = np.abs(across - 0.01)
    brow = height + p["brow_height"] + p["brow_raise"] + p["brow_slant"] * across + p["brow_arch"] * across * across
    thickness = p["brow_thickness"] * (1 - 0.5 * along / p["brow_length"])
    layers.cover(_inside(thickness - np.abs(brow)) * _inside(p["brow_length"] - along), hair * 0.6, EYE_ROWS)
    profile = 1 - (across / p["eye_width"]) ** 2  # 1 in the middle, 0 at the corners
    slanted = np.abs(height + p["eye_slant"] * across)
    depth = p["eye_opening"] * (1 - p["blink"]) * profile - slanted
    open_eye = _inside(depth)
    gazing = across - p["gaze"] * np.sign(u)
    centre = np.sqrt(gazing * gazing + height * height)
    tone, blue = p["iris_tone"], p["iris_blueness"]
    iris = _rgb(tone * (0.8 - 0.4 * blue), tone * 0.8, tone * (0.8 + 0.5 * blue))
    layers.cover(open_eye * _inside(0.42 * p["iris_size"] - centre), 0.03, EYE_ROWS)
    layers.cover(open_eye * _inside(p["iris_size"] - centre), iris, EYE_ROWS)
    layers.cover(open_eye, 0.92, EYE_ROWS)
    layers.cover(_inside(depth + 0.025) * (profile > 0), 0.12, EYE_ROWS)  # lashes
    layers.shade(1 - 0.3 * p["eye_bags"] * _spot(across, height - 0.11, 0.15, 0.06), EYE_ROWS)


def _draw_mouth(layers: _Layers, p: Factors, u: Plane, v: Plane, skin: Colour) -> None:
    smile = p["smile"]
    across = u / (p["mouth_width"] * (1 + 0.18 * smile))
    profile = 1 - across * across  # 1 in the middle, 0 at the corners
    height = v - p["mouth_height"] + (p["mouth_curve"] + 0.9 * smile) * (u * u) - 0.02 * smile
    opening = np.maximum(p["mouth_opening"], 0) * profile
    gap = np.minimum(height + 0.012 * profile, opening + 0.012 * profile - height)
    layers.cover(_inside(gap) * (profile > 0), skin * 0.25, MOUTH_ROWS)
    upper, lower = p["upper_lip"] * profile, p["lower_lip"] * profile + opening
    red = p["lip_redness"]
    lip = skin * _rgb(1 - 0.1 * red, 0.72 - 0.3 * red, 0.75 - 0.25 * red)
    layers.cover(_inside(np.minimum(height + upper, lower - height)), lip, MOUTH_ROWS)


def _draw_nose(layers: _Layers, p: Factors, u: Plane, v: Plane) -> None:
    side, width, size = np.abs(u), p["nose_width"], p["nostril_size"]
    below = v - p["eye_height"] - 0.16 - p["nose_length"]
    layers.cover(_spot(side - 0.62 * width, below - 0.02, 1.6 * size, 1.2 * size), 0.08, MOUTH_ROWS)
    factor = 1 - 0.22 * p["nose_ridge"] * _spot(side - 0.8 * width, below + 0.12, 0.06, 0.3)
    factor += 0.25 * _spot(u, below + 0.04, 0.8 * width, 0.12)
    factor -= 0.35 * _spot(u, below - 0.06, 1.3 * width, 0.07)
    layers.shade(factor, MOUTH_ROWS)


def _draw_beard(layers: _Layers, p: Factors, u: Plane, v: Plane, hair: Colour) -> None:
    across, down = u / p["face_width"], v / p["face_height"]
    mouth_v = v - p["mouth_height"]
    moustache = _spot(u, mouth_v + p["upper_lip"] + 0.05, 1.1 * p["mouth_width"], 0.09)
    layers.cover(np.minimum(2 * moustache, 1) * np.maximum(p["moustache"], 0), hair, MOUTH_ROWS)
    across *= across
    jaw = _inside(mouth_v + 0.45 * across + 0.02, 0.45)
    jaw *= _inside(1 - np.sqrt(across + down * down), 0.6)
    layers.cover(0.8 * np.maximum(p["beard"], 0) * jaw, hair, MOUTH_ROWS)


def _draw_skin_marks(layers: _Layers, p: Factors, u: Plane, v: Plane, skin: Colour) -> None:
    mole = _spot(u - p["mole_x"], v - p["mole_y"], 0.075, 0.075)
    layers.shade(1 - np.maximum(p["mole_darkness"], 0) * mole)
    cheek_u, cheek_v = u[:, CHEEK_ROWS], v[:, CHEEK_ROWS]
    blush = _spot(np.abs(cheek_u) - 0.36, cheek_v - 0.18, 0.24, 0.22)
    freckled = np.maximum(np.sin(41 * cheek_u) * np.sin(37 * cheek_v + 3 * cheek_u), 0)
    layers.shade(1 - 0.35 * np.maximum(p["freckles"], 0) * blush * freckled, CHEEK_ROWS)
    layers.cover(0.5 * p["cheek_blush"] * blush, skin * np.asarray([1, 0.4, 0.4], dtype=np.float32), CHEEK_ROWS)


def _draw_head(layers: _Layers, p: Factors, u: Plane, v: Plane, skin: Colour, hair: Colour) -> None:
    side = np.abs(u)  # the head is symmetric but for its parting
    low = np.maximum(v, 0)
    width = p["face_width"] * (1 + p["cheek_fullness"] * (1 - v * v) - p["jaw_taper"] * low * low)
    across, down = side / width, v / p["face_height"]
    depth = 1 - np.sqrt(across * across + down * down)  # above zero inside the face
    face = _inside(depth, 0.65)
    off_parting = u - p["parting"]
    fringe = _inside(p["hairline_curve"] * off_parting * off_parting - v - p["hairline"])
    layers.cover(face * fringe, hair * 1.1)
    lit = face * (1 - 0.28 * np.maximum(1 - 2.2 * depth, 0))  # the face curves away at its rim
    passing = lit + (1 - face)
    layers.shade(passing)
    layers.cover(lit / passing, skin)
    ear_u, ear_v = (side - 0.97 * p["face_width"]) / 0.75, v - p["ear_height"]
    layers.cover(_inside(p["ear_size"] - np.sqrt(ear_u * ear_u + 0.4 * ear_v * ear_v)), skin * 0.85)
    neck = _inside(0.38 * p["face_width"] + 0.12 - side[:, NECK_ROWS])
    layers.cover(neck, skin * 0.72, NECK_ROWS)
    volume = p["hair_volume"]
    wide, tall = side / (p["face_width"] + volume), np.minimum(v + 0.08, 0) / (p["face_height"] + volume)
    mane = _inside(1 - np.sqrt(wide * wide + tall * tall), 0.7)
    layers.cover(mane * _inside(p["hair_length"] - v), hair * 0.75)
