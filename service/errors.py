"""The one error tree. problems.py maps it to HTTP; nothing else does.

GatewayError
 ├─ BadRequestError            the request itself
 │   ├─ MalformedBodyError         not JSON, not base64, not a whole number of float32, a field missing
 │   ├─ BodyTooLargeError          bytes or rows beyond the bound
 │   ├─ UnsupportedMediaTypeError  neither JSON nor octet-stream
 │   ├─ InvalidFeatureError        a row: wrong dimension, NaN, infinity, zero vector
 │   └─ UncalibratedError          a rate asked of probes and faces without calibration, or a stricter one
 ├─ AccessError
 │   ├─ UnauthenticatedError       no key, or an unknown one
 │   ├─ ForbiddenError             the key lacks the scope
 │   └─ QuotaExceededError         the key's quota is used up
 ├─ NotFoundError
 │   ├─ UnknownModelError, NoRouteError
 │   ├─ UnknownGalleryError, UnknownFaceError, UnknownSubjectError
 │   └─ UnknownMigrationError
 ├─ ConflictError
 │   ├─ GallerySpaceMismatchError  vectors of two spaces are never compared
 │   ├─ GalleryLimitError          a bound on galleries, faces or notes is reached
 │   ├─ DuplicateFaceError         the face is enrolled under another subject
 │   ├─ CopiesChangedError         a gallery's copies are not those the caller knew
 │   ├─ CopyExistsError, CopyServesError, CopyIncompleteError
 │   ├─ RankingLimitError          ranking subjects takes more faces than are looked at
 │   ├─ GalleryTooSmallError       too few faces for an approximate search
 │   └─ MigrationStateError        the migration is not at the point this asks for
 ├─ EngineError
 │   ├─ EngineOverloadedError, EngineTimeoutError, EngineUnavailableError
 │   └─ EngineFailedError          the engine answered with an error or with something that is no feature
 ├─ OverloadedError            the gateway's own bound on work in flight
 ├─ DeadlineExceededError      the request's deadline passed
 ├─ GalleryUnavailableError    the store cannot be reached
 └─ StillBuildingError         an approximate search is not built yet

CatalogError (start-up and reload only, never an answer to a client)
LifespanError (what stops start-up or the end, for whoever starts the gateway)
"""

from typing import Final, Self

from contract.errors import VectorError

RETRY_AFTER_S: Final = 1  # where nothing better is known of when to come again


class GatewayError(Exception):
    """Root of what a client may be told. The message reaches the client: never a vector, face, subject or secret."""

    def __init__(self, detail: str, *, row: int | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.row = row
        self.retry_after_s = retry_after_s


class BadRequestError(GatewayError):
    """The request cannot be carried out as written."""


class MalformedBodyError(BadRequestError):
    """The body is not what its content type says, or a field is missing or of the wrong type."""


class BodyTooLargeError(BadRequestError):
    """More bytes or rows than the bound."""


class UnsupportedMediaTypeError(BadRequestError):
    """Neither application/json nor application/octet-stream."""


class InvalidFeatureError(BadRequestError):
    """A row is no usable feature; `code` is the contract's VectorError code."""

    def __init__(self, detail: str, *, code: str, row: int | None) -> None:
        super().__init__(detail, row=row)
        self.code = code

    @classmethod
    def of(cls, error: VectorError) -> Self:
        """The contract's verdict on a row as an answer to the client."""
        return cls(str(error), code=error.code, row=error.row)


class UncalibratedError(BadRequestError):
    """max_fmr cannot be honoured on this route."""


class AccessError(GatewayError):
    """The caller may not do this."""


class UnauthenticatedError(AccessError):
    """No API key, or one nobody issued."""


class ForbiddenError(AccessError):
    """The API key lacks the scope."""


class QuotaExceededError(AccessError):
    """The API key's quota is used up for now."""


class NotFoundError(GatewayError):
    """A name that is not registered."""


class UnknownModelError(NotFoundError):
    """No feature space of this name."""


class NoRouteError(NotFoundError):
    """Both spaces are known, no translator joins them."""


class UnknownGalleryError(NotFoundError):
    """No gallery of this name."""


class UnknownFaceError(NotFoundError):
    """No such face in the gallery."""


class UnknownSubjectError(NotFoundError):
    """No such subject in the gallery."""


class UnknownMigrationError(NotFoundError):
    """No migration of this id."""


class ConflictError(GatewayError):
    """At odds with what is already there."""


class GallerySpaceMismatchError(ConflictError):
    """Vectors of different spaces are never mixed."""


class GalleryLimitError(ConflictError):
    """A bound on the number of galleries, faces or notes is reached."""


class DuplicateFaceError(ConflictError):
    """A face to enrol looks like one of another subject."""


class CopiesChangedError(ConflictError):
    """A gallery's copies are not those the caller knew: a migration began or ended meanwhile."""


class CopyExistsError(ConflictError):
    """The gallery has a second copy already, or one in this space."""


class CopyServesError(ConflictError):
    """The copy that serves searches cannot be dropped."""


class CopyIncompleteError(ConflictError):
    """A copy in which a face is missing cannot serve."""


class RankingLimitError(ConflictError):
    """Ranking subjects takes more faces than the store looks at for one probe."""


class GalleryTooSmallError(ConflictError):
    """The gallery holds too few faces for an approximate search."""


class MigrationStateError(ConflictError):
    """The migration is not at the point where this can be done."""


class EngineError(GatewayError):
    """The engine did not translate."""


class EngineOverloadedError(EngineError):
    """It has too much to do."""


class EngineTimeoutError(EngineError):
    """It did not answer before the deadline."""


class EngineUnavailableError(EngineError):
    """It cannot be reached, or this version is not loaded."""


class EngineFailedError(EngineError):
    """It answered with an error, or with something that is no feature."""


class OverloadedError(GatewayError):
    """The gateway's own bound on requests or rows in flight is reached."""


class DeadlineExceededError(GatewayError):
    """The request's deadline passed."""


class GalleryUnavailableError(GatewayError):
    """The gallery store cannot be reached."""


class StillBuildingError(GatewayError):
    """What was asked for is being built, and goes on being built."""


class CatalogError(Exception):
    """A repository that cannot be served at all."""


class LifespanError(Exception):
    """The gateway could not start or end. Servers print the traceback: the text is ours alone, without a cause."""
