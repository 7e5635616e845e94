#!/usr/bin/env python3
"""Draws the dashboards of monitoring/grafana as pictures, in the manner of Grafana, from what a Prometheus says of a
stretch of time: `docs/dashboards.py http://127.0.0.1:9090 START END FOLDER`, with seconds since 1970. `docs/night.sh`
makes those of the documents."""

import json
import math
import pathlib
import re
import sys
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from html import escape

DASHBOARDS = pathlib.Path(__file__).resolve().parents[1] / "monitoring/grafana/dashboards"
COLUMN, ROW, GAP, TOP = 50, 38, 8, 48  # pixels; a dashboard has 24 columns
SAMPLES_MAX = 240  # of a series
SCRAPE_SECONDS = 5  # as Grafana is told in datasource.yml
LEGEND_ROWS_MAX = 3
CHARACTER = 6.3  # pixels of a character of 11 px, about
BACK, PANEL, LINE, TEXT, DIM = "#111217", "#181b1f", "#2c3036", "#d5d6da", "#8e9297"
COLOURS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#e0b400", "#37872d", "#fa6400")
COLOURS += ("#c4162a", "#1f60c4", "#8f3bb8", "#ffa6b0", "#96d98d", "#ca95e5", "#ffee52", "#ffb357")
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c"}
# Units by their thresholds: from which value on, what it is divided by, and its sign.
SCALES = {
    "short": ((1e6, 1e6, " Mil"), (1e3, 1e3, " K"), (0, 1, "")),
    "reqps": ((1e3, 1e3, " K req/s"), (0, 1, " req/s")),
    "percentunit": ((0, 0.01, "%"),),
    "bytes": ((2**30, 2**30, " GiB"), (2**20, 2**20, " MiB"), (2**10, 2**10, " KiB"), (0, 1, " B")),
    "Bps": ((1e6, 1e6, " MB/s"), (1e3, 1e3, " kB/s"), (0, 1, " B/s")),
    "s": ((3600, 3600, " hours"), (60, 60, " mins"), (1, 1, " s"), (1e-3, 1e-3, " ms"), (1e-9, 1e-6, " µs"), (0, 1, " s")),
}


@dataclass
class Series:
    name: str
    labels: dict
    points: list  # of time and value
    base: list = field(default_factory=list)  # where it stands on others

    @property
    def last(self):
        return self.points[-1][1]

    @property
    def most(self):
        return max(value for _, value in self.points)


@dataclass
class Source:
    """A Prometheus and a stretch of time."""

    url: str
    start: float
    end: float

    def __post_init__(self):
        self.step = max(SCRAPE_SECONDS, math.ceil((self.end - self.start) / SAMPLES_MAX))
        self.rate_interval = max(4 * SCRAPE_SECONDS, self.step + SCRAPE_SECONDS)

    def get(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=60) as answer:
            return json.load(answer)["data"]

    def values(self, query):
        """The values of a dashboard's variable."""
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()
        times = {"start": self.start, "end": self.end}
        return self.get(f"label/{label}/values", **{"match[]": metric, **times})

    def series(self, target, variables):
        """The series of a panel's query, those without a finite value left out."""
        expression = target["expr"].replace("$__rate_interval", f"{self.rate_interval}s")
        for name, value in variables.items():
            expression = expression.replace(f"${name}", value)
        if target.get("instant"):
            result = self.get("query", query=expression, time=self.end)["result"]
            found = [(one["metric"], [one["value"]]) for one in result]
        else:
            times = {"start": self.start, "end": self.end, "step": self.step}
            result = self.get("query_range", query=expression, **times)["result"]
            found = [(one["metric"], one["values"]) for one in result]
        for labels, values in found:
            points = [(float(at), float(value)) for at, value in values]
            points = [(at, value) for at, value in points if math.isfinite(value)]
            if points:
                yield Series(legend(target.get("legendFormat", ""), labels), labels, points)


def legend(template, labels):
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), template).strip()


def shown(value, unit, decimals=None):
    """A value with its unit, as Grafana writes it."""
    for least, divisor, sign in SCALES[unit]:
        if abs(value) >= least:
            break
    scaled = value / divisor
    if decimals is None:
        decimals = 0 if scaled == round(scaled) else 2 if abs(scaled) < 10 else 1 if abs(scaled) < 100 else 0
        return f"{scaled:.{decimals}f}".rstrip("0").rstrip(".") + sign if decimals else f"{scaled:.0f}{sign}"
    return f"{scaled:.{decimals}f}{sign}"


def ticks(top, unit):
    """Round numbers up to the top of an axis."""
    base = {"bytes": 2**20, "percentunit": 0.01}.get(unit, 60 if unit == "s" and top > 120 else 1)
    rough = top / base / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough) * base
    return [step * number for number in range(int(top / step + 1e-9) + 1)]


