"""A procedural world of faces: who a person is, how a photo of them was taken, and the pixels that follow.

Everything is a number in a range, so a face is reproduced from (seed, number) alone, whatever batch it is drawn in.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.face_painting import SIZE, paint

Parameters = NDArray[np.float32]  # [N, factors], one row a person or a photo, columns in the order of the ranges
Images = NDArray[np.uint8]  # [N, 56, 56, 3] RGB

RENDER_ROWS = 16  # faces painted at once: the working set of one step stays in a core's cache
_IDENTITY_STREAM, _NUISANCE_STREAM = 0, 1

IDENTITY_RANGES: Mapping[str, tuple[float, float]] = {
    "face_width": (0.54, 0.72),
    "face_height": (0.74, 0.9),
    "jaw_taper": (0.05, 0.5),
    "cheek_fullness": (-0.08, 0.12),
    "skin_tone": (0.25, 0.95),
    "skin_redness": (-1.0, 1.0),
    "cheek_blush": (0.0, 1.0),
    "hair_tone": (0.03, 0.75),
    "hair_redness": (0.0, 1.0),
    "hair_volume": (0.02, 0.22),
    "hair_length": (-0.5, 0.9),
    "hairline": (0.4, 0.75),
    "hairline_curve": (-0.5, 0.9),
    "parting": (-0.35, 0.35),
    "ear_size": (0.08, 0.17),
    "ear_height": (-0.15, 0.12),
    "eye_distance": (0.23, 0.34),
    "eye_height": (-0.24, -0.08),
    "eye_width": (0.1, 0.17),
    "eye_opening": (0.045, 0.09),
    "eye_slant": (-0.25, 0.25),
    "iris_size": (0.045, 0.07),
    "iris_tone": (0.1, 0.75),
    "iris_blueness": (-1.0, 1.0),
    "eye_bags": (0.0, 1.0),
    "brow_height": (0.12, 0.22),
    "brow_thickness": (0.015, 0.055),
    "brow_length": (0.12, 0.2),
    "brow_slant": (-0.35, 0.35),
    "brow_arch": (-1.0, 3.5),
    "nose_length": (0.1, 0.28),
    "nose_width": (0.06, 0.15),
    "nose_ridge": (0.0, 1.0),
    "nostril_size": (0.02, 0.045),
    "mouth_height": (0.36, 0.52),
    "mouth_width": (0.17, 0.34),
    "upper_lip": (0.02, 0.07),
    "lower_lip": (0.03, 0.09),
    "lip_redness": (0.0, 1.0),
    "mouth_curve": (-0.4, 0.5),
    "beard": (-1.0, 1.0),  # below zero: none
    "moustache": (-1.0, 1.0),
    "freckles": (-1.0, 1.0),
    "mole_x": (-0.45, 0.45),
    "mole_y": (-0.5, 0.65),
    "mole_darkness": (-0.5, 1.0),
}

NUISANCE_RANGES: Mapping[str, tuple[float, float]] = {
    "shift_x": (-0.07, 0.07),
    "shift_y": (-0.07, 0.07),
    "roll": (-0.14, 0.14),  # radians
    "scale": (0.93, 1.07),
    "yaw": (-0.7, 0.7),
    "pitch": (-0.8, 0.8),
    "light_x": (-0.45, 0.45),
    "light_y": (-0.35, 0.35),
    "gain": (0.65, 1.25),
    "warmth": (-0.14, 0.14),
    "smile": (-0.5, 1.0),
    "mouth_opening": (-0.1, 0.09),  # below zero: closed
    "brow_raise": (-0.04, 0.05),
    "blink": (0.0, 0.7),
    "gaze": (-0.04, 0.04),
    "glasses": (-1.0, 0.3),  # above zero: worn
    "glasses_tone": (0.0, 0.6),
    "background_red": (0.1, 0.9),
    "background_green": (0.1, 0.9),
    "background_blue": (0.1, 0.9),
    "blur": (0.0, 1.0),
    "noise": (0.0, 0.05),
}


def identities(count: int, seed: int, *, first: int = 0) -> Parameters:
    """People `first … first + count` of the world `seed`: [count, 46], each drawn on its own."""
    return _draw(count, first, seed, _IDENTITY_STREAM, IDENTITY_RANGES)


def nuisances(count: int, seed: int, *, first: int = 0) -> Parameters:
    """How photos `first … first + count` were taken: [count, 22]; their sensor noise is drawn by `render`."""
    return _draw(count, first, seed, _NUISANCE_STREAM, NUISANCE_RANGES)


def render(identity: Parameters, nuisance: Parameters) -> Images:
    """Photos [N, 56, 56, 3] of people [N, 46] under nuisances [N, 22]."""
    images = np.empty((len(identity), SIZE, SIZE, 3), dtype=np.uint8)
    for start in range(0, len(identity), RENDER_ROWS):
        rows = slice(start, start + RENDER_ROWS)
        factors = {**_columns(identity[rows], IDENTITY_RANGES), **_columns(nuisance[rows], NUISANCE_RANGES)}
        canvas = _blur(paint(factors), factors["blur"])
        canvas += factors["noise"][:, None] * _sensor_noise(nuisance[rows])
        canvas *= 255
        canvas += 0.5
        np.clip(canvas, 0, 255, out=canvas)
        images[rows] = canvas.astype(np.uint8).transpose(0, 2, 3, 1)
    return images


def _draw(count: int, first: int, seed: int, stream: int, ranges: Mapping[str, tuple[float, float]]) -> Parameters:
    low, high = np.asarray(list(ranges.values()), dtype=np.float32).T  # each [factors]
    unit = np.stack([_generator(seed, stream, first + i).random(len(ranges), dtype=np.float32) for i in range(count)])
    return np.asarray(low + (high - low) * unit)


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))


def _columns(values: Parameters, ranges: Mapping[str, tuple[float, float]]) -> dict[str, NDArray[np.float32]]:
    return {name: values[:, i, None, None] for i, name in enumerate(ranges)}


def _blur(canvas: NDArray[np.float32], strength: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blend [n, 3, 56, 56] with its 5x5 binomial blur."""
    soft = np.pad(canvas, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    for _ in range(4):  # a sum of neighbours, four times over, has the weights 1 4 6 4 1
        soft = soft[:, :, 1:] + soft[:, :, :-1]
    for _ in range(4):
        soft = soft[:, :, :, 1:] + soft[:, :, :, :-1]
    soft *= 1 / 256
    soft -= canvas
    soft *= strength[:, None]
    soft += canvas
    return soft


def _sensor_noise(nuisance: Parameters) -> NDArray[np.float32]:
    """Even noise [n, 1, 56, 56] of variance 1, seeded by each photo's own parameters."""
    # An array as entropy: SeedSequence takes six times as long over a list.
    generators = [np.random.Generator(np.random.SFC64(np.random.SeedSequence(row))) for row in nuisance.view(np.uint32)]
    unit = np.stack([generator.random((1, SIZE, SIZE), dtype=np.float32) for generator in generators])
    unit -= 0.5
    unit *= math.sqrt(12)
    return unit
