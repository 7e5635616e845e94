#!/usr/bin/env python3
"""Replays a flash sale against the autoscalers of the manifests: does capacity come in time?

The waiting room in steps of one second: fans arrive and keep a socket each, nodes hold so many
sockets, an autoscaler looks every 15 seconds at figures that are some seconds old, and a new pod
takes its time. The algorithm is the one that Kubernetes documents for the HorizontalPodAutoscaler
(ratio, tolerance, pods without figures, policies, stabilisation), which KEDA drives with its
triggers. Each case is run for all 15 phases of the autoscaler's clock, and the worst counts. Prints
the table that stands in k8s/README.md.
"""

import math
from dataclasses import dataclass, field

# Measured (docs/performance.md).
SOCKETS_OF_A_NODE = 18_000  # with a limit of 20,000 open files
BYTES_OF_A_FAN = 3_947
BYTES_AT_REST = 37_000_000  # resident, of the debug build; the real one takes less
CORES_OF_A_FAN = 0.056 / 18_000  # waiting
CORES_OF_A_JOIN = 2 / 29_800  # a second; with the load generator on the same cores

# The manifests (k8s/base/waiting-room.yaml, k8s/components/hpa, k8s/components/keda); the checks
# compare them.
CPU_REQUEST, MEMORY_REQUEST = 0.5, 104 * 1024 * 1024
CPU_TARGET, MEMORY_TARGET = 0.70, 0.80
FANS_TARGET = 12_000  # waiting, and sockets, for each pod
REPLICAS_MIN, REPLICAS_MAX = 3, 20
PRE_SCALE = 10
UP_PERCENT, UP_PODS, UP_SECONDS = 100, 4, 15
DOWN_PODS, DOWN_SECONDS, DOWN_WINDOW = 1, 60, 600

# Kubernetes' defaults, and how old figures are.
SYNC_SECONDS, TOLERANCE = 15, 0.1
RESOURCE_AGE = 15  # the metrics server's resolution
LINE_AGE = 10  # nodes set their gauges every 5 s, Prometheus scrapes every 5 s
POD_START = 8  # scheduled, started, ready: the image is there and the machine has room
MACHINE_START = 90  # where the cluster has to start a machine first

FANS, RAMP_SECONDS, HOLD_SECONDS = 100_000, 60, 600


def demand(second):
    """Fans who want a socket: from 0 to 100,000 in a minute, and they stay."""
    return round(FANS * min(1, max(0, second) / RAMP_SECONDS))


@dataclass
class Pod:
    ready_at: int
    sockets: int = 0


