"""The queries of the Grafana dashboard, as Grafana would send them."""

import json
import re
from pathlib import Path

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards" / "r3an.json"
METRIC = re.compile(r"\b(?:r3an|nv)_[a-z0-9_]+")


def dashboard_queries() -> dict[str, str]:
    """PromQL of every panel by `title refId`, with the dashboard's variables still in it."""
    panels = json.loads(DASHBOARD.read_bytes())["panels"]
    return {
        f"{panel['title']} {target['refId']}": target["expr"] for panel in panels for target in panel.get("targets", [])
    }


def substituted(query: str, rate_interval: str) -> str:
    """The query with all translators chosen."""
    return query.replace("$__rate_interval", rate_interval).replace("$translator", ".*")


def metrics_of(query: str) -> set[str]:
    """Names of the metrics a query reads."""
    return set(METRIC.findall(query))
