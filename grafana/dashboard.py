"""What both dashboards have: variables, links, annotations; and the rows put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as schema

from grafana.promql import DAEMON, daemon, increase, model
from grafana.style import BAD, DATASOURCE, NEUTRAL, WARNING


class Row(NamedTuple):
    """A heading, and the panels under it: from left to right, 24 columns a line."""

    title: str
    panels: Sequence[Builder[schema.Panel]]


@dataclass
class Events(Builder[schema.AnnotationQuery]):
    """An annotation wherever ``expression`` is above 0, or at the times that are its values."""

    name: str
    color: str
    expression: str
    title: str
    value_is_time: bool = False

    def build(self) -> schema.AnnotationQuery:
        """Returns what the SDK writes of it."""
        return _PrometheusAnnotation(self)


class _PrometheusAnnotation(schema.AnnotationQuery):
    """With the fields that the Prometheus data source adds: the SDK has only what all data sources share."""

    def __init__(self, events: Events) -> None:
        super().__init__(name=events.name, datasource=DATASOURCE, icon_color=events.color, expr=events.expression)
        self._added = {"titleFormat": events.title, "useValueForTime": events.value_is_time, "step": "30s"}

    def to_json(self) -> dict[str, object]:
        """As Grafana stores it."""
        return super().to_json() | self._added


def assemble(uid: str, title: str, description: str, rows: Sequence[Row], *, one_model: bool) -> schema.Dashboard:
    """The whole dashboard; its panels numbered from 1."""
    builder = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["mlxd"])
        .timezone("browser")
        .refresh("30s")
        .time("now-1h", "now")
        .tooltip(schema.DashboardCursorSync.CROSSHAIR)
        .variables(_variables(one_model=one_model))
        .annotations(_annotations())
        .link(_links())
    )
    for row in rows:
        builder.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            builder.with_panel(panel)
    built = builder.build()
    for number, found in enumerate(built.panels or [], start=1):
        found.id_val = number
    return built


def _variables(*, one_model: bool) -> list[Builder[schema.VariableModel]]:
    datasource = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    # Of ``up``, which is there also while the daemon is down: then the dashboard is needed most.
    job = _query("job", "Job", 'label_values(up{job=~".*mlxd.*"}, job)').multi(multi=True).include_all(include_all=True)
    instance = _query("instance", "Instance", 'label_values(up{job=~"$job"}, instance)').multi(multi=True).include_all(include_all=True)
    models = _query("model", "Model", f"label_values(mlxd_model_state{{{DAEMON}}}, model)")
    if not one_model:  # All is everything, with ``_unknown`` and the models that are no longer configured
        models.multi(multi=True).include_all(include_all=True).all_value(".+")
    return [datasource, job, instance, models]


def _query(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": name, "qryType": 5})  # 5: as it is written
        .refresh(schema.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(schema.VariableSort.ALPHABETICAL_ASC)
    )


def _annotations() -> list[Builder[schema.AnnotationQuery]]:
    taken_over = f"{daemon('mlxd_config_last_reload_success_timestamp_seconds')} * 1000"
    bad = _risen(daemon("mlxd_config_reloads_total", result="failed|invalid|refused"), "instance, trigger, result")
    restarts = _risen(model("mlxd_worker_restarts_total"), "instance, model, reason")
    firing = f'ALERTS{{{DAEMON}, alertstate="firing"}}'
    return [
        Events("Reloads", NEUTRAL, taken_over, "configuration taken over on {{instance}}", value_is_time=True),
        Events("Bad reloads", WARNING, bad, "reload {{result}} on {{instance}} (by {{trigger}})"),
        Events("Restarts", BAD, restarts, "{{model}}: {{reason}} on {{instance}}"),
        Events("Alerts", BAD, firing, "{{alertname}} on {{instance}}"),
    ]


def _risen(counter: str, by: str) -> str:
    return f"{increase(counter, by)} > 0"


def _links() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("mlxd")
        .type(schema.DashboardLinkType.DASHBOARDS)
        .tags(["mlxd"])
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )
