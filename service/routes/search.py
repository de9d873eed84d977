"""POST /search."""

from collections.abc import Sequence
from typing import Annotated, Final, Self

import numpy as np
import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.spaces import Name, RecordId
from service.access import Scope
from service.errors import BodyTooLargeError, MalformedBodyError
from service.identification import Identified, Threshold
from service.routes.bodies import JSON, FeatureBody, read_feature_body, to_features
from service.routes.dependencies import (
    DeadlineDependency,
    PartsDependency,
    TimingsDependency,
    admitted,
    requires,
)
from service.routes.documentation import problems, request_body

MATCHES_MAX: Final = 32_768  # in one answer, about 4 MB


class SearchBody(FeatureBody):
    """Probes to find in a gallery. `min_similarity` and `max_fmr` exclude one another."""

    gallery: Name
    top_k: int = Field(5, ge=1, description="Most faces a probe is answered with.")
    min_similarity: float | None = Field(None, ge=-1, le=1, description="Leave out what is less similar.")
    max_fmr: float | None = Field(
        None, gt=0, lt=1, description="Leave out what matches impostors more often than this."
    )

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if self.min_similarity is not None and self.max_fmr is not None:
            raise ValueError("min_similarity and max_fmr exclude one another")
        return self


class FoundFace(BaseModel):
    """A gallery face.

    `fmr` is the rate at which impostors are at least as similar: 1 below the least similarity that was calibrated, the
    last calibrated rate above the greatest, null where nobody measured it.
    """

    model_config = ConfigDict(extra="forbid")

    subject: RecordId
    face_id: RecordId
    similarity: Annotated[float, Field(ge=-1, le=1)]
    fmr: float | None


class SearchResult(BaseModel):
    """The faces found for one probe, most similar first; `confidence` is null where the translator models none."""

    model_config = ConfigDict(extra="forbid")

    matches: list[FoundFace]
    confidence: float | None


class SearchAnswer(BaseModel):
    """One result a probe, in their order."""

    model_config = ConfigDict(extra="forbid")

    results: list[SearchResult]


router = APIRouter(tags=["search"])


@router.post(
    "/search",
    summary="Find probes of one feature space in a gallery of another",
    dependencies=[Depends(requires(Scope.SEARCH)), admitted],
    openapi_extra=request_body(SearchBody, "gallery", "top_k", "min_similarity", "max_fmr"),
    responses={200: {"model": SearchAnswer}, **problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 502, 503, 504)},
)
async def search(
    request: Request, parts: PartsDependency, deadline: DeadlineDependency, timings: TimingsDependency
) -> Response:
    """Probes in the gallery's own space are searched as they are, all others translated first.

    The scan is exact: a face is never missed for the index's sake. The answer is JSON, whatever the body was.
    """
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
    identified = await parts.identification.search(
        body.source_model, gallery, features, body.top_k, Threshold(body.min_similarity, body.max_fmr), deadline
    )
    timings.inference_s, timings.gallery_s = identified.inference_s, identified.gallery_s
    return Response(orjson.dumps({"results": _results(identified)}), media_type=JSON)


def _results(identified: Identified) -> list[dict[str, object]]:
    probes = len(identified.matches)
    fmrs = iter(_fmrs(identified))
    scores = [None] * probes if identified.confidence is None else identified.confidence.tolist()
    return [
        {
            "matches": [
                {"subject": m.subject, "face_id": m.face_id, "similarity": m.similarity, "fmr": next(fmrs)}
                for m in matches
            ],
            "confidence": score,
        }
        for matches, score in zip(identified.matches, scores, strict=True)
    ]


def _fmrs(identified: Identified) -> Sequence[float | None]:
    """The false-match rate of every match, probe after probe."""
    similarities = [match.similarity for matches in identified.matches for match in matches]
    if identified.calibration is None:
        return [None] * len(similarities)
    rates: list[float | None] = identified.calibration.fmrs_at(np.array(similarities)).tolist()
    return rates
