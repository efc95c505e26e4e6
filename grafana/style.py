"""How a panel looks: one function for each kind, which returns a builder that the caller completes."""

from collections.abc import Mapping
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as schema
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from grafana.promql import buckets, quantile

DATASOURCE = schema.DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD, NOTICE, WARNING, BAD, NEUTRAL, QUIET = "green", "yellow", "orange", "red", "blue", "#8e8e8e"
TOKENS, TOKENS_PER_SECOND = "suffix: tok", "suffix: tok/s"  # Grafana has no such units
PERCENTILES = {0.5: "p50", 0.95: "p95", 0.99: "p99"}
PERCENTILE_COLORS = {"p50": GOOD, "p95": WARNING, "p99": BAD}
IDLE = schema.SpecialValueMap(
    schema.DashboardSpecialValueMapOptions(
        match=schema.SpecialValueMatch.NULL_AND_NAN, result=schema.ValueMappingResult(text="idle", color=QUIET, index=99)
    )
)


@dataclass(frozen=True)
class Query:
    """An expression, and what its series are called."""

    expression: str
    legend: str = ""


def about(shows: str, *, normal: str, otherwise: str) -> str:
    """Returns the description of a panel."""
    return f"{shows}\n\n**Normal:** {normal}\n\n**If not:** {otherwise}"


def tile(title: str, unit: str, *queries: Query) -> stat.Panel:
    """One number as of now. An instant query: of a daemon that has gone, the last value would look like a present one."""
    panel = stat.Panel().title(title).unit(unit).datasource(DATASOURCE).height(4).span(4).mappings([IDLE])
    for target in _targets(queries):
        panel.with_target(target.instant())
    return (
        panel.reduce_options(common.ReduceDataOptions().calcs(["last"]))
        .color_mode(options.BigValueColorMode.BACKGROUND)
        .graph_mode(options.BigValueGraphMode.NONE)
        .thresholds(steps(NEUTRAL))
    )


def lines(title: str, unit: str, *queries: Query) -> timeseries.Panel:
    """Lines over time, and a table of what they come to."""
    panel = timeseries.Panel().title(title).unit(unit).datasource(DATASOURCE).height(9).span(8).min(0)
    for target in _targets(queries):
        panel.with_target(target.range())
    return (
        panel.legend(_legend(["mean", "max", "lastNotNull"]))
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
        .color_scheme(dashboard.FieldColor().mode(schema.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .line_width(1)
        .fill_opacity(8)
        .show_points(options.VisibilityMode.AUTO)
    )


def areas(title: str, unit: str, *queries: Query) -> timeseries.Panel:
    """Parts of a whole, on top of each other."""
    return stacked(lines(title, unit, *queries)).fill_opacity(40)


def bars(title: str, unit: str, *queries: Query) -> timeseries.Panel:
    """What happens seldom: as lines, it would hardly be seen."""
    return stacked(lines(title, unit, *queries)).draw_style(options.GraphDrawStyle.BARS).fill_opacity(80)


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """The series on top of each other."""
    return panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))


def colored(panel: timeseries.Panel, colors: Mapping[str, str]) -> timeseries.Panel:
    """The series of these names in these colours."""
    for name, color in colors.items():
        panel.override_by_name(name, [schema.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})])
    return panel


def percentiles(title: str, unit: str, histogram: str) -> timeseries.Panel:
    """Half of all, and the tail, of one histogram."""
    queries = (Query(quantile(q, histogram), name) for q, name in PERCENTILES.items())
    return colored(lines(title, unit, *queries), PERCENTILE_COLORS)


def heat(title: str, unit: str, histogram: str) -> heatmap.Panel:
    """Every bucket of one histogram over time: two groups of requests are two bands, where percentiles show one line between them."""
    target = _target("A", Query(buckets(histogram), "{{le}}")).range().format(PromQueryFormat.HEATMAP)
    return (
        heatmap.Panel()
        .title(title)
        .datasource(DATASOURCE)
        .height(9)
        .span(8)
        .with_target(target)
        .unit(unit)
        .calculate(calculate=False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").exponent(0.5).steps(64))
        .cell_gap(1)
        .cell_values(heatmap.CellValues().unit(units.OpsPerSecond))
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(options.AxisPlacement.LEFT))
        .mode(options.TooltipDisplayMode.SINGLE)
        .show_y_histogram()
        .show_legend()
    )


def timeline(title: str, query: Query, states: schema.ValueMap) -> statetimeline.Panel:
    """Which state each series was in."""
    return (
        statetimeline.Panel()
        .title(title)
        .unit(units.NoUnit)
        .datasource(DATASOURCE)
        .height(9)
        .with_target(_target("A", query).range())
        .mappings([states])
        .color_scheme(dashboard.FieldColor().mode(schema.FieldColorModeId.THRESHOLDS))
        .thresholds(steps(QUIET))
        .merge_values(merge_values=True)
        .show_value(options.VisibilityMode.AUTO)
        .row_height(0.8)
        .fill_opacity(80)
        .line_width(0)
        .legend(common.VizLegendOptions().show_legend(show_legend=True).display_mode(options.LegendDisplayMode.LIST))
    )


def grid(title: str, *queries: Query) -> table.Panel:
    """A table with a row for each set of labels; a query's legend is the name of its column."""
    panel = table.Panel().title(title).unit(units.Short).datasource(DATASOURCE).height(8).span(24)
    columns = {}
    for name, query in zip(_REF_IDS, queries, strict=False):
        panel.with_target(_target(name, query).instant().format(PromQueryFormat.TABLE))
        columns[f"Value #{name}"] = query.legend
    organize = {"excludeByName": {"Time": True}, "renameByName": columns, "indexByName": {}}
    panel.with_transformation(schema.DataTransformerConfig("merge", options={}))
    return panel.with_transformation(schema.DataTransformerConfig("organize", options=organize)).no_value("-")


def steps(base: str, *above: tuple[float, str]) -> dashboard.ThresholdsConfig:
    """``base``, and another colour from each of these values on."""
    found = [schema.Threshold(value=None, color=base), *(schema.Threshold(value=value, color=color) for value, color in above)]
    return dashboard.ThresholdsConfig().mode(schema.ThresholdsMode.ABSOLUTE).steps(found)


def texts(*values: tuple[int, str, str]) -> schema.ValueMap:
    """Text and colour for each value."""
    return schema.ValueMap({str(value): schema.ValueMappingResult(text=text, color=color, index=value) for value, text, color in values})


_REF_IDS = "ABCDEFGHIJKLMNOP"


def _targets(queries: tuple[Query, ...]) -> list[prometheus.Dataquery]:
    return [_target(name, query) for name, query in zip(_REF_IDS, queries, strict=False)]


def _target(name: str, query: Query) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(name).datasource(DATASOURCE).expr(query.expression).editor_mode(QueryEditorMode.CODE)
    return target.legend_format(query.legend or "__auto")


def _legend(calculations: list[str]) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(show_legend=True).display_mode(options.LegendDisplayMode.TABLE)
    return legend.placement(options.LegendPlacement.BOTTOM).calcs(calculations)
