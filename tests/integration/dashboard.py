"""The queries of the Grafana dashboard, as Grafana would send them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards" / "r3an.json"
LEGEND_LABEL = re.compile(r"{{(\w+)}}")
METRIC = re.compile(r"\b(?:r3an|nv)_[a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel, with the dashboard's variables still in it."""

    expression: str
    legend: str

    @property
    def metrics(self) -> set[str]:
        """Names of the metrics it reads."""
        return set(METRIC.findall(self.expression))

    @property
    def legend_labels(self) -> set[str]:
        """Labels that its legend shows."""
        return set(LEGEND_LABEL.findall(self.legend))

    def substituted(self, rate_interval: str) -> str:
        """PromQL with all translators chosen."""
        return self.expression.replace("$__rate_interval", rate_interval).replace("$translator", ".*")


def dashboard_queries() -> dict[str, Query]:
    """Every panel's queries by `title refId`."""
    panels = json.loads(DASHBOARD.read_bytes())["panels"]
    targets = [(panel["title"], target) for panel in panels for target in panel.get("targets", [])]
    return {f"{title} {target['refId']}": Query(target["expr"], target["legendFormat"]) for title, target in targets}
