"""POST /translate."""

from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from contract.manifest import Sha256
from contract.spaces import Name
from contract.vectors import encode_float32, pack_float32
from service.access import Scope
from service.routes.admission import admission
from service.routes.bodies import (
    JSON,
    OCTET_STREAM,
    EncodingFormat,
    FeatureBody,
    read_feature_body,
    to_features,
)
from service.routes.dependencies import KEYED
from service.routes.documentation import problems, request_body
from service.routes.parts import deadline_of, parts_of, timings_of
from service.translation import Translated

# Longer headers are cut or refused by common proxies: 512 scores are about 3 KB.
CONFIDENCE_HEADER_ROWS_MAX: Final = 512


class TranslateBody(FeatureBody):
    """Features to translate. Without `target_model`: along the only route that leaves `source_model`."""

    target_model: Name | None = None


class TranslatorVersion(BaseModel):
    """What translated."""

    model_config = ConfigDict(extra="forbid")

    id: Name
    version: int
    sha256: Sha256


class TranslateAnswer(BaseModel):
    """Unit-length features in the order asked; `confidence` is null where the translator models none."""

    model_config = ConfigDict(extra="forbid")

    target_model: Name
    translator: TranslatorVersion
    features: list[list[float]] | list[str]
    confidence: list[float] | None


router = APIRouter(tags=["translate"])


@router.post(
    "/translate",
    summary="Translate features from one feature space into another",
    openapi_extra=KEYED | request_body(TranslateBody, "target_model"),
    responses={
        200: {"model": TranslateAnswer, "content": {OCTET_STREAM: {"schema": {"type": "string", "format": "binary"}}}},
        **problems(400, 401, 403, 404, 413, 415, 422, 429, 502, 503, 504),
    },
)
async def translate(request: Request) -> Response:
    """Features as float lists or base64 in JSON; or as float32-LE with `application/octet-stream`.

    The binary answer names the translator in `X-R3AN-*` headers; up to 512 rows their confidence too.
    """
    async with admission(request, Scope.TRANSLATE):
        return await _translate(request)


async def _translate(request: Request) -> Response:
    parts, deadline, timings = parts_of(request), deadline_of(request), timings_of(request)
    settings = parts.settings
    body = await read_feature_body(request, TranslateBody, settings.body_bytes_max, deadline)
    space = parts.catalog.current.space(body.source_model)
    features = to_features(body.features, body.encoding_format, space.dim, settings.rows_max)
    parts.metrics.request_rows.labels("/translate").observe(len(features))
    timings.leave_queue()
    translated = await parts.translation.translate(body.source_model, body.target_model, features, deadline)
    timings.inference_s = translated.inference_s
    if isinstance(body.features, bytes):
        return _binary_answer(translated)
    return _json_answer(translated, body.encoding_format)


def _json_answer(translated: Translated, encoding_format: EncodingFormat) -> Response:
    manifest, features = translated.manifest, translated.features
    encoded = features if encoding_format == "float" else [encode_float32(row) for row in features]
    answer: dict[str, Any] = {
        "target_model": manifest.target.id,
        "translator": {"id": manifest.id, "version": manifest.version, "sha256": manifest.sha256},
        "features": encoded,
        "confidence": translated.confidence,
    }
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type=JSON)


def _binary_answer(translated: Translated) -> Response:
    manifest = translated.manifest
    headers = {
        "X-R3AN-Target-Model": manifest.target.id,
        "X-R3AN-Translator": manifest.id,
        "X-R3AN-Translator-Version": str(manifest.version),
        "X-R3AN-Translator-SHA256": manifest.sha256,
    }
    if translated.confidence is not None and len(translated.confidence) <= CONFIDENCE_HEADER_ROWS_MAX:
        headers["X-R3AN-Confidence"] = ",".join(f"{score:.4f}" for score in translated.confidence)
    return Response(pack_float32(translated.features), headers=headers, media_type=OCTET_STREAM)
