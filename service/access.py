"""API keys: who may do what, and how often.

A key is `r3an_<id>_<secret>` with a random 256-bit secret. The file keeps a salt and sha256(salt + secret): a slow hash
protects secrets that people choose, and nobody can enumerate 2^256; a fast one keeps look-ups cheap under load.
"""

import hmac
import math
import os
import secrets
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from contract.manifest import Sha256
from contract.spaces import Name
from service.callers import ANYONE
from service.errors import ForbiddenError, QuotaExceededError, UnauthenticatedError

KEY_PREFIX: Final = "r3an"
SECRET_BYTES: Final = 32
KEY_CHARACTERS_MAX: Final = 256
KEYS_MAX: Final = 10_000
KEYS_FILE_BYTES_MAX: Final = 8 * 1024 * 1024
BURST_S: Final = 1.0  # a key that rested may spend this many seconds of its quota at once


class Scope(StrEnum):
    """What a key may do. Scopes do not include each other."""

    TRANSLATE = "translate"
    SEARCH = "search"
    ENROL = "enrol"
    ADMIN = "admin"


class KeysFileError(Exception):
    """A keys file that cannot be used. One line for the operator."""


class KeyRecord(BaseModel):
    """What is kept of a key: nothing that opens anything."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: Name
    salt: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    sha256: Sha256
    scopes: tuple[Annotated[Scope, Field(strict=False)], ...] = Field(min_length=1, strict=False)
    requests_per_second: float | None = Field(None, gt=0, le=100_000)


class KeysFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    keys: tuple[KeyRecord, ...] = Field((), max_length=KEYS_MAX, strict=False)


def create_key(id: str, scopes: Sequence[Scope], requests_per_second: float | None = None) -> tuple[str, KeyRecord]:
    """A new key, to be shown once, and the record to keep."""
    secret, salt = secrets.token_hex(SECRET_BYTES), secrets.token_hex(16)
    record = KeyRecord(
        id=id, salt=salt, sha256=_hash(salt, secret), scopes=tuple(scopes), requests_per_second=requests_per_second
    )
    return f"{KEY_PREFIX}_{id}_{secret}", record


def read_keys(file: Path) -> KeysFile:
    """Read a keys file.

    Raises:
        KeysFileError: missing, too large, malformed, or an id stands twice.
    """
    try:
        if file.stat().st_size > KEYS_FILE_BYTES_MAX:
            raise KeysFileError(f"{file.name}: exceeds {KEYS_FILE_BYTES_MAX} bytes")
        keys = KeysFile.model_validate_json(file.read_bytes())
    except OSError as error:
        raise KeysFileError(f"{file.name}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise KeysFileError(f"{file.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if len({key.id for key in keys.keys}) < len(keys.keys):
        raise KeysFileError(f"{file.name}: an id stands twice")
    return keys


def write_keys(keys: KeysFile, file: Path) -> None:
    """Replace the keys file whole: a new one is readable by its owner only, an old one keeps owner and mode."""
    staged = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    staged.touch(mode=0o600, exist_ok=False)
    try:
        staged.write_text(keys.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if file.exists():
            before = file.stat()
            staged.chmod(stat.S_IMODE(before.st_mode))
            if os.geteuid() == 0:  # root manages the keys of a gateway that is not root, which must read them on
                os.chown(staged, before.st_uid, before.st_gid)
        staged.replace(file)
    finally:
        staged.unlink(missing_ok=True)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class Access:
    """Decides whether a request may pass. Without a keys file (development) every request may."""

    def __init__(self, file: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._records: Mapping[str, KeyRecord] = {}
        self._buckets: dict[str, _Bucket] = {}
        if file is not None:
            self.reload()
            if not self._records:
                raise KeysFileError(f"{file.name}: holds no key")

    def reload(self) -> None:
        """Read the file again, so that new and revoked keys count without a restart; quotas carry over.

        Raises:
            KeysFileError: the keys of before stay valid.
        """
        if self._file is not None:
            self._records = {record.id: record for record in read_keys(self._file).keys}
            # Requests add buckets meanwhile, on another thread: a copy is taken at once, and only what is gone removed.
            for id in list(self._buckets):
                if id not in self._records:
                    self._buckets.pop(id, None)

    def authorize(self, key: str | None, scope: Scope | None) -> str:
        """Pass a request that presents `key`, and say who its caller is; scope None asks for any valid key.

        Raises:
            UnauthenticatedError, ForbiddenError, QuotaExceededError.
        """
        if self._file is None:
            return ANYONE
        record = self._authenticate(key)
        if scope is not None and scope not in record.scopes:
            raise ForbiddenError(f"the API key lacks the scope {scope.value!r}")
        if record.requests_per_second is not None:
            self._spend(record.id, record.requests_per_second)
        return record.id

    def _authenticate(self, key: str | None) -> KeyRecord:
        if key is None:
            raise UnauthenticatedError("no API key: send `Authorization: Bearer` or `X-API-Key`")
        prefix, _, rest = key[:KEY_CHARACTERS_MAX].partition("_")
        id, _, secret = rest.rpartition("_")
        record = self._records.get(id)
        # An unknown id costs the same hash and comparison as a known one, so that time does not tell ids.
        salt, expected = (record.salt, record.sha256) if record else ("0" * 32, "0" * 64)
        matches = hmac.compare_digest(_hash(salt, secret), expected)
        if record is None or not matches or prefix != KEY_PREFIX:
            raise UnauthenticatedError("the API key is not valid")
        return record

    def _spend(self, id: str, requests_per_second: float) -> None:
        now, capacity = self._clock(), max(1.0, requests_per_second * BURST_S)
        bucket = self._buckets.setdefault(id, _Bucket(capacity, now))
        bucket.tokens = min(capacity, bucket.tokens + (now - bucket.filled_at) * requests_per_second)
        bucket.filled_at = now
        if bucket.tokens < 1.0:
            wait_s = math.ceil((1.0 - bucket.tokens) / requests_per_second)
            raise QuotaExceededError("the quota of the API key is used up", retry_after_s=max(1, wait_s))
        bucket.tokens -= 1.0


def _hash(salt: str, secret: str) -> str:
    return sha256(f"{salt}{secret}".encode()).hexdigest()
