"""What dashboards are made of: the JSON of Grafana, schema 41, as far as ours need it."""

SCHEMA, WIDTH = 41, 24
LETTERS = "ABCDEFGH"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, RED = "green", "yellow", "red"


def series(metric, *conditions, window=None, by="namespace"):
    """A metric of what is chosen above the dashboard: `by` names the variables that choose."""
    chosen = [f'{label}=~"${label}"' for label in by.split()]
    return f"{metric}{{{', '.join([*chosen, *conditions])}}}" + (f"[{window}]" if window else "")


def rate(metric, *conditions, window="$__rate_interval", by="namespace"):
    return f"rate({series(metric, *conditions, window=window, by=by)})"


def total(expression, by=""):
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def or_zero(expression, like):
    """What has not happened yet counts as 0 wherever `like` has a series."""
    return f"{expression} or 0 * {like}"


def quantile(share, metric, *conditions, by="", window="$__rate_interval"):
    labels = ", ".join(part for part in (by, "le") if part)
    return f"histogram_quantile({share}, sum by ({labels}) ({rate(metric + '_bucket', *conditions, window=window)}))"


def steps(*changes, base=GREEN):
    """Colours by value: `steps((0.8, YELLOW), (0.9, RED))`."""
    return {"mode": "absolute", "steps": [{"color": base, "value": None}, *({"color": color, "value": value} for value, color in changes)]}


def panel(kind, title, description, queries, *, unit="short", thresholds=None, width=8, height=8, custom=None, options=None, limits=None, overrides=()):
    """`queries` are pairs of an expression and what its series are called."""
    now = kind in ("stat", "bargauge", "table")
    defaults = {"unit": unit, "thresholds": thresholds or steps(), "color": {"mode": "thresholds" if now else "palette-classic"}, **(limits or {})}
    if custom:
        defaults["custom"] = custom
    targets = [
        {
            "refId": LETTERS[number], "datasource": SOURCE, "expr": expression, "legendFormat": legend or "__auto",
            "instant": now, "range": not now, **({"format": "table"} if kind == "table" else {"format": "heatmap"} if kind == "heatmap" else {}),
        }
        for number, (expression, legend) in enumerate(queries)
    ]
    return {
        "type": kind, "title": title, "description": description, "datasource": SOURCE, "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)}, "options": options or {}, "gridPos": {"w": width, "h": height},
    }


def lines(title, description, *queries, stacked=False, thresholds=None, **more):
    """Values over time."""
    custom = {
        "drawStyle": "line", "lineWidth": 1, "fillOpacity": 25 if stacked else 8, "showPoints": "never", "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none"}, "thresholdsStyle": {"mode": "line" if thresholds else "off"},
    }
    options = {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return panel("timeseries", title, description, queries, custom=custom, options=options, thresholds=thresholds, limits={"min": 0}, **more)


def number(title, description, *queries, width=4, height=4, **more):
    """What is now, large."""
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none", "textMode": "auto"}
    return panel("stat", title, description, queries, width=width, height=height, options=options, **more)


def bars(title, description, *queries, **more):
    """What is now, compared."""
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "orientation": "horizontal", "displayMode": "basic"}
    return panel("bargauge", title, description, queries, options=options, limits={"min": 0}, **more)


def heat(title, description, query, unit="s", **more):
    """How many values there were of which size, over time."""
    options = {"calculate": False, "yAxis": {"unit": unit}, "cellGap": 1, "color": {"mode": "scheme", "scheme": "Blues", "steps": 32}}
    return panel("heatmap", title, description, [(query, "{{le}}")], unit=unit, options=options, **more)


def table(title, description, columns, key, units, **more):
    """One row for each value of the labels `key`; columns are (name, expression), `units` their units."""
    names = {f"Value #{LETTERS[place]}": name for place, (name, _) in enumerate(columns)}
    shown = [{"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]} for (name, _), unit in zip(columns, units)]
    made = panel("table", title, description, [(expression, "") for _, expression in columns], width=WIDTH, overrides=shown, **more)
    first = columns[0][0]
    made["options"] = {"sortBy": [{"displayName": first, "desc": True}]}
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names, "indexByName": {label: place for place, label in enumerate(key)}}},
    ]
    return made


def variable(name, label, metric):
    """A choice above the dashboard: values of a label; all of them at first, and those that have none."""
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE, "query": {"query": f"label_values({metric}, {name})", "refId": name},
        "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}, "hide": 0,
    }


def dashboard(name, title, description, variables, rows):
    """`rows` are (title, panels); panels fill a row from the left, and begin another one where they no longer fit."""
    panels, top = [], 0
    for heading, members in rows:
        panels.append({"type": "row", "title": heading, "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}})
        left, top, tall = 0, top + 1, 0
        for member in members:
            if left + member["gridPos"]["w"] > WIDTH:
                left, top, tall = 0, top + tall, 0
            panels.append({**member, "gridPos": {"x": left, "y": top, **member["gridPos"]}})
            left, tall = left + member["gridPos"]["w"], max(tall, member["gridPos"]["h"])
        top += tall
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0, "refresh": 1}
    link = {
        "type": "dashboards", "title": "Granary", "tags": ["granary"], "asDropdown": True, "keepTime": True, "includeVars": True, "targetBlank": False,
        "icon": "dashboard", "tooltip": "The other dashboards",
    }
    return {
        "uid": f"granary-{name}", "title": f"Granary / {title}", "description": description, "tags": ["granary"], "schemaVersion": SCHEMA, "version": 1,
        "editable": True, "graphTooltip": 1, "refresh": "30s", "time": {"from": "now-6h", "to": "now"}, "timezone": "browser",
        "links": [link],
        "templating": {"list": [source, *variables]}, "annotations": {"list": []},
        "panels": [{"id": identity, **member} for identity, member in enumerate(panels, start=1)],
    }


NAMESPACE = variable("namespace", "Namespace", "granary_ready")
COMPONENT = variable("component", "Service", "granary_ready")
