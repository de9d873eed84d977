"""The section on calibration: what it says holds of any data."""

import re
from pathlib import Path

from tests.unit.training.report.samples import make_run
from training.report.material import Material
from training.report.thresholds import section


def test_what_is_said_of_extrapolated_rates_quotes_no_figure_of_other_data(tmp_path: Path) -> None:
    text = section(Material(make_run(tmp_path), None)).text
    assert "may err to either side" in text
    assert not re.search(r"\d", text), text
