"""The network policies of k8s/, evaluated: who reaches whom."""

import ipaddress
import unittest

from common import RENDERINGS, WITH_CDN, WITH_NOTIFIER, of_kind
from test_manifests import pods, selects

# A selector that selects no pod.
NONE = {"matchLabels": {"no": "pod"}}


def contains(block, address):
    """Whether an ipBlock of a policy has an address."""
    nets = [ipaddress.ip_network(text) for text in (block["cidr"], *block.get("except", []))]
    return address in nets[0] and not any(address in net for net in nets[1:])


class Policies(unittest.TestCase):
    def test_traffic_that_the_parts_need_is_allowed_and_the_rest_is_not(self):
        for overlay in RENDERINGS:
            labels = {d["metadata"]["name"]: t["metadata"]["labels"] for d, t in pods(overlay)}
            policies = [d["spec"] for d in of_kind(overlay, "NetworkPolicy")]

            def allows(source, target, port):
                out = any(
                    selects(rule_of["podSelector"], labels[source])
                    and any(
                        selects(to.get("podSelector", NONE), labels[target])
                        and "namespaceSelector" not in to
                        for to in rule.get("to", [])
                    )
                    and any(p["port"] == port for p in rule["ports"])
                    for rule_of in policies
                    for rule in rule_of.get("egress", [])
                )
                into = any(
                    selects(rule_of["podSelector"], labels[target])
                    and any(
                        "podSelector" in f
                        and "namespaceSelector" not in f
                        and selects(f["podSelector"], labels[source])
                        for f in rule["from"]
                    )
                    and any(p["port"] == port for p in rule["ports"])
                    for rule_of in policies
                    for rule in rule_of.get("ingress", [])
                )
                return out and into

            wanted = {
                ("front", "waiting-room", 8080),
                ("front", "checkout", 8080),
                ("waiting-room", "checkout", 8080),
                ("checkout", "waiting-room", 8080),
            }
            if overlay == "small":
                wanted |= {("waiting-room", "redis", 6379), ("checkout", "postgres", 5432)}
            if overlay == WITH_NOTIFIER:
                wanted |= {("notifier", "waiting-room", 8080), ("notifier", "checkout", 8080)}
            every = {
                (a, b, p)
                for a in labels
                for b in labels
                for p in (8080, 9464, 6379, 5432)
                if a != b
            }
            self.assertEqual({way for way in every if allows(*way)}, wanted, overlay)
            # From other namespaces: the entrance to the front, Prometheus to the operations port.
            outside = {
                (*source["namespaceSelector"]["matchLabels"].items(), target, port["port"])
                for policy in policies
                for rule in policy.get("ingress", [])
                for source in rule.get("from", [])
                for port in rule["ports"]
                for target in labels
                if "namespaceSelector" in source and selects(policy["podSelector"], labels[target])
            }
            entrance = ("fairline.example/entrance", "true")
            monitoring = ("kubernetes.io/metadata.name", "monitoring")
            expected = {
                (entrance, "front", 8080),
                (monitoring, "waiting-room", 9464),
                (monitoring, "checkout", 9464),
            }
            if overlay == WITH_NOTIFIER:
                expected.add((monitoring, "notifier", 9464))
            self.assertEqual(outside, expected, overlay)
            # A gateway's pods in this namespace reach the front alone.
            labels = {**labels, "gateway": {"gateway.networking.k8s.io/gateway-name": "fairline"}}
            reached = {part for part in labels if any(
                selects(policy["podSelector"], labels[part]) and port["port"] == 8080
                for policy in policies
                for rule in policy.get("ingress", [])
                for source in rule.get("from", [])
                for port in rule["ports"]
                if "namespaceSelector" not in source and selects(source.get("podSelector", NONE), labels["gateway"])
            )}
            self.assertEqual(reached, set() if overlay == "small" else {"front"})
            deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
            self.assertIn(deny, policies)


    def test_purges_alone_leave_for_public_addresses_and_only_with_the_component_for_them(self):
        for overlay in RENDERINGS:
            labels = {d["metadata"]["name"]: t["metadata"]["labels"] for d, t in pods(overlay)}
            policies = [d["spec"] for d in of_kind(overlay, "NetworkPolicy")]

            def leaves(pod, address, port):
                address = ipaddress.ip_address(address)
                return any(
                    selects(policy["podSelector"], labels[pod])
                    and any(p["port"] == port for p in rule["ports"])
                    and any(contains(to["ipBlock"], address) for to in rule["to"] if "ipBlock" in to)
                    for policy in policies
                    for rule in policy.get("egress", [])
                )

            public = ("151.101.1.1", "2606:4700::1")
            private = ("10.1.2.3", "169.254.169.254", "172.20.0.1", "192.168.1.1", "fd00::1")
            found = {(pod, a) for pod in labels for a in (*public, *private) if leaves(pod, a, 443)}
            purging = ("waiting-room", "checkout") if overlay == WITH_CDN else ()
            expected = {(pod, a) for pod in purging for a in public}
            if overlay == WITH_NOTIFIER:
                # Its broker, programme and search engine may be anywhere.
                expected |= {("notifier", a) for a in (*public, *private)}
            self.assertEqual(found, expected, overlay)
            for pod in purging:
                container = next(d for d, _ in pods(overlay) if d["metadata"]["name"] == pod)
                container = container["spec"]["template"]["spec"]["containers"][0]
                self.assertIn("FAIRLINE_PURGE_HEADER_FILE", [e["name"] for e in container["env"]])
        settings = [d["data"] for d in of_kind(WITH_CDN, "ConfigMap")]
        (settings,) = [data for data in settings if "FAIRLINE_PURGE_URL" in data]
        self.assertIn("FAIRLINE_PUBLIC_URL", settings)


if __name__ == "__main__":
    unittest.main()
