"""POST /search."""

from typing import Annotated, Final, Literal, Self

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.spaces import Name, RecordId
from service.access import Scope
from service.errors import BodyTooLargeError, MalformedBodyError
from service.galleries.values import Ranking, Where
from service.identification import Identified, Query
from service.routes.admission import admission
from service.routes.bodies import JSON, FeatureBody, read_feature_body, to_features
from service.routes.dependencies import KEYED
from service.routes.documentation import problems, request_body
from service.routes.gallery_parts import Instant, Tags
from service.routes.parts import deadline_of, parts_of, timings_of
from service.thresholds import Threshold, fpirs_of

MATCHES_MAX: Final = 32_768  # in one answer, about 4 MB


class SearchBody(FeatureBody):
    """Probes to find in a gallery. `min_similarity`, `max_fmr` and `max_fpir` exclude one another."""

    gallery: Name
    top_k: int = Field(5, ge=1, description="Most faces, or subjects, a probe is answered with.")
    ranking: Literal["faces", "subjects-by-best", "subjects-by-mean"] = Field(
        "faces", description="Faces; or subjects by their best face, or by the mean over their faces."
    )
    min_similarity: float | None = Field(None, ge=-1, le=1, description="Leave out what is less similar.")
    max_fmr: float | None = Field(
        None, gt=0, lt=1, description="Leave out what matches impostors more often than this."
    )
    max_fpir: float | None = Field(
        None, gt=0, lt=1, description="As max_fmr, for the chance that anyone in the gallery matches an impostor."
    )
    tags: Tags = Field((), description="Search faces with all of these tags.")
    enrolled_from: Instant = Field(None, description="Search faces enrolled at this instant or later.")
    enrolled_until: Instant = Field(None, description="Search faces enrolled before this instant.")

    exact: bool = Field(False, description="Compare with every face although the gallery has an approximation.")

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if sum(value is not None for value in (self.min_similarity, self.max_fmr, self.max_fpir)) > 1:
            raise ValueError("min_similarity, max_fmr and max_fpir exclude one another")
        return self

    @property
    def query(self) -> Query:
        """What is asked of the gallery."""
        return Query(
            self.top_k,
            Threshold(self.min_similarity, self.max_fmr, self.max_fpir),
            Ranking(self.ranking),
            Where(self.tags, self.enrolled_from, self.enrolled_until),
            self.exact,
        )


class FoundFace(BaseModel):
    """A gallery face, or a subject with its most similar face; the rates are null where nobody measured them.

    `fmr` is the rate at which impostors are at least as similar, the greatest of those among the native faces and each
    translator's faces that the gallery holds: 1 below the least similarity that was calibrated, the last calibrated
    rate above the greatest. `fpir` is the chance that among as many faces as were searched any is:
    1 - (1 - fmr)^searched.
    """

    model_config = ConfigDict(extra="forbid")

    subject: RecordId
    face_id: RecordId
    similarity: Annotated[float, Field(ge=-1, le=1)]
    fmr: float | None
    fpir: float | None


class SearchResult(BaseModel):
    """What was found for one probe, most similar first; `confidence` is null where the translator models none."""

    model_config = ConfigDict(extra="forbid")

    matches: list[FoundFace]
    confidence: float | None


class SearchAnswer(BaseModel):
    """One result a probe, in their order; `searched` is the number of faces among which each was sought.

    `exact`: every probe was compared with every one of them. False where the gallery's approximation answered.
    """

    model_config = ConfigDict(extra="forbid")

    searched: int
    exact: bool
    results: list[SearchResult]


router = APIRouter(tags=["search"])


@router.post(
    "/search",
    summary="Find probes of one feature space in a gallery of another",
    openapi_extra=KEYED
    | request_body(
        SearchBody,
        "gallery",
        "top_k",
        "ranking",
        "min_similarity",
        "max_fmr",
        "max_fpir",
        "tags",
        "enrolled_from",
        "enrolled_until",
        "exact",
    ),
    responses={200: {"model": SearchAnswer}, **problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 502, 503, 504)},
)
async def search(request: Request) -> Response:
    """Probes in the gallery's own space are searched as they are, all others translated first.

    The scan is exact, so that no face is missed for the index's sake, unless an administrator gave the gallery an
    approximation; the answer says which it was. It is JSON, whatever the body was.
    """
    async with admission(request, Scope.SEARCH):
        return await _search(request)


async def _search(request: Request) -> Response:
    parts, deadline, timings = parts_of(request), deadline_of(request), timings_of(request)
    settings = parts.settings
    body = await read_feature_body(request, SearchBody, settings.body_bytes_max, deadline)
    if body.top_k > settings.top_k_max:
        raise MalformedBodyError(f"top_k: at most {settings.top_k_max}")
    gallery = await parts.galleries.info(body.gallery)
    space = parts.identification.source_space(body.source_model, gallery)
    features = to_features(body.features, body.encoding_format, space.dim, settings.rows_max)
    if len(features) * body.top_k > MATCHES_MAX:
        raise BodyTooLargeError(f"features times top_k may be {MATCHES_MAX}")
    parts.metrics.request_rows.labels("/search").observe(len(features))
    timings.leave_queue()
    identified = await parts.identification.search(body.source_model, gallery, features, body.query, deadline)
    timings.inference_s, timings.gallery_s = identified.inference_s, identified.gallery_s
    answer = {"searched": identified.searched, "exact": identified.exact, "results": _results(identified)}
    return Response(orjson.dumps(answer), media_type=JSON)


def _results(identified: Identified) -> list[dict[str, object]]:
    probes = len(identified.matches)
    rates = iter(_rates(identified))
    scores = [None] * probes if identified.confidence is None else identified.confidence.tolist()
    return [
        {
            "matches": [
                {"subject": m.subject, "face_id": m.face_id, "similarity": m.similarity, **next(rates)} for m in matches
            ],
            "confidence": score,
        }
        for matches, score in zip(identified.matches, scores, strict=True)
    ]


def _rates(identified: Identified) -> list[dict[str, float | None]]:
    """The false-match and false-positive identification rate of every match, probe after probe."""
    similarities = [match.similarity for matches in identified.matches for match in matches]
    if identified.calibration is None:
        return [{"fmr": None, "fpir": None}] * len(similarities)
    fmrs = identified.calibration.fmrs_at(np.array(similarities))
    fpirs = fpirs_of(fmrs, identified.searched)
    return [{"fmr": fmr, "fpir": fpir} for fmr, fpir in zip(fmrs.tolist(), fpirs.tolist(), strict=True)]
