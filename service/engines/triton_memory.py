"""Memory that a Triton on this host maps too: wide calls cross in it, and only their sizes in a message."""

import logging
import math
import mmap
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from contract.vectors import FLOAT32_BYTES, Features

logger = logging.getLogger(__name__)

FOLDER: Final = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory; the name is secret and short-lived
SLOTS: Final = 8  # calls at once; further ones go by message
SLOT_BYTES: Final = 512 * 512 * FLOAT32_BYTES  # each way: a whole batch of 512 dimensions; wider ones go by message
CALL_BYTES_MIN: Final = 32 * 1024  # below, a message costs no more
REGISTER_TIMEOUT_S: Final = 5


@dataclass(frozen=True, slots=True)
class Slot:
    """A part of the memory that one call has to itself: features [N, ds] in, translated ones out."""

    index: int
    shape: tuple[int, int]  # N, dt
    features: Any  # InferInput; tritonclient has no types
    translated: Any  # InferRequestedOutput


class TritonMemory:
    """Slots that calls take and give back.

    A slot whose call was given up stays taken: Triton may write into it at any time, and what it writes must not pass
    for the answer of another call.
    """

    def __init__(self, client_module: Any, name: str, region: mmap.mmap) -> None:  # noqa: ANN401 - tritonclient has no types
        self._client_module = client_module
        self._name = name
        self._region = region
        self._free = list(range(SLOTS))

    @classmethod
    async def share(cls, client: Any, client_module: Any) -> Self | None:  # noqa: ANN401 - as above
        """Have Triton map a new region; None where it cannot, since it runs on another host or under another user."""
        name = f"r3an-{secrets.token_hex(16)}"
        size = 2 * SLOTS * SLOT_BYTES
        try:
            region = _create(FOLDER / name, size)
        except OSError:
            return None
        try:
            await client.register_system_shared_memory(name, f"/{name}", size, client_timeout=REGISTER_TIMEOUT_S)
        except client_module.InferenceServerException:
            logger.info("no memory is shared with Triton: calls go by message")
            return None
        finally:
            # Both have it mapped, or nobody will: without a name it ends with them, even if they are killed.
            (FOLDER / name).unlink(missing_ok=True)
        return cls(client_module, name, region)

    @property
    def name(self) -> str:
        """What Triton calls the region."""
        return self._name

    @property
    def is_spent(self) -> bool:
        """Whether no slot is free, and none may be again."""
        return not self._free

    @property
    def is_idle(self) -> bool:
        """Whether no call uses it."""
        return len(self._free) == SLOTS

    def take(self, features: Features, target_dim: int, tensor: str) -> Slot | None:
        """A slot with features [N, ds] in it; None where all are taken, or the call is too narrow or too wide."""
        shape = (len(features), target_dim)
        answer_bytes = math.prod(shape) * FLOAT32_BYTES
        if not self._free or features.nbytes < CALL_BYTES_MIN or max(features.nbytes, answer_bytes) > SLOT_BYTES:
            return None
        index = self._free.pop()
        start = 2 * index * SLOT_BYTES
        np.frombuffer(self._region, np.float32, features.size, start)[:] = features.ravel()
        sent = self._client_module.InferInput(tensor, list(features.shape), "FP32")
        sent.set_shared_memory(self._name, features.nbytes, start)
        asked = self._client_module.InferRequestedOutput(tensor)
        asked.set_shared_memory(self._name, answer_bytes, start + SLOT_BYTES)
        return Slot(index, shape, sent, asked)

    def read(self, slot: Slot) -> Features:
        """What Triton wrote, [N, dt]."""
        start = (2 * slot.index + 1) * SLOT_BYTES
        return np.frombuffer(self._region, np.float32, math.prod(slot.shape), start).reshape(slot.shape).copy()

    def give_back(self, slot: Slot) -> None:
        """Triton has answered the slot's call: nothing is written into it any more."""
        self._free.append(slot.index)


def _create(file: Path, size: int) -> mmap.mmap:
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        os.ftruncate(descriptor, size)
        return mmap.mmap(descriptor, size)
    except OSError:
        file.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
