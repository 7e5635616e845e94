#!/usr/bin/env python3
"""Draws the topologies of operations.md: pictures/topology-*.svg. Run it again after a change; the
deployment checks compare."""

import pathlib
from dataclasses import dataclass
from html import escape

PICTURES = pathlib.Path(__file__).resolve().parent / "pictures"
WIDTH, HEIGHT = 154, 58  # of a box
COLUMN, ROW, MARGIN = 250, 100, 16
STACK = 6  # shift of the boxes that lie behind one of several
FILL = {"ours": "#5a35c8", "store": "#0d6b46", "other": "#5b7083", "people": "#1d1b26"}


@dataclass
class Box:
    """A part of an installation, at a column and a row."""

    title: str
    note: str
    kind: str
    column: float
    row: float
    several: bool = False

    @property
    def middle(self):
        x = MARGIN + self.column * COLUMN + WIDTH / 2
        return x, MARGIN + self.row * ROW + HEIGHT / 2

    def border(self, towards):
        """Where a line from the middle to a point leaves the box."""
        (x, y), (to_x, to_y) = self.middle, towards
        dx, dy = to_x - x, to_y - y
        behind = 2 * STACK if self.several else 0
        half_width = WIDTH / 2 + 3 + (behind if dx > 0 else 0)
        half_height = HEIGHT / 2 + 3 + (behind if dy > 0 else 0)
        reach = min(
            half_width / abs(dx) if dx else float("inf"),
            half_height / abs(dy) if dy else float("inf"),
        )
        return x + dx * reach, y + dy * reach

    def draw(self):
        x, y = self.middle[0] - WIDTH / 2, self.middle[1] - HEIGHT / 2
        fill = FILL[self.kind]
        for shift in (2 * STACK, STACK) if self.several else ():
            yield (
                f'<rect x="{x + shift:g}" y="{y + shift:g}" width="{WIDTH}" height="{HEIGHT}" rx="8"'
                f' fill="{fill}" stroke="#fff" stroke-width="1.5"/>'
            )
        yield (
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{fill}"'
            f' stroke="#fff" stroke-width="1.5"/>'
        )
        yield text(x + WIDTH / 2, y + 25, self.title, 'font-weight="bold" fill="#fff"')
        yield text(x + WIDTH / 2, y + 43, self.note, 'font-size="12" fill="#fff"')


def text(x, y, words, style):
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" {style}>{escape(words)}</text>'


def arrow(start, end, label):
    (x1, y1), (x2, y2) = start.border(end.middle), end.border(start.middle)
    yield (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#5d596b"'
        f' stroke-width="1.5" marker-end="url(#tip)"/>'
    )
    if label:
        # Beside an upright line, above one that is level or rises, below one that falls.
        is_upright = abs(x1 - x2) < abs(y1 - y2)
        x = (x1 + x2) / 2 + (8 if is_upright else 0)
        y = (y1 + y2) / 2 + (4 if is_upright else 20 if y2 > y1 else -7 if y1 == y2 else -12)
        anchor = "start" if is_upright else "middle"
        yield text(x, y, label, f'style="text-anchor: {anchor}" font-size="12" fill="#1d1b26"')


def draw(about, boxes, arrows):
    """The picture: boxes by their names, and arrows as start, end and label."""
    shift = 2 * STACK
    width = MARGIN * 2 + max(box.column for box in boxes.values()) * COLUMN + WIDTH + shift
    height = MARGIN * 2 + max(box.row for box in boxes.values()) * ROW + HEIGHT + shift
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
        f' width="{width:g}" height="{height:g}"'
        f' font-family="sans-serif" font-size="14" role="img" aria-label="{escape(about)}">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto"><path d="M0 0L8 4L0 8z" fill="#5d596b"/></marker></defs>',
        f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>',
    ]
    for box in boxes.values():
        parts += box.draw()
    for start, end, label in arrows:
        parts += arrow(boxes[start], boxes[end], label)
    return "\n".join([*parts, "</svg>\n"])