def words(x, y, text, size=12, fill=TEXT, anchor="start", more=""):
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"{more}>{escape(text)}</text>'
    )


@dataclass
class Box:
    x: float
    y: float
    w: float
    h: float


def path(points, box, source, top):
    """Stretches of a line: it is interrupted where samples are missing."""
    stretches, before = [], None
    for at, value in points:
        x = box.x + box.w * (at - source.start) / (source.end - source.start)
        y = box.y + box.h * (1 - min(value / top, 1.02))
        if before is None or at - before > source.step * 1.5:
            stretches.append([])
        stretches[-1].append((round(x, 1), round(y, 1)))
        before = at
    return stretches


def bases(series, box, source, top):
    """What the areas of a series stand on: others, or the ends of the axis."""
    if series.base:
        return path(series.base, box, source, top)
    stretches = path([(at, 0) for at, _ in series.points], box, source, top)
    return [[stretch[0], stretch[-1]] for stretch in stretches]


def line(stretches, bases, colour, opacity, width=1.5):
    """Lines, the areas between them and their bases, and points where there is no line."""
    for stretch, base in zip(stretches, bases):
        if len(stretch) == 1:
            yield f'<circle cx="{stretch[0][0]:g}" cy="{stretch[0][1]:g}" r="2" fill="{colour}"/>'
            continue
        d = "M" + "L".join(f"{x:g} {y:g}" for x, y in stretch)
        if opacity:
            under = "".join(f"L{x:g} {y:g}" for x, y in reversed(base))
            yield f'<path d="{d}{under}z" fill="{colour}" fill-opacity="{opacity}"/>'
        yield f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>'


def stacked(series, source):
    """The series on top of one another, the lowest first."""
    totals = {}
    for one in series:
        points, base = [], []
        for at, value in one.points:
            slot = round((at - source.start) / source.step)
            base.append((at, totals.get(slot, 0)))
            totals[slot] = totals.get(slot, 0) + value
            points.append((at, totals[slot]))
        yield Series(one.name, one.labels, points, base)


def draw_timeseries(panel, results, box, source):
    series = [one for found in results for one in found]
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults["custom"]
    is_stacked = custom["stacking"]["mode"] == "normal"
    names, height = draw_legend(series, box)
    yield from names
    lines = list(stacked(series, source)) if is_stacked else series
    top = max([one.most for one in lines] + [defaults.get("max", 0)]) * 1.05 or 1
    plot = Box(box.x + 70, box.y + 4, box.w - 78, box.h - 26 - height)
    for tick in ticks(top, defaults["unit"]):
        y = plot.y + plot.h * (1 - tick / top)
        yield f'<path d="M{plot.x:g} {y:.1f}H{plot.x + plot.w:g}" stroke="{LINE}"/>'
        yield words(plot.x - 6, y + 4, shown(tick, defaults["unit"]), 11, DIM, "end")
    minutes = max(1, math.ceil((source.end - source.start) / 60 / 8))
    at = math.ceil(source.start / 60 / minutes) * 60 * minutes
    while at <= source.end:
        x = plot.x + plot.w * (at - source.start) / (source.end - source.start)
        yield f'<path d="M{x:.1f} {plot.y:g}V{plot.y + plot.h:g}" stroke="{LINE}"/>'
        yield words(x, plot.y + plot.h + 16, time.strftime("%H:%M", time.gmtime(at)), 11, DIM, "middle")
        at += 60 * minutes
    opacity = custom["fillOpacity"] / 100
    for number, one in reversed(list(enumerate(lines))):
        colour = COLOURS[number % len(COLOURS)]
        yield from line(path(one.points, plot, source, top), bases(one, plot, source, top), colour, opacity)


def draw_legend(series, box):
    """The names of all series, as far as there is room, and the height that they take."""
    parts, x, row = [], 0, 0
    left = len(series)
    for number, one in enumerate(series):
        name = one.name or "0"
        wide = 22 + len(name) * CHARACTER
        if x and x + wide > box.w - 16:
            x, row = 0, row + 1
        if row == LEGEND_ROWS_MAX - 1 and left > 1 and x + wide > box.w - 90 or row == LEGEND_ROWS_MAX:
            parts.append((min(x, box.w - 90), row, None, f"and {left} more"))
            break
        parts.append((x, row, COLOURS[number % len(COLOURS)], name))
        x, left = x + wide, left - 1
    rows = max((row for _, row, *_ in parts), default=0) + 1
    height, drawn = rows * 16 + 4, []
    for x, row, colour, name in parts:
        y = box.y + box.h - height + row * 16 + 14
        if colour:
            drawn.append(f'<rect x="{box.x + x + 8:.0f}" y="{y - 5:.0f}" width="10" height="3" rx="1" fill="{colour}"/>')
        drawn.append(words(box.x + x + 22, y, name, 11, DIM))
    return drawn, height


