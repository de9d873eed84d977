"""The page: everything absent is said, everything present is shown, and nothing is loaded from elsewhere."""

import json
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.report.samples import FINGERPRINT, judgement, make_evidence, make_run, rate
from training.report.material import Evidence, Material, Paintings
from training.report.run import NATIVES, Difference, read_run
from training.report.write import FIGURES, make_sections, write_page, write_report

ABSENT_WITHOUT_EVIDENCE = {
    "differences",
    "gallery",
    "det",
    "scores",
    "plane",
    "paintings",
    "calibration",
    "abstention",
    "learning",
    "crossvalidation",
    "losses",
}
LATER_PARTS = {
    "rank_1_difference": {"residual": {"affine": Difference(value=0.1, low=0.05, high=0.15).model_dump()}},
    "gallery_direction": {"affine": judgement(0.7), "residual": judgement(0.8)},
    "abstention": {"affine": {"kept": [1, 0.5], "rank_1": [0.8, 0.9], "low": [0.7, 0.8], "high": [0.9, 1]}},
    "auroc": {"wrong-space": rate(0.9), "gaussian-noise": 0.8},
}


PICTURE = re.compile(r'Picture\(\s*"(\w+)"')


class Page(HTMLParser):
    """Elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def evidence_with_paintings() -> Evidence:
    evidence = make_evidence()
    faces = np.random.default_rng(0).integers(0, 256, (4, 56, 56, 3), dtype=np.uint8)
    return Evidence(evidence.stage, evidence.translated, Paintings([0, 0, 1, 1], faces, {"affine": faces}))


def test_what_is_absent_is_said_with_the_command_that_makes_it(tmp_path: Path) -> None:
    sections = make_sections(Material(make_run(tmp_path), None))
    absent = {section.id for section in sections if section.absent}
    assert absent == ABSENT_WITHOUT_EVIDENCE
    assert all(section.command.startswith("r3an ") for section in sections if section.absent)
    assert not any(section.pictures or section.tables for section in sections if section.absent)


def test_with_evidence_and_later_parts_only_what_was_not_given_is_absent(tmp_path: Path) -> None:
    sections = make_sections(Material(make_run(tmp_path, **LATER_PARTS), evidence_with_paintings()))
    assert {s.id for s in sections if s.absent} == {"calibration", "learning", "crossvalidation", "losses"}
    names = [picture.name for section in sections for picture in section.pictures]
    assert names == ["overview", "cmc", "det", "scores", "plane", "paintings", "abstention"]


def test_faces_come_with_a_warning(tmp_path: Path) -> None:
    sections = make_sections(Material(make_run(tmp_path), evidence_with_paintings()))
    notes = " ".join(note for section in sections if section.id == "paintings" for note in section.notes)
    assert "biometric data" in notes
    assert "template-inversion attack" in notes


def test_the_page_stands_alone_and_can_be_read_without_seeing_it(tmp_path: Path) -> None:
    files = write_report(make_run(tmp_path, **LATER_PARTS), evidence_with_paintings(), tmp_path)
    html = files[0].read_text()
    page = Page(html)
    assert not page.all("script")
    assert not page.all("link")
    assert "url(" not in html
    images = page.all("img")
    assert len(images) == len(files) - 1 == 7
    assert all((image["src"] or "").startswith("data:image/png;base64,") for image in images)
    assert all(len(image["alt"] or "") > 20 for image in images)
    headings = page.all("th")
    assert headings
    assert {heading["scope"] for heading in headings} == {"col", "row"}
    links = {(link["href"] or "")[1:] for link in page.all("a")}
    assert links == {section["id"] for section in page.all("section")}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files[1:])
    assert not list(tmp_path.glob(".*")), "nothing half-written is left"


def test_a_report_anew_leaves_no_figure_of_the_former_one_and_no_file_of_others_is_touched(tmp_path: Path) -> None:
    out = tmp_path / "report"
    out.mkdir()
    (out / "holiday.png").write_bytes(b"not ours")
    (out / "gallery.png").write_bytes(b"a section's name, and no figure's")
    run = make_run(tmp_path, **LATER_PARTS)
    assert out / "paintings.png" in write_report(run, evidence_with_paintings(), out)
    files = write_report(make_run(tmp_path), None, out)
    assert {path.name for path in out.iterdir()} == {*(file.name for file in files), "holiday.png", "gallery.png"}
    assert not (out / "paintings.png").exists()


def test_every_figure_that_a_section_draws_is_known_as_the_reports() -> None:
    sources = resources.files("training.report").iterdir()
    drawn = {name for file in sources if file.name.endswith(".py") for name in PICTURE.findall(file.read_text())}
    assert drawn == set(FIGURES)


def notes_of(folder: Path, section_id: str, name: str, content: dict[str, object]) -> tuple[str, ...]:
    data = {"source": "old-10", "target": "new-8", "data_fingerprint": FINGERPRINT}
    (folder / "beside.json").write_text(json.dumps(data | content))
    make_run(folder)
    run = read_run(folder, **{name: folder / "beside.json"})
    (found,) = (section for section in make_sections(Material(run, None)) if section.id == section_id)
    assert not found.absent
    return found.notes


def test_methods_that_diverged_in_cross_validation_are_listed(tmp_path: Path) -> None:
    diverged = {"fc": "fold 2: the loss is not finite at iteration 3"}
    content = {"folds": 3, "identification": {"affine": judgement(0.5)}, "diverged": diverged}
    notes = notes_of(tmp_path, "crossvalidation", "crossvalidation", content)
    assert notes == ("fc is not in the table: fold 2: the loss is not finite at iteration 3.",)


@pytest.mark.parametrize("points", [0, 1])
def test_methods_that_diverged_in_a_learning_curve_are_listed(tmp_path: Path, points: int) -> None:
    point = {"kind": "clean", "method": "affine", "rows": 5, "identities": 2, "rank_1": rate(0.5)}
    diverged = {"kind": "clean", "method": "fc", "asked": "all", "rows": 1500, "reason": "the loss is not finite"}
    content = {"points": [point], "diverged": [diverged] * points}
    notes = notes_of(tmp_path, "learning", "learning_curve", content)
    assert notes == ("fc has no point at 1,500 clean rows: the loss is not finite.",) * points


def test_names_from_a_file_are_text_and_never_markup(tmp_path: Path) -> None:
    run = make_run(tmp_path, source="<script>alert(1)</script>")
    write_page(run, None, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert not Page(html).all("script")
    assert "&lt;script&gt;" in html


def test_no_identity_of_the_stage_is_written(tmp_path: Path) -> None:
    evidence = make_evidence()
    shift = 70_001  # identities that no other figure of the page could be
    stage = evidence.stage
    marked = {field: getattr(stage, field) + np.int32(shift) for field in ("probe_identities", "gallery_identities")}
    others = {name: getattr(stage, name) for name in stage.__dataclass_fields__ if name not in marked}
    write_page(make_run(tmp_path), Evidence(type(stage)(**others, **marked), evidence.translated), tmp_path / "p.html")
    text = re.sub(r"base64,[^\"]+", "", (tmp_path / "p.html").read_text())
    assert "7000" not in text


@pytest.mark.parametrize("methods", [("r3an",), ("residual", "r3an", "arch1")])
def test_panels_show_the_winner_and_the_best_that_paints(tmp_path: Path, methods: tuple[str, ...]) -> None:
    facts = {"rows": 1, "identities": 1, "seconds": 1, "data_fingerprint": FINGERPRINT}
    ranks = dict(zip(methods, (0.9, 0.8, 0.7), strict=False)) | dict.fromkeys(NATIVES, 0.95)
    run = make_run(
        tmp_path,
        winner=methods[0],
        training=dict.fromkeys(methods, facts),
        identification={name: judgement(rank) for name, rank in ranks.items()},
    )
    faces = np.zeros((1, 56, 56, 3), np.uint8)
    painted = {name: faces for name in methods if name != "residual"}
    evidence = Evidence(make_evidence().stage, {}, Paintings([0], faces, painted))
    assert Material(run, evidence).shown == (("r3an",) if methods == ("r3an",) else ("residual", "r3an"))
