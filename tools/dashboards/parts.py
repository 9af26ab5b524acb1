"""What the dashboards are made of: panels with data sources, units and thresholds; variables, links, annotations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    gauge,
    logs,
    loki,
    piechart,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.models.common import (
    DataSourceRef,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    LogsSortOrder,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DynamicConfigValue,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.dashboard import Threshold as Step

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${prometheus}")
LOKI = DataSourceRef(type_val="loki", uid="${loki}")
TAG = "otel-oauth"

Thresholds = tuple[tuple[float | None, str], ...]
Kind = Literal["lines", "bars", "stat", "gauge", "bargauge", "pie", "logs"]

SEVERITIES = {"low": "blue", "medium": "yellow", "high": "orange", "critical": "red"}
BUILDERS: dict[str, Any] = {
    "lines": timeseries.Panel,
    "bars": timeseries.Panel,
    "stat": stat.Panel,
    "gauge": gauge.Panel,
    "bargauge": bargauge.Panel,
    "pie": piechart.Panel,
    "logs": logs.Panel,
}
NOW = frozenset({"stat", "gauge", "bargauge", "pie"})
"""The kinds of panels that show one moment."""


@dataclass(frozen=True)
class Panel:
    """One panel.

    :param queries: pairs of an expression and its legend; those of the kind `logs` are LogQL.
    :param unit: Grafana's name of the unit.
    :param thresholds: pairs of a value and the colour from it on; the first value is `None`.
    :param severities: whether the series are named by a severity, and coloured so.
    :param limits: the lowest and the highest value of the axis.
    """

    title: str
    kind: Kind
    queries: tuple[tuple[str, str], ...]
    description: str
    unit: str = "short"
    thresholds: Thresholds = ()
    width: int = 8
    height: int = 8
    severities: bool = False
    limits: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True)
class Row:
    """A row of panels with a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A variable that is filled by a query of Prometheus."""

    name: str
    label: str
    query: str


JOB = Variable("job", "Job", 'label_values({__name__=~"oauth_flows_total|oauth_http_requests_total"}, job)')


@dataclass(frozen=True)
class Board:
    """One dashboard; `uid` names its file and its address."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = field(default=(JOB,))

    def build(self) -> Any:  # noqa: ANN401 the SDK's model
        """Return the SDK's model of the dashboard."""
        board = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .editable()
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .with_variable(dashboard.DatasourceVariable("prometheus").label("Metrics").type("prometheus"))
            .with_variable(dashboard.DatasourceVariable("loki").label("Logs").type("loki"))
            .annotation(_alerts())
            .link(
                dashboard.DashboardLink("OAuth dashboards")
                .type(DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .as_dropdown(as_dropdown=True)
                .include_vars(include_vars=True)
                .keep_time(keep_time=True)
            )
        )
        for variable in self.variables:
            board.with_variable(
                dashboard.QueryVariable(variable.name)
                .label(variable.label)
                .datasource(PROMETHEUS)
                .query(variable.query)
                .definition(variable.query)
                .multi(multi=True)
                .include_all(include_all=True)
                .all_value(".+")  # Loki refuses what may be empty
                .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
                .sort(VariableSort.ALPHABETICAL_ASC)
            )
        number = 0
        for row in self.rows:
            board.with_row(dashboard.Row(row.title))
            for panel in row.panels:
                number += 1
                board.with_panel(_panel(panel).id(number))
        return board.build()


def _alerts() -> Any:  # noqa: ANN401 the SDK's model
    names = ".*OAuth.*|HighErrorRate|RateLimitAttack|TokenReuseDetected|StorageGrowth.*"
    expression = f'ALERTS{{alertstate="firing",alertname=~"{names}",job=~"$job"}}'
    return (
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(PROMETHEUS)
        .enable(enable=True)
        .icon_color("red")
        .expr(expression)
        .title_format("{{alertname}}")
        .text_format("{{job}} {{provider}} {{severity}}")
        .step("30s")
    )


