#!/usr/bin/env python3
"""Makes the dashboards with Grafana's own library: `dashboard.py` writes them, `dashboard.py --check` says whether they are up to date."""

import json
import pathlib
import sys

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, VisibilityMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
)

FOLDER = pathlib.Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD, CARE, BAD, CALM = "green", "orange", "red", "blue"

# As in the agent's vocabulary, each with the colour of the coordinator's page.
STATES = {
    "serving": GOOD,
    "suspect": CARE,
    "proving": CALM,
    "warming": CALM,
    "starting": CALM,
    "restarting": CARE,
    "waiting": CARE,
    "leaving": CALM,
    "held": CARE,
    "maintenance": "purple",
    "stopped": "purple",
    "unknown": "gray",
    "sick": BAD,
    "parked": BAD,
}


def query(expression, legend=""):
    return prometheus.Dataquery().expr(expression).legend_format(legend).datasource(SOURCE)


def lines(title, what, unit, *queries, width=12, least=0):
    """A panel of curves."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(what)
        .datasource(SOURCE)
        .unit(unit)
        .min(least)
        .line_width(1)
        .fill_opacity(8)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .height(8)
        .span(width)
    )
    for one in queries:
        panel.with_target(one)
    return panel


def steps(*pairs):
    thresholds = [Threshold(value=value, color=color) for value, color in pairs]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(thresholds)


def figure(title, what, unit, expression, thresholds, width=4, decimals=0):
    """A panel of one number."""
    return (
        stat.Panel()
        .title(title)
        .description(what)
        .datasource(SOURCE)
        .unit(unit)
        .decimals(decimals)
        .thresholds(thresholds)
        .height(4)
        .span(width)
        .with_target(query(expression))
    )


def bands(title, what, *queries, mappings=(), width=24, height=7):
    """A panel of states over time."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(what)
        .datasource(SOURCE)
        .row_height(0.8)
        .mappings(list(mappings))
        .height(height)
        .span(width)
    )
    for one in queries:
        panel.with_target(one)
    return panel


def values(**words):
    options = {value: ValueMappingResult(text=text, color=color) for value, (text, color) in words.items()}
    return ValueMap(options=options)


def state_numbers():
    """`label_replace` cannot make a number of a state; a sum over the states, each with its own weight, can."""
    weights = " or ".join(
        f'{number} * (warden_agent_service_state{{instance=~"$node",state="{state}"}} == 1)'
        for number, state in enumerate(STATES, start=1)
    )
    return f"max by (instance, unit) ({weights})"


def board(title, what):
    """An empty one, with a source that whoever looks can choose."""
    return (
        dashboard.Dashboard(title)
        .uid(title.lower())
        .description(what)
        .tags(["warden"])
        .readonly()
        .refresh("5s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Source").type("prometheus"))
    )


