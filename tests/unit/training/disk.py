"""A disk that is full after some bytes of a file, without a disk of one's own."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def full_after(file_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond that: what is written further fails, in C++ too, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