def _panel(panel: Panel) -> Any:  # noqa: ANN401 the SDK's builders have no common type
    built = (
        BUILDERS[panel.kind]()
        .title(panel.title)
        .description(panel.description)
        .datasource(LOKI if panel.kind == "logs" else PROMETHEUS)
        .height(panel.height)
        .span(panel.width)
    )
    for number, (expression, legend) in enumerate(panel.queries):
        built.with_target(_target(panel, expression, legend, chr(ord("A") + number)))
    if panel.kind == "logs":
        return _logs(built)
    built.unit(panel.unit)
    if panel.kind == "stat" and panel.unit == "short":
        built.decimals(0)  # an increase is extrapolated, and nobody counts 2.06 attacks
    low, high = panel.limits
    if low is not None:
        built.min(low)
    if high is not None:
        built.max(high)
    if panel.thresholds:
        steps = [Step(value=value, color=colour) for value, colour in panel.thresholds]
        built.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    for severity, colour in SEVERITIES.items() if panel.severities else ():
        fixed = DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})
        built.override_by_regexp(f"/.*{severity}.*/", [fixed])
    if panel.kind in ("lines", "bars"):
        _drawn(built, bars=panel.kind == "bars")
    if panel.kind == "bargauge":
        built.orientation(VizOrientation.HORIZONTAL)
    return built


def _drawn(built: Any, *, bars: bool) -> None:  # noqa: ANN401 the SDK's builder
    built.legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    built.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    if bars:
        built.draw_style(GraphDrawStyle.BARS).fill_opacity(80).stacking(
            common.StackingConfig().mode(StackingMode.NORMAL)
        )
    else:
        built.draw_style(GraphDrawStyle.LINE).fill_opacity(10).line_width(1)


def _logs(built: Any) -> Any:  # noqa: ANN401 the SDK's builder
    return (
        built.show_time(show_time=True)
        .enable_log_details(enable_log_details=True)
        .wrap_log_message(wrap_log_message=True)
        .sort_order(LogsSortOrder.DESCENDING)
    )


def _target(panel: Panel, expression: str, legend: str, name: str) -> Any:  # noqa: ANN401 two kinds of the SDK's builders
    if panel.kind == "logs":
        return loki.Dataquery().expr(expression).ref_id(name).datasource(LOKI)
    query = (
        prometheus.Dataquery().expr(expression).legend_format(legend or "__auto").ref_id(name).datasource(PROMETHEUS)
    )
    return query.instant() if panel.kind in NOW else query.range().exemplar(exemplar=True)


def rate(metric: str, by: str, **labels: str) -> str:
    """Return the expression of a counter's rate, summed by the labels named in `by`."""
    return f"sum by ({by}) (rate({selected(metric, **labels)}[$__rate_interval]))"


def increase(metric: str, by: str, **labels: str) -> str:
    """Return the expression of a counter's increase over five minutes, summed by the labels named in `by`."""
    return f"sum by ({by}) (increase({selected(metric, **labels)}[5m]))"


def selected(metric: str, **labels: str) -> str:
    """Return the selector of a metric in the chosen jobs; a label's value may begin with an operator."""
    matchers = ['job=~"$job"']
    for label, value in labels.items():
        operator = next((sign for sign in ("=~", "!~", "!=") if value.startswith(sign)), "")
        matchers.append(f'{label}{operator or "="}"{value[len(operator) :]}"')
    return f"{metric}{{{','.join(matchers)}}}"


def quantiles(metric: str, by: str = "", **labels: str) -> tuple[tuple[str, str], ...]:
    """Return the queries of the 50th, 95th and 99th percentile of a histogram, by one more label if it is named."""
    groups = f"{by}, le" if by else "le"
    suffix = f" {{{{{by}}}}}" if by else ""
    series = f"sum by ({groups}) (rate({selected(metric + '_bucket', **labels)}[$__rate_interval]))"
    return tuple((f"histogram_quantile(0.{share}, {series})", f"p{share}{suffix}") for share in (50, 95, 99))
