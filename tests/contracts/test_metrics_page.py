"""docs/metrics.md tells every metric and no other; alerts and dashboard use what there is; each alert has its mend."""

import json
import re
from pathlib import Path

import yaml
from prometheus_client.metrics_core import Metric

from app.metrics.collecting import RegistryCollector
from app.services import Services
from app.settings import AppSettings
from registry.gauges import look
from registry.session import Database
from registry.testing import MemoryQueue, memory_store, temporary_database
from tests.contracts.pages import ROOT, quoted, rows

NAME = re.compile(r"\bdistilled_[a-z_]+")
MONITORING = ROOT / "deploy" / "monitoring"
#: What a family of this type is called in a query.
SERIES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}


def families(database: Database, home: Path) -> dict[str, Metric]:
    parts = Services(
        settings=AppSettings(home=home), database=database, store=memory_store(), queue=MemoryQueue(), catalog={}
    )
    found = {family.name: family for family in parts.meters.registry.collect()}
    with database.read() as session:
        gauges = look(session)
    found |= {family.name: family for family in RegistryCollector(lambda: gauges).collect()}
    return {name: family for name, family in found.items() if name.startswith("distilled_")}


def test_every_metric_is_told_and_used_by_its_name(tmp_path: Path) -> None:
    database = temporary_database(tmp_path)
    made = families(database, tmp_path)
    database.close()
    shown = {f"{name}_total" if one.type == "counter" else name for name, one in made.items() if one.type != "info"}
    told = {quoted(name)[0] for name, _, _, _ in rows("metrics.md", head="name")}
    assert told == shown | {"distilled_build_info"}
    series = {name + ending for name, one in made.items() for ending in SERIES.get(one.type, ("",))}
    series |= {"distilled_build_info"}
    for path in sorted(MONITORING.iterdir()):
        used = set(NAME.findall(path.read_text(encoding="utf-8")))
        assert used, path
        assert used <= series, path


def test_each_alert_is_explained() -> None:
    (group,) = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    alerts = [rule["alert"] for rule in group["rules"]]
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in group["rules"])
    told = [quoted(name)[0] for name, _, _ in rows("operations.md", head="alert")]
    assert told == alerts


def test_each_panel_asks_for_something() -> None:
    board = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert all(target["expr"].count("(") == target["expr"].count(")") for target in panel["targets"]), panel[
            "title"
        ]