def pictures():
    fans = Box("Fans", "browsers", "people", 0, 0)
    proxy = Box("TLS terminator", "nginx, Caddy, a cloud's", "other", 1, 0)
    yield "one-process", draw(
        "One process: fans, a TLS terminator, fairline with its data folder",
        {
            "fans": fans,
            "proxy": proxy,
            "fairline": Box("fairline", "line and seats", "ours", 2, 0),
            "data": Box("Data folder", "SQLite, keys", "store", 3, 0),
        },
        [
            ("fans", "proxy", "https"),
            ("proxy", "fairline", ":8080"),
            ("fairline", "data", ""),
        ],
    )
    yield "stores", draw(
        "One process with stores: fairline on Redis and Postgres",
        {
            "fans": Box("Fans", "browsers", "people", 0, 0.5),
            "proxy": Box("TLS terminator", "nginx, Caddy, a cloud's", "other", 1, 0.5),
            "fairline": Box("fairline", "line and seats", "ours", 2, 0.5),
            "redis": Box("Redis", "the line", "store", 3, 0),
            "postgres": Box("Postgres", "the seats", "store", 3, 1),
        },
        [
            ("fans", "proxy", "https"),
            ("proxy", "fairline", ":8080"),
            ("fairline", "redis", ""),
            ("fairline", "postgres", ""),
        ],
    )
    yield "nodes", draw(
        "Many nodes: nginx before waiting rooms on Redis and checkouts on Postgres",
        {
            "fans": Box("Fans", "browsers", "people", 0, 0.75),
            "front": Box("nginx", "paths, limits, TLS", "other", 1, 0.75, several=True),
            "room": Box("waiting-room", "pages, sockets", "ours", 2, 0, several=True),
            "checkout": Box("checkout", "holds, orders, payments", "ours", 2, 1.5, several=True),
            "redis": Box("Redis", "Sentinels or a cluster", "store", 3, 0, several=True),
            "postgres": Box("Postgres", "the seats", "store", 3, 1.5),
            "copy": Box("Postgres copy", "lists and figures", "store", 4, 1.5),
        },
        [
            ("fans", "front", "https"),
            ("front", "room", "the line"),
            ("front", "checkout", "the seats"),
            ("room", "redis", ""),
            ("checkout", "postgres", ""),
            ("postgres", "copy", ""),
            ("checkout", "room", "slots, seats left"),
        ],
    )
    yield "line-alone", draw(
        "The line alone: a gate in the nginx before a shop asks the waiting rooms",
        {
            "fans": Box("Fans", "browsers", "people", 0, 0.5),
            "front": Box("nginx", "asks the gate", "other", 1, 0.5, several=True),
            "room": Box("waiting-room", "pages, sockets, gate", "ours", 2, 0, several=True),
            "redis": Box("Redis", "or embedded, one node", "store", 3, 0),
            "shop": Box("Your shop", "as it is", "other", 2, 1.1),
        },
        [
            ("fans", "front", "https"),
            ("front", "room", "who may?"),
            ("front", "shop", "they enter"),
            ("room", "redis", ""),
        ],
    )
    yield "kubernetes", draw(
        "Kubernetes: a Gateway, front, waiting rooms and checkouts that scale, stores, monitoring",
        {
            "fans": Box("Fans", "browsers", "people", 0, 1),
            "gateway": Box("Ingress, Gateway", "TLS by cert-manager", "other", 1, 1),
            "front": Box("front", "nginx, 3 to 20", "other", 2, 1, several=True),
            "room": Box("waiting-room", "3 to 20, spot machines", "ours", 3, 0.35, several=True),
            "checkout": Box("checkout", "3 to 20, spot machines", "ours", 3, 1.65, several=True),
            "redis": Box("Redis", "reserved machines", "store", 4, 0.35),
            "postgres": Box("Postgres", "reserved machines", "store", 4, 1.65),
            "keda": Box("HPA or KEDA", "line, sockets, next sale", "other", 2, 2.9),
            "prometheus": Box("Prometheus", "figures and alerts", "other", 3, 2.9),
        },
        [
            ("fans", "gateway", "https"),
            ("gateway", "front", ""),
            ("front", "room", ""),
            ("front", "checkout", ""),
            ("room", "redis", ""),
            ("checkout", "postgres", ""),
            ("prometheus", "checkout", ":9464"),
            ("keda", "prometheus", ""),
            ("keda", "front", "pods"),
        ],
    )


if __name__ == "__main__":
    for name, picture in pictures():
        (PICTURES / f"topology-{name}.svg").write_text(picture)
