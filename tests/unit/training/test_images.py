"""Face crops: both formats come out as the same pixels, everything else is refused with its reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.unit.training.samples import jpeg, png
from training.images import decode_face

FACE = np.tile(np.array([200, 40, 90], np.uint8), (56, 56, 1))


def test_a_png_is_exact() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_face(png(noise)), noise)


def test_a_jpeg_is_rgb() -> None:
    assert np.abs(decode_face(jpeg(FACE)).astype(int) - FACE).max() <= 4


def test_a_grey_png_becomes_rgb() -> None:
    file = io.BytesIO()
    Image.fromarray(FACE[..., 0]).save(file, "PNG")
    np.testing.assert_array_equal(decode_face(file.getvalue()), np.full((56, 56, 3), 200))


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "neither JPEG nor PNG"),
        (b"GIF89a and more", "neither JPEG nor PNG"),
        (jpeg(FACE)[:20], "damaged JPEG"),
        (jpeg(FACE)[:-100], "damaged JPEG"),
        (png(FACE)[:-60], "damaged PNG"),
        (png(FACE)[:20], "image is 56x0, not 56x56"),
        (png(FACE).replace(b"IDAT", b"IDAX"), "damaged PNG"),
        (jpeg(FACE[:, :40]), "image is 40x56, not 56x56"),
        (png(FACE[:30]), "image is 56x30, not 56x56"),
    ],
)
def test_what_is_no_face_crop_is_refused_with_its_reason(encoded: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_face(encoded)


def test_a_png_that_would_unpack_to_gigabytes_is_refused_by_its_size() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    with pytest.raises(ValueError, match="60000x60000"):
        decode_face(bomb)
