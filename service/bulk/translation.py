"""One batch of a gallery from one feature space to another: a pure function, for any program that maps tables."""

from typing import Any, Protocol

import pyarrow as pa

from contract.manifest import TranslatorManifest
from contract.vectors import Features
from service.bulk.column_names import CONFIDENCE, DERIVED_FROM, FEATURE, TRANSLATOR
from service.bulk.parquet import feature_array, features_of
from service.galleries.values import Confidence

ADDED = (DERIVED_FROM, TRANSLATOR, CONFIDENCE)
ADDED_KINDS = (pa.string(), pa.string(), pa.float32())


class Translates(Protocol):
    """A translator that is loaded."""

    @property
    def manifest(self) -> TranslatorManifest:
        """Its facts."""
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
    names = [translator.manifest.source.id, translator.manifest.name]
    added: list[Any] = [pa.array([name] * table.num_rows, pa.string()) for name in names]
    added.append(pa.nulls(table.num_rows, pa.float32()) if confidence is None else pa.array(confidence, pa.float32()))
    return _with_features(table, translated, added, translator.manifest, feature, into)


def native_part(table: pa.Table, manifest: TranslatorManifest, feature: str = FEATURE, into: str = FEATURE) -> pa.Table:
    """Rows that are in the target's space already, in the columns of `translate_part`. Raises VectorError."""
    features = features_of(table.column(feature).combine_chunks())
    added: list[Any] = [pa.nulls(table.num_rows, kind) for kind in ADDED_KINDS]
    return _with_features(table, features, added, manifest, feature, into)


def translated_schema(
    schema: pa.Schema, manifest: TranslatorManifest, feature: str = FEATURE, into: str = FEATURE
) -> pa.Schema:
    """The columns of what `translate_part` and `native_part` make of a table of `schema`."""
    target = pa.field(into, pa.list_(pa.float32(), manifest.target.dim))
    fields = [target if field.name == feature else field for field in schema]
    return pa.schema([*fields, *map(pa.field, ADDED, ADDED_KINDS)])


def _with_features(
    table: pa.Table, features: Features, added: list[Any], manifest: TranslatorManifest, feature: str, into: str
) -> pa.Table:
    target = feature_array(features)
    carried: list[Any] = [target if name == feature else table.column(name) for name in table.schema.names]
    return pa.Table.from_arrays([*carried, *added], schema=translated_schema(table.schema, manifest, feature, into))