def warden():
    names = {str(number): (state, STATES[state]) for number, state in enumerate(STATES, start=1)}
    ok = steps((None, GOOD), (1, BAD))
    backend = 'backend=~"$backend"'
    result = (
        board("Warden", "The fleet as Warden sees and steers it. monitoring/dashboard.py makes this; docs/metrics.md says what each metric is good for.")
        .with_variable(variable("backend", "Backend", "label_values(warden_coordinator_server_in, backend)"))
        .with_variable(variable("node", "Node", "label_values(warden_agent_service_state, instance)"))
        .with_row(dashboard.Row("At a glance"))
        .with_panel(figure("In rotation", "Servers that HAProxy sends traffic to", "none", f"sum(warden_coordinator_server_in{{{backend}}})", steps((None, BAD), (1, GOOD))))
        .with_panel(figure("Out", "Servers that it does not", "none", f"count(warden_coordinator_server_in{{{backend}}} == 0) or vector(0)", steps((None, GOOD), (1, CARE))))
        .with_panel(figure("Incidents, 24 h", "From the first evidence to serving again: one", "none", 'sum(increase(warden_agent_incidents_total{instance=~"$node"}[24h]))', steps((None, GOOD), (1, CARE))))
        .with_panel(figure("Disagreements", "An agent says that all is well, and live traffic or HAProxy's check does not", "none", f"sum(warden_coordinator_disagreements{{{backend}}}) or vector(0)", ok))
        .with_panel(figure("Floor held, 24 h", "Times that a sick server had to stay in, because too little was left", "none", f"sum(increase(warden_coordinator_floor_holds_total{{{backend}}}[24h])) or vector(0)", ok))
        .with_panel(figure("First certificate ends", "Of all that are in use", "s", "min(warden_coordinator_certificate_expiry_timestamp_seconds) - time()", steps((None, BAD), (14 * 86400, CARE), (30 * 86400, GOOD))))
        .with_row(dashboard.Row("Who is where"))
        .with_panel(bands("Services", "The state of each, by its agent", query(state_numbers(), "{{instance}} {{unit}}"), mappings=[values(**names)]))
        .with_panel(
            bands(
                "Traffic",
                "Where HAProxy sends requests",
                query(f"warden_coordinator_server_in{{{backend}}}", "{{backend}}/{{server}}"),
                mappings=[values(**{"1": ("in", GOOD), "0": ("out", BAD)})],
            )
        )
        .with_row(dashboard.Row("What users get"))
        .with_panel(lines("Requests", "By server, from HAProxy", "reqps", query('sum by (proxy, server) (rate(haproxy_server_http_responses_total{proxy=~"$backend"}[1m]))', "{{proxy}}/{{server}}")))
        .with_panel(lines("Errors and retries", "5xx that clients saw, and requests that were sent elsewhere", "reqps", query('sum by (proxy) (rate(haproxy_backend_http_responses_total{proxy=~"$backend",code="5xx"}[1m]))', "{{proxy}} 5xx"), query('sum by (proxy, server) (rate(haproxy_server_retry_warnings_total{proxy=~"$backend"}[1m]))', "{{proxy}}/{{server}} retries")))
        .with_panel(lines("Answers to probes", "95 of 100 are faster", "s", query('histogram_quantile(0.95, sum by (instance, unit, probe, le) (rate(warden_agent_probe_seconds_bucket{instance=~"$node"}[1m])))', "{{instance}} {{unit}} {{probe}}")))
        .with_panel(lines("Response time", "Average of the last 1024 answers, from HAProxy", "s", query('haproxy_server_response_time_average_seconds{proxy=~"$backend"}', "{{proxy}}/{{server}}")))
        .with_row(dashboard.Row("What Warden does"))
        .with_panel(lines("Restarts", "By cause, in five minutes", "none", query('sum by (instance, unit, cause) (increase(warden_agent_restarts_total{instance=~"$node"}[5m]))', "{{instance}} {{unit}}: {{cause}}")))
        .with_panel(lines("Memory of the services", "As the agent sees it; `recycle_above` is where it asks for a restart", "bytes", query('warden_agent_memory_bytes{instance=~"$node"}', "{{instance}} {{unit}}")))
        .with_panel(lines("Unavailable, and allowed", "While both are the same, nothing goes by plan", "none", query(f"warden_coordinator_unavailable{{{backend}}}", "{{backend}} unavailable"), query(f"warden_coordinator_max_unavailable{{{backend}}}", "{{backend}} allowed"), query(f"warden_coordinator_permits_waiting{{{backend}}}", "{{backend}} waiting for a permit")))
        .with_panel(lines("Report to out of rotation", "From a report's arrival until HAProxy confirmed it", "s", query("histogram_quantile(0.95, sum by (le) (rate(warden_coordinator_out_confirmed_seconds_bucket[10m])))", "95 of 100"), query("histogram_quantile(0.5, sum by (le) (rate(warden_coordinator_out_confirmed_seconds_bucket[10m])))", "50 of 100")))
        .with_row(dashboard.Row("Warden itself"))
        .with_panel(lines("Since each agent spoke", "More than a few seconds: it is cut off, or down", "s", query("warden_coordinator_node_last_report_seconds", "{{node}}")))
        .with_panel(lines("Reports", "By what became of them", "reqps", query("sum by (outcome) (rate(warden_coordinator_reports_total[1m]))", "{{outcome}}")))
        .with_panel(lines("HAProxy read again", "Why everything was read and asserted anew", "none", query("sum by (cause) (increase(warden_coordinator_haproxy_resyncs_total[5m]))", "{{cause}}")))
        .with_panel(lines("An agent's loop", "95 of 100 inputs take less; everything else waits for it", "s", query('histogram_quantile(0.95, sum by (instance, le) (rate(warden_agent_loop_seconds_bucket{instance=~"$node"}[5m])))', "{{instance}}")))
    )
    return result.build()


