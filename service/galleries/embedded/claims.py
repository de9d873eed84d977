"""Which faces of a copy are being translated, and by when."""

import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

Clock = Callable[[], float]  # seconds, never going back


@dataclass(frozen=True, slots=True)
class _Lease:
    face_ids: tuple[str, ...]
    ends_s: float


class Claims:
    """Leases on the missing faces of one copy, in memory: after a restart, what is missing is claimed anew.

    `start`: no face below it is both missing and not leased, so that the next claim need not look there.
    """

    def __init__(self, clock: Clock) -> None:
        self.start = ""
        self._clock = clock
        self._leases: dict[str, _Lease] = {}
        self._leased: dict[str, str] = {}  # face ids, and the token of each one's lease

    def leased(self) -> Collection[str]:
        """The faces under a lease that has not ended; those whose lease has are claimed again."""
        now_s = self._clock()
        for token in [token for token, lease in self._leases.items() if lease.ends_s <= now_s]:
            self.reopen(self.end(token))
        return self._leased

    def begin(self, face_ids: Sequence[str], lease_ms: int) -> str:
        """Lease faces, the next ones in order; returns the claim's token."""
        token = secrets.token_hex(8)
        self._leases[token] = _Lease(tuple(face_ids), self._clock() + lease_ms / 1000)
        self._leased.update(dict.fromkeys(face_ids, token))
        self.start = max(self.start, face_ids[-1])
        return token

    def end(self, token: str) -> tuple[str, ...]:
        """End a lease; returns its faces, none if it had ended."""
        lease = self._leases.pop(token, None)
        if lease is None:
            return ()
        self.release(face_id for face_id in lease.face_ids if self._leased.get(face_id) == token)
        return lease.face_ids

    def release(self, face_ids: Iterable[str]) -> None:
        """Say that these are not missing: should they come to be, no lease keeps them from being claimed."""
        for face_id in tuple(face_ids):
            self._leased.pop(face_id, None)

    def reopen(self, face_ids: Collection[str]) -> None:
        """Say that these may be missing and not leased."""
        self.start = min(self.start, *face_ids, self.start)
