"""The pure function that translates a batch of a gallery."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.errors import VectorError
from contract.manifest import MANIFEST_FILE, MODEL_FILE, read_manifest
from service.bulk.errors import TranslatorError
from service.bulk.parquet import feature_array, features_of
from service.bulk.translation import translate_part, translated_schema
from service.bulk.translator import Translator, find_version, opened
from tests.integration.stack import eager
from tests.parquet import face_table, features_of_rows, replaced
from tests.repository import SOURCE, TARGET, write_translator


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("repository")
    write_translator(repository)
    return repository


@pytest.fixture(scope="module")
def translator(repository: Path) -> Iterator[Translator]:
    with opened(find_version(repository, SOURCE.id, TARGET.id)[0]) as translator:
        yield translator


def test_features_are_translated_and_the_rest_is_carried_over(translator: Translator) -> None:
    table = face_table(1100)
    translated = translate_part(table, translator)
    assert translated.schema == translated_schema(table.schema, translator.manifest)
    np.testing.assert_allclose(
        features_of(translated.column("feature").combine_chunks()), eager(features_of_rows(1100)), atol=1e-6
    )
    assert translated.select(
        ["face_id", "subject", "tags", "enrolled_at", "metadata", "subject_metadata"]
    ) == table.drop(["feature"])
    assert set(translated.column("derived_from").to_pylist()) == {SOURCE.id}
    assert set(translated.column("translator").to_pylist()) == {f"{SOURCE.id}--{TARGET.id}@1"}
    assert translated.column("confidence").null_count == 1100


def test_the_columns_may_be_named(translator: Translator) -> None:
    table = face_table(3).rename_columns([*face_table(3).schema.names[:-1], SOURCE.id])
    translated = translate_part(table, translator, SOURCE.id, TARGET.id)
    assert translated.schema.names[6] == TARGET.id


def test_no_rows_are_translated_to_none(translator: Translator) -> None:
    assert translate_part(face_table(0), translator).num_rows == 0


def test_a_bad_row_is_named(translator: Translator) -> None:
    features = features_of_rows(4)
    features[2, 1] = np.nan
    with pytest.raises(VectorError) as refused:
        translate_part(replaced(face_table(4), "feature", feature_array(features)), translator)
    assert refused.value.row == 2


def test_the_newest_version_is_taken(tmp_path: Path) -> None:
    write_translator(tmp_path)
    newest = write_translator(tmp_path, seed=2)
    write_translator(tmp_path, TARGET, SOURCE)
    assert find_version(tmp_path, SOURCE.id, TARGET.id) == (newest, read_manifest(newest))


def test_an_unknown_route_is_refused(repository: Path) -> None:
    with pytest.raises(TranslatorError, match=f"no translator from {TARGET.id} to {SOURCE.id}"):
        find_version(repository, TARGET.id, SOURCE.id)
    with pytest.raises(TranslatorError, match="No such file"):
        find_version(repository / "missing", TARGET.id, SOURCE.id)


def test_two_translators_of_one_route_are_refused(tmp_path: Path) -> None:
    folder = write_translator(tmp_path)
    twin = tmp_path / "twin" / "1"
    twin.mkdir(parents=True)
    (twin / MODEL_FILE).write_bytes((folder / MODEL_FILE).read_bytes())
    manifest = (folder / MANIFEST_FILE).read_text().replace(f'"id": "{SOURCE.id}--{TARGET.id}"', '"id": "twin"')
    (twin / MANIFEST_FILE).write_text(manifest)
    with pytest.raises(TranslatorError, match="join the same feature spaces"):
        find_version(tmp_path, SOURCE.id, TARGET.id)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    folder = write_translator(tmp_path)
    (folder / MODEL_FILE).write_bytes((folder / MODEL_FILE).read_bytes() + b"\0")
    with pytest.raises(TranslatorError, match=r"model.pt does not have the manifest's sha256"):
        find_version(tmp_path, SOURCE.id, TARGET.id)
    with pytest.raises(TranslatorError, match="sha256"):
        Translator(folder)


def test_a_manifest_that_cannot_be_read_is_hinted_at(tmp_path: Path) -> None:
    folder = write_translator(tmp_path)
    (folder / MANIFEST_FILE).write_text("{")
    with pytest.raises(TranslatorError, match="1 have no readable manifest, such as source-24--target-16"):
        find_version(tmp_path, SOURCE.id, TARGET.id)