def mark(name, expression, color):
    """Lines over all curves, so that a step in one of them has a reason beside it."""
    return dashboard.AnnotationQuery().name(name).datasource(SOURCE).icon_color(color).enable(True).expr(expression)


def stand():
    """What the stand's users get, by endpoint and by node, and what it costs its machines."""
    by_endpoint = "sum by (endpoint) (rate(stand_requests_total[1m]))"
    failed = 'code=~"5..|-1"'
    result = (
        board("Stand", "What users get, by endpoint and by node. monitoring/dashboard.py makes this; docs/monitoring.md says where the figures come from.")
        .annotation(mark("Restarts", "sum by (instance, cause) (increase(warden_agent_restarts_total[15s])) > 0", CARE))
        .annotation(mark("Incidents", "sum by (instance, unit) (increase(warden_agent_incidents_total[15s])) > 0", BAD))
        .with_row(dashboard.Row("What users get"))
        .with_panel(lines("Requests by endpoint", "All that HAProxy answered", "reqps", query(by_endpoint, "{{endpoint}}")))
        .with_panel(lines("Errors by endpoint", "5xx, and answers that broke off", "reqps", query(f"sum by (endpoint) (rate(stand_requests_total{{{failed}}}[1m]))", "{{endpoint}}")))
        .with_panel(lines("Latency by endpoint", "90 of 100 are faster", "s", query("histogram_quantile(0.9, sum by (endpoint, le) (rate(stand_request_seconds_bucket[1m])))", "{{endpoint}}")))
        .with_panel(lines("Share of errors", "1 % was promised, 5 % for the list of sessions", "percentunit", query(f"sum by (endpoint) (rate(stand_requests_total{{{failed}}}[5m])) / {by_endpoint.replace('1m', '5m')}", "{{endpoint}}")))
        .with_row(dashboard.Row("By node"))
        .with_panel(lines("Requests by node", "varnish: answered from the cache", "reqps", query("sum by (server) (rate(stand_requests_total[1m]))", "{{server}}")))
        .with_panel(lines("Errors by node", "5xx, and answers that broke off", "reqps", query(f"sum by (server) (rate(stand_requests_total{{{failed}}}[1m]))", "{{server}}")))
        .with_panel(lines("Sent again", "Requests that another node had to answer", "reqps", query("sum by (endpoint) (rate(stand_retries_total[1m]))", "{{endpoint}}")))
        .with_panel(lines("Restarts and incidents", "In five minutes", "none", query("sum by (instance, cause) (increase(warden_agent_restarts_total[5m]))", "{{instance}}: {{cause}}"), query("sum by (instance) (increase(warden_agent_incidents_total[5m]))", "{{instance}}: incidents")))
        .with_row(dashboard.Row("What is behind it"))
        .with_panel(lines("Copies of /long_dummy", "Hits, and how many had to be made", "reqps", query("rate(varnish_main_cache_hit[1m])", "from the cache"), query("rate(varnish_main_cache_miss[1m])", "made while somebody waited")))
        .with_panel(lines("Connections to PostgreSQL", "By what they do", "none", query("sum by (state) (pg_stat_activity_count)", "{{state}}"), query("max(pg_settings_max_connections)", "most")))
        .with_panel(lines("Processors", "Share that is busy", "percentunit", query('1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[1m]))', "{{instance}}")))
        .with_panel(lines("Memory", "Share that is taken", "percentunit", query("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{instance}}")))
    )
    return result.build()


def variable(name, label, values_of):
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(values_of)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def main():
    for name, build in (("warden", warden), ("stand", stand)):
        file = FOLDER / f"{name}.json"
        text = json.dumps(json.loads(JSONEncoder(sort_keys=True, indent=2).encode(build())), indent=2, sort_keys=True) + "\n"
        if "--check" not in sys.argv[1:]:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            sys.exit(f"{file} is not what {pathlib.Path(__file__).name} makes: run it")
        else:
            print(f"{file.name}: {text.count(chr(34) + 'expr' + chr(34))} queries, up to date")


if __name__ == "__main__":
    main()