@dataclass
class Night:
    """One run: which triggers there are, how many pods the machines that run already have room for, when a pod is lost."""

    by_line: bool
    pre_scale: bool
    room: int
    phase: int
    lost_at: int | None = None
    pods: list = field(default_factory=lambda: [Pod(-10_000) for _ in range(REPLICAS_MIN)])
    connected: dict = field(default_factory=dict)
    joined: dict = field(default_factory=dict)
    events: list = field(default_factory=list)
    recommended: list = field(default_factory=list)
    short_seconds: int = 0
    short_most: int = 0
    pods_most: int = REPLICAS_MIN

    def run(self):
        for second in range(-300, RAMP_SECONDS + HOLD_SECONDS):
            if second == self.lost_at:
                self.pods.pop(0)
                self.start(second, 1)
            self.connect(second)
            short = demand(second) - sum(pod.sockets for pod in self.ready(second))
            self.short_seconds += short > 0
            self.short_most = max(self.short_most, short)
            if second % SYNC_SECONDS == self.phase:
                self.scale(second)
            self.pods_most = max(self.pods_most, len(self.pods))
        return self

    def ready(self, second):
        return [pod for pod in self.pods if pod.ready_at <= second]

    def connect(self, second):
        """Fans without a socket go to the nodes with the fewest (least_conn), as long as these have room."""
        ready = self.ready(second)
        missing = demand(second) - sum(pod.sockets for pod in ready)
        for pod in sorted(ready, key=lambda pod: pod.sockets):
            # Fill up to the level that all would have, the emptiest first.
            level = min(SOCKETS_OF_A_NODE, math.ceil(demand(second) / len(ready)))
            more = max(0, min(missing, level - pod.sockets))
            pod.sockets += more
            missing -= more
        for pod in ready:
            more = max(0, min(missing, SOCKETS_OF_A_NODE - pod.sockets))
            pod.sockets += more
            missing -= more
        before = self.connected.get(second - 1, 0)
        self.connected[second] = sum(pod.sockets for pod in ready)
        self.joined[second] = max(0, self.connected[second] - before)

    def scale(self, second):
        """One look of the autoscaler: the highest of its metrics, held back by the stabilisation and the policies."""
        now = len(self.pods)
        wanted = max([self.by_resources(second), *self.by_triggers(second)])
        wanted = min(REPLICAS_MAX, max(REPLICAS_MIN, wanted))
        self.recommended.append((second, wanted))
        if wanted < now:
            wanted = min(now, max(w for at, w in self.recommended if at > second - DOWN_WINDOW))
        if wanted > now:
            began = now - self.changed(second, UP_SECONDS, 1)
            wanted = min(wanted, max(math.ceil(began * (1 + UP_PERCENT / 100)), began + UP_PODS))
            wanted = max(wanted, now)
        elif wanted < now:
            began = now + self.changed(second, DOWN_SECONDS, -1)
            wanted = min(now, max(wanted, began - DOWN_PODS))
        if wanted > now:
            self.start(second, wanted - now)
        while len(self.pods) > wanted:
            self.pods.pop()
        self.events.append((second, wanted - now))

    def changed(self, second, seconds, sign):
        """Pods added (or removed) within the last seconds."""
        return sum(sign * by for at, by in self.events if at > second - seconds and sign * by > 0)

    def start(self, second, count):
        for _ in range(count):
            wait = POD_START + (0 if len(self.pods) < self.room else MACHINE_START)
            self.pods.append(Pod(second + wait))

    def by_resources(self, second):
        """Pods that processor and memory ask for. Pods without figures count as idle, so that they hold a rise back."""
        now, seen = len(self.pods), second - RESOURCE_AGE
        known = len([pod for pod in self.pods if pod.ready_at <= seen])
        fans, joins = self.connected.get(seen, 0), self.joined.get(seen, 0)
        cores = fans * CORES_OF_A_FAN + joins * CORES_OF_A_JOIN
        memory = known * BYTES_AT_REST + fans * BYTES_OF_A_FAN
        wanted = 0
        for used, request, target in (
            (cores, CPU_REQUEST, CPU_TARGET),
            (memory, MEMORY_REQUEST, MEMORY_TARGET),
        ):
            ratio = used / (max(1, known) * request) / target
            if ratio > 1:
                ratio = used / (now * request) / target
                wanted = max(wanted, now if ratio <= 1 + TOLERANCE else math.ceil(ratio * now))
            else:
                wanted = max(wanted, now if ratio >= 1 - TOLERANCE else math.ceil(ratio * now))
        return wanted

    def by_triggers(self, second):
        """Pods that KEDA's triggers ask for: the line, the sockets, the clock. In a flash sale all who joined wait."""
        now = len(self.pods)
        if self.by_line:
            for figure in (demand(second - LINE_AGE), self.connected.get(second - LINE_AGE, 0)):
                ratio = figure / (FANS_TARGET * now)
                yield now if abs(ratio - 1) <= TOLERANCE else math.ceil(figure / FANS_TARGET)
        if self.pre_scale:
            yield PRE_SCALE


CASES = (
    ("processor and memory", dict(by_line=False, pre_scale=False)),
    ("… and the line and the sockets", dict(by_line=True, pre_scale=False)),
    ("… and the pre-scale", dict(by_line=True, pre_scale=True)),
    (
        "… and the pre-scale, a pod lost at its peak",
        dict(by_line=True, pre_scale=True, lost_at=RAMP_SECONDS),
    ),
)


def worst(case, room):
    """The worst of all phases: seconds in which fans stood outside, the most of them, and the most pods."""
    nights = [Night(phase=phase, room=room, **case).run() for phase in range(SYNC_SECONDS)]
    longest = max(night.short_seconds for night in nights)
    return (
        longest,
        max(night.short_most for night in nights),
        max(night.pods_most for night in nights),
    )


def table():
    lines = [
        "| scaling by | machines | seconds with fans outside | the most of them | pods |",
        "|---|---|---|---|---|",
    ]
    for label, case in CASES:
        for machines, room in (("there", REPLICAS_MAX), ("to be started, 90 s", REPLICAS_MIN)):
            seconds, fans, pods = worst(case, room)
            lines.append(f"| {label} | {machines} | {seconds} | {fans:,} | {pods} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
