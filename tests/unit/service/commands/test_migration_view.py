"""How a plan looks in a terminal."""

import json

import pytest

from service.commands.migration_view import print_plan
from service.migration.plan import expected_of
from service.migration.record import OriginPlan, Plan
from tests.manifests import make_manifest
from tests.unit.service.migration.migrations import NEW, OLD
from tests.unit.service.migration.test_plan import judged, quality


def shown(plan: Plan, capsys: pytest.CaptureFixture[str]) -> str:
    print_plan(json.loads(plan.model_dump_json()))
    return capsys.readouterr().out


def plan_of(**more: object) -> Plan:
    expected = expected_of(make_manifest(OLD, NEW, quality=quality(**more)))
    origins = (
        OriginPlan(model=OLD.id, faces=7, translator="t@1", expected=expected),
        OriginPlan(model=NEW.id, faces=2),
    )
    facts = {"faces_to_translate": 7, "faces_native": 2, "bytes_needed": 1000, "sampled": 0}
    return Plan.model_validate(facts | {"origins": origins, "faces_per_second": None, "seconds": None})


def test_a_plan_tells_what_new_and_old_probes_will_find(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    told = shown(plan_of(gallery_direction=judged(0.7), both_translated=judged(0.9)), capsys)
    for part in ("rank-1, new probes", "TAR at FMR 1e-3, new probes", "rank-1, old probes", "0.7000 [0.7000, 0.7000]"):
        assert part in told
    assert "0.9000" in told
    assert "0.8000" not in told, "that is of translated probes among native faces, of which there are none"
    assert "0.7000" not in shown(plan_of(), capsys)
