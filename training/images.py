"""Face crops: JPEG or PNG bytes to pixels."""

import io

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

IMAGE_SIDE = 56
JPEG_START, PNG_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
PNG_WIDTH, PNG_HEIGHT = slice(16, 20), slice(20, 24)  # in every PNG, from its first chunk

Images = NDArray[np.uint8]


def decode_face(encoded: bytes) -> Images:
    """Decode one crop to RGB [56, 56, 3]. The size is read first, so that a huge image is never unpacked.

    Raises:
        ValueError: neither JPEG nor PNG, damaged, or of another size; the message is the reason.
    """
    if encoded.startswith(JPEG_START):
        return _decode_jpeg(encoded)
    if encoded.startswith(PNG_START):
        return _decode_png(encoded)
    raise ValueError("image is neither JPEG nor PNG")


def _decode_jpeg(encoded: bytes) -> Images:
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(encoded)
    except ValueError as error:
        raise ValueError("damaged JPEG image") from error
    _check_size(width, height)
    try:
        face: Images = simplejpeg.decode_jpeg(encoded, colorspace="RGB")
    except ValueError as error:
        raise ValueError("damaged JPEG image") from error
    return face


def _decode_png(encoded: bytes) -> Images:
    _check_size(int.from_bytes(encoded[PNG_WIDTH]), int.from_bytes(encoded[PNG_HEIGHT]))
    try:
        return np.asarray(Image.open(io.BytesIO(encoded), formats=["PNG"]).convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise ValueError("damaged PNG image") from error


def _check_size(width: int, height: int) -> None:
    if (width, height) != (IMAGE_SIDE, IMAGE_SIDE):
        raise ValueError(f"image is {width}x{height}, not {IMAGE_SIDE}x{IMAGE_SIDE}")
