"""The index of what is served, and what the repository is seen to hold."""

from pathlib import Path

import pytest

from contract.manifest import MANIFEST_FILE, MODEL_FILE, ONNX_FILE
from contract.spaces import FeatureSpace
from service.catalog import Catalog, ManifestReader, reason_of, scan
from service.errors import CatalogError, EngineFailedError, MalformedBodyError, NoRouteError, UnknownModelError
from tests.manifests import make_manifest
from tests.repository import SOURCE, TARGET, write_translator

A, B, C = (FeatureSpace(id=name, dim=dim) for name, dim in (("a", 2), ("b", 3), ("c", 4)))
CATALOG = Catalog.of([make_manifest(A, B), make_manifest(A, C), make_manifest(B, C)])


def test_a_route_is_found_by_its_two_spaces() -> None:
    assert CATALOG.route("a", "c").id == "a--c"


def test_the_only_route_of_a_source_needs_no_target() -> None:
    assert CATALOG.route("b", None).id == "b--c"


def test_several_routes_need_a_target_and_are_named() -> None:
    with pytest.raises(MalformedBodyError, match="'a' has routes to b, c"):
        CATALOG.route("a", None)


@pytest.mark.parametrize(("source", "target"), [("x", None), ("x", "a"), ("a", "x")])
def test_an_unknown_space_is_told_from_a_missing_route(source: str, target: str | None) -> None:
    with pytest.raises(UnknownModelError, match="'x'"):
        CATALOG.route(source, target)


@pytest.mark.parametrize(("source", "target"), [("c", None), ("c", "a")])
def test_known_spaces_that_nothing_joins_have_no_route(source: str, target: str | None) -> None:
    with pytest.raises(NoRouteError):
        CATALOG.route(source, target)


def test_equal_source_and_target_leave_nothing_to_translate() -> None:
    with pytest.raises(MalformedBodyError, match="nothing to translate"):
        CATALOG.route("a", "a")


def test_two_translators_of_one_route_contradict_each_other() -> None:
    with pytest.raises(CatalogError, match="a--b and other join"):
        Catalog.of([make_manifest(A, B), make_manifest(A, B, id="other")])


def test_two_dimensions_of_one_space_contradict_each_other() -> None:
    with pytest.raises(CatalogError, match="b has 3 and 5 dimensions"):
        Catalog.of([make_manifest(A, B), make_manifest(FeatureSpace(id="b", dim=5), C, id="x")])


def test_versions_are_found_newest_first_and_nothing_else_is(tmp_path: Path) -> None:
    others = ("t/.export-x", "t/01", "t/x", "t/0", f"t/{2**31}", ".hidden/1", "lost+found/1", "empty")
    for name in ("t/9", "t/10", *others):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "t" / "config.pbtxt").touch()
    assert {name: [c.version for c in versions] for name, versions in scan(tmp_path).items()} == {"t": [10, 9]}


def test_a_repository_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="No such file"):
        scan(tmp_path / "missing")


def test_more_translators_than_the_bound_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.catalog.TRANSLATORS_MAX", 1)
    for name in ("a/1", "b/1"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(CatalogError, match="more than 1 translators"):
        scan(tmp_path)


@pytest.mark.parametrize("file", [MANIFEST_FILE, MODEL_FILE, ONNX_FILE])
def test_a_changed_file_is_seen_without_being_read(tmp_path: Path, file: str) -> None:
    version_dir = write_translator(tmp_path)
    before = scan(tmp_path)
    assert scan(tmp_path) == before
    (version_dir / file).write_bytes(b"")
    assert scan(tmp_path) != before


def test_an_unchanged_version_is_hashed_once(tmp_path: Path) -> None:
    write_translator(tmp_path)
    (candidates,) = scan(tmp_path).values()
    reader = ManifestReader()
    first = reader.read(candidates[0])
    assert (first.source, first.target) == (SOURCE, TARGET)
    assert reader.read(candidates[0]) is first
    reader.forget_all_but([])
    assert reader.read(candidates[0]) is not first


def test_the_reason_of_a_refusal_is_bounded() -> None:
    assert reason_of(EngineFailedError("broken")) == "EngineFailedError: broken"
    assert len(reason_of(EngineFailedError("x" * 1000))) == 500