def draw_stat(panel, results, box, source):
    (series,) = [one for found in results for one in found]
    defaults = panel["fieldConfig"]["defaults"]
    colour = NAMED["green"]
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or series.last >= step["value"]:
            colour = NAMED[step["color"]]
    top = series.most * 1.05 or 1
    spark = Box(box.x, box.y + box.h * 0.55, box.w, box.h * 0.45)
    yield from line(path(series.points, spark, source, top), bases(series, spark, source, top), colour, 0.15, 1)
    text = shown(series.last, defaults["unit"], defaults.get("decimals"))
    yield words(box.x + box.w / 2, box.y + box.h * 0.5, text, 34, colour, "middle", ' font-weight="500"')


def draw_table(panel, results, box, _):
    (target,) = panel["targets"]
    if target.get("format") != "table" or not target.get("instant"):
        raise ValueError(f"{panel['title']}: a table shows what is true now, one row for each series")
    (organize,) = panel["transformations"]
    order = organize["options"]["indexByName"]
    hidden = organize["options"]["excludeByName"]
    rows = [one.labels for one in results[0]]
    columns = sorted({name for row in rows for name in row if not hidden.get(name)}, key=lambda name: order.get(name, 99))
    wide = box.w / len(columns)
    for number, name in enumerate(columns):
        yield words(box.x + 10 + wide * number, box.y + 14, name, 12, "#6e9fff")
        for at, row in enumerate(rows):
            yield words(box.x + 10 + wide * number, box.y + 42 + at * 26, row.get(name, ""))
    for at in range(len(rows)):
        yield f'<path d="M{box.x:g} {box.y + 24 + at * 26:g}H{box.x + box.w:g}" stroke="{LINE}"/>'


DRAW = {"timeseries": draw_timeseries, "stat": draw_stat, "table": draw_table}


def variables_of(dashboard, source):
    """The dashboard's variables with all of their values, as Grafana puts them into a query."""
    chosen = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            values = source.values(variable["query"]["query"])
            chosen[variable["name"]] = "(" + "|".join(re.escape(v).replace("\\", "\\\\") for v in values) + ")"
    return chosen


def draw(dashboard, source, quiet=()):
    """The picture of a dashboard, and its faults: panels without data, and those that show nothing but zero, unless their
    titles are among the quiet ones."""
    variables = variables_of(dashboard, source)
    bottom = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in dashboard["panels"])
    width, height = 24 * COLUMN + 2 * GAP, TOP + bottom * ROW + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-family="Inter, Helvetica, Arial, sans-serif" role="img" aria-label="{escape(dashboard["title"])}">',
        f'<rect width="{width}" height="{height}" fill="{BACK}"/>',
        words(16, 31, dashboard["title"], 18),
        words(width - 16, 31, " to ".join(stamp(at) for at in (source.start, source.end)) + " UTC", 13, DIM, "end"),
    ]
    faults = []
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        x, y = GAP + at["x"] * COLUMN, TOP + at["y"] * ROW
        w, h = at["w"] * COLUMN - GAP, at["h"] * ROW - GAP
        results = [list(source.series(target, variables)) for target in panel["targets"]]
        faults += fault(panel, results, quiet)
        drawn = DRAW[panel["type"]](panel, results, Box(x, y + 32, w, h - 34), source) if any(results) else ()
        clip = f"panel-{panel['id']}"
        parts += [
            f'<clipPath id="{clip}"><rect x="{x}" y="{y}" width="{w}" height="{h}" rx="3"/></clipPath>',
            f'<g clip-path="url(#{clip})"><rect x="{x}" y="{y}" width="{w}" height="{h}" rx="3" fill="{PANEL}" stroke="{LINE}"/>',
            words(x + 10, y + 21, panel["title"], 13, TEXT, "start", ' font-weight="500"'),
            *drawn,
            "</g>",
        ]
    return "\n".join([*parts, "</svg>\n"]), faults


def fault(panel, results, quiet):
    """What is wrong with the data of a panel, if anything."""
    if not any(results):
        yield f"{panel['title']}: no data"
        return
    is_flat = all(value == 0 for found in results for one in found for _, value in one.points)
    if is_flat and panel["title"] not in quiet:
        yield f"{panel['title']}: nothing but zero"


def stamp(at):
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def draw_all(source, folder, quiet=()):
    """Writes a picture of each dashboard, and returns the faults of all."""
    faults = []
    for file in sorted(DASHBOARDS.glob("*.json")):
        picture, found = draw(json.loads(file.read_text()), source, quiet)
        pathlib.Path(folder, f"night-{file.stem}.svg").write_text(picture)
        faults += [f"{file.stem}: {fault}" for fault in found]
    return faults


if __name__ == "__main__":
    url, start, end, folder = sys.argv[1:]
    sys.exit("\n".join(draw_all(Source(url, float(start), float(end)), folder)))
