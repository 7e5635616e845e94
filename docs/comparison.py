#!/usr/bin/env python3
"""Writes the table of docs/comparison.md and its plot from what `loadtest seats --json` printed."""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
NAMES = {"for-update": "`for-update`", "skip-locked": "`skip-locked`", "optimistic": "`optimistic`", "redis-lock": "`redis-lock`",
         "redis-counter": "`redis-counter`", "queue": "`queue`", "combined": "**`combined`**", "combined,_two_nodes": "**`combined`, two nodes**"}


def number(value):
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def kill(line, store):
    if store not in line:
        return "–"
    lost, double = line[store]["lost"], line[store]["double"]
    said = [f"{number(lost)} orders lost"] * bool(lost) + [f"{number(double)} seats sold twice"] * bool(double)
    return ", ".join(said) or "nothing"


def table(lines):
    rows = ["| strategy | seats/s | to `for-update` | p50 | p99 | refusals | Postgres killed half way | Redis killed half way |", "|---|---|---|---|---|---|---|---|"]
    base = lines["for-update"]["seats_per_second"]
    for key, name in NAMES.items():
        line = lines.get(key)
        if line:
            rows.append(f"| {name} | {number(line['seats_per_second'])} | {line['seats_per_second'] / base:.1f} | {number(line['p50_ms'])} ms | {number(line['p99_ms'])} ms "
                        f"| {number(line['refusals'])} | {kill(line, 'postgres_killed')} | {kill(line, 'redis_killed')} |")
    return "\n".join(rows)


def plot(lines):
    keys = [key for key in NAMES if key in lines]
    most = max(lines[key]["seats_per_second"] for key in keys)
    height = 44 * len(keys) + 60
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {height}" font-family="sans-serif" font-size="14" role="img" '
             f'aria-label="Seats sold a second by strategy">', f'<rect width="860" height="{height}" fill="#fff"/>',
             '<text x="20" y="28" font-size="16" font-weight="bold">Seats sold a second in the same contended sale, and p99</text>']
    for at, key in enumerate(keys):
        line, y = lines[key], 48 + at * 44
        width = 520 * line["seats_per_second"] / most
        killed = [line.get(store, {}) for store in ("postgres_killed", "redis_killed")]
        is_safe = not any(store.get("lost") or store.get("double") for store in killed)
        color = "#0b6e4f" if key.startswith("combined") else "#5b7083" if is_safe else "#b3261e"
        flaws = ["loses orders"] * any(store.get("lost") for store in killed) + ["sells twice"] * any(store.get("double") for store in killed)
        label = ", ".join([f"{number(line['seats_per_second'])} /s", f"{number(line['p99_ms'])} ms"] + flaws)
        inside = width > 360
        parts.append(f'<text x="160" y="{y + 20}" text-anchor="end">{key.replace(",_", ", ").replace("_", " ")}</text>')
        parts.append(f'<rect x="170" y="{y}" width="{width:.0f}" height="30" rx="3" fill="{color}"/>')
        x, anchor, fill = (170 + width - 8, "end", "#fff") if inside else (178 + width, "start", "#111")
        parts.append(f'<text x="{x:.0f}" y="{y + 20}" text-anchor="{anchor}" fill="{fill}">{label}</text>')
    return "\n".join(parts + ["</svg>\n"])


def main():
    lines = json.load(sys.stdin)
    page = HERE / "comparison.md"
    text = page.read_text()
    begin, end = "<!-- table -->\n", "<!-- end of table -->"
    head, rest = text.split(begin)
    page.write_text(head + begin + table(lines) + "\n" + end + rest.split(end)[1])
    (HERE / "pictures" / "comparison.svg").write_text(plot(lines))


main()
