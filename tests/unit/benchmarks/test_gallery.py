"""The measurement of a gallery runs whole at its smallest size, and its claims are about the greatest."""

from pathlib import Path

import pytest

from benchmarks import gallery as module
from benchmarks import gallery_import
from benchmarks.gallery import Measured, gallery_result
from benchmarks.gallery_plot import draw_growth
from benchmarks.results import Figure, Picture, Result, picture_of, render
from service.settings import StoreKind
from training.progress import view_progress

PNG = b"\x89PNG"


@pytest.mark.parametrize(("store", "sizes"), [(StoreKind.LOCAL, [1000, 2000]), (StoreKind.REDIS, [1000])])
def test_each_store_is_measured_at_every_size(
    store: StoreKind, sizes: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "ROUNDS", 2)
    monkeypatch.setattr(gallery_import, "ROUNDS", 1)
    monkeypatch.setattr(module, "RECALL_PROBES", 64)
    with view_progress(as_json=True) as view:
        result, measured = gallery_result("command", sizes, 16, [store], view)
    assert [one.faces for one in measured] == sizes
    assert all(0 < one.search_ms.value <= one.search_p99_ms.high for one in measured)
    assert all(one.recall > 0.98 for one in measured), "half precision may turn near-equals round"
    assert all(claim.what.startswith(f"{store}, {max(sizes):,} faces") for claim in result.claims)
    for what in ("import", "written to the store"):
        figure = result.figures[f"{store}, {max(sizes):,} faces: {what}, faces/s"]
        (claimed,) = [claim for claim in result.claims if claim.what.endswith(f": {what}, faces/s")]
        assert isinstance(figure, Figure)
        assert claimed.value > 0
        assert claimed.value == pytest.approx(figure.value)
    draw_growth(measured, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("size", [0, 1500, 20_000_000])
def test_a_size_that_is_no_whole_number_of_batches_or_out_of_bounds_is_refused(size: int) -> None:
    with view_progress(as_json=True) as view, pytest.raises(ValueError, match="multiples of 1000"):
        gallery_result("command", [size], 16, [StoreKind.LOCAL], view)


def test_the_worse_of_two_memories_is_claimed() -> None:
    claims = module._claims(_measured(face_bytes=1100, restarted_face_bytes=1300))
    (memory,) = [claim for claim in claims if "memory" in claim.what]
    assert memory.value == 1300
    assert not memory.holds


def test_a_picture_of_growth_is_shown_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("benchmarks.results.RESULTS", tmp_path)
    facts = {"command": "command", "date": "2026-01-01", "machine": "machine", "seconds": 1.0}
    result = Result(name="gallery", figures={"faces": 1.0}, claims=[], **facts)
    (tmp_path / "gallery.json").write_text(result.model_dump_json(), encoding="utf-8")
    assert "![Growth]" not in render()
    picture_of("gallery", Picture.GROWTH).write_bytes(PNG)
    assert f"![Growth]({tmp_path.name}/gallery-growth.png)" in render()


def _measured(face_bytes: float, restarted_face_bytes: float) -> Measured:
    one = Figure(value=1, low=1, high=1)
    return Measured(
        store=StoreKind.LOCAL,
        faces=1000,
        written_per_s=one,
        face_bytes=face_bytes,
        restarted_face_bytes=restarted_face_bytes,
        search_ms=one,
        search_p99_ms=one,
        stream_ms=one,
        over_stream=one,
        batch_over_single=one,
        recall=1.0,
        restart_s=1.0,
    )
