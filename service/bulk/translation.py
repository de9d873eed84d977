"""One batch of a gallery from one feature space to another: a pure function, for any program that maps tables."""

from typing import Any, Protocol

import pyarrow as pa

from contract.manifest import TranslatorManifest
from contract.vectors import Features
from service.bulk.columns import feature_array, features_of
from service.bulk.names import CONFIDENCE, DERIVED_FROM, FEATURE, TRANSLATOR
from service.galleries.values import Confidence

ADDED = (DERIVED_FROM, TRANSLATOR, CONFIDENCE)


class Translates(Protocol):
    """A translator that is loaded."""

    @property
    def manifest(self) -> TranslatorManifest:
        """Its facts."""
        ...

    @property
    def name(self) -> str:
        """Its id@version."""
        ...

    def translate(self, features: Features) -> tuple[Features, Confidence | None]:
        """Raw, checked features [N, ds] to unit-length [N, dt] and confidence [N] or None."""
        ...


def translate_part(table: pa.Table, translator: Translates, feature: str = FEATURE, into: str = FEATURE) -> pa.Table:
    """Column `feature` translated into column `into`, in its place; where each row comes from; the rest as it was.

    Raises:
        VectorError: a row is no usable feature.
        TranslatorError: the translator failed.
    """
    translated, confidence = translator.translate(features_of(table.column(feature).combine_chunks()))
    rows = table.num_rows
    added: list[Any] = [
        pa.array([translator.manifest.source.id] * rows, pa.string()),
        pa.array([translator.name] * rows, pa.string()),
        pa.nulls(rows, pa.float32()) if confidence is None else pa.array(confidence, pa.float32()),
    ]
    target = feature_array(translated)
    carried: list[Any] = [target if name == feature else table.column(name) for name in table.schema.names]
    schema = translated_schema(table.schema, translator.manifest, feature, into)
    return pa.Table.from_arrays([*carried, *added], schema=schema)


def translated_schema(
    schema: pa.Schema, manifest: TranslatorManifest, feature: str = FEATURE, into: str = FEATURE
) -> pa.Schema:
    """The columns of what `translate_part` makes of a table of `schema`."""
    target = pa.field(into, pa.list_(pa.float32(), manifest.target.dim))
    fields = [target if field.name == feature else field for field in schema]
    kinds = (pa.string(), pa.string(), pa.float32())
    return pa.schema([*fields, *map(pa.field, ADDED, kinds)])
