"""The bounds on what callers keep beside the galleries, the same in every store."""

from typing import Final

from service.errors import GalleryLimitError

NOTE_BYTES_MAX: Final = 65_536


def notes_max(galleries_max: int) -> int:
    """The most keys, of notes and of tallies each: two for every gallery there may be, and 200 for what is past."""
    return 2 * galleries_max + 200


def check_length(text: str) -> None:
    """Raise GalleryLimitError where a note is too long."""
    if len(text.encode()) > NOTE_BYTES_MAX:
        raise GalleryLimitError(f"a note holds at most {NOTE_BYTES_MAX} bytes")
