"""The manifests' own settings and configuration files, run as processes: Redis, Postgres, nodes, and nginx with a DNS in front."""

import http.server
import pathlib
import sys
import threading
import time
import unittest

from common import ROOT, environment, of_kind, run
from containers import NGINX, substitute
from processes import Names, Processes, buy, call, free_port, organise, until, watch

FRONT = ROOT / "k8s/base/front"
KEY = "deployment-organiser-key-0123456789"
NOBODY = 65534
SUBSTITUTED = ("NGINX_LOCAL_RESOLVERS", "WAITING_ROOM", "CHECKOUT")


def start_front(processes, names, waiting_room, checkout, own_network="127.0.0.0/8"):
    """nginx with the configuration of the manifests, as nobody; its URL. The network of the test counts as one of the cluster's."""
    port, folder = free_port(), processes.folder / "front"
    folder.mkdir()
    values = dict(zip(SUBSTITUTED, (f"127.0.0.1:{names.port}", waiting_room, checkout)))
    text = substitute((FRONT / "fairline.conf.template").read_text(), values)
    text = text.replace("/tmp/", f"{folder}/").replace("listen 8080;", f"listen 127.0.0.1:{port};")
    (folder / "fairline.conf").write_text(
        text.replace("set_real_ip_from 10.0.0.0/8;", f"set_real_ip_from {own_network};")
    )
    main = (
        (FRONT / "nginx.conf")
        .read_text()
        .replace("/tmp/", f"{folder}/")
        .replace("/etc/nginx/conf.d/", f"{folder}/")
    )
    (folder / "nginx.conf").write_text(main)
    run("chown", "-R", f"{NOBODY}:{NOBODY}", folder)
    processes.start(
        "front",
        NGINX,
        "-e",
        "stderr",
        "-p",
        folder,
        "-c",
        folder / "nginx.conf",
        "-g",
        "daemon off;",
        user=NOBODY,
    )
    url = f"http://127.0.0.1:{port}"
    until(lambda: call(url)[0] > 0, says=lambda: processes.log("front"))
    return url


def start_redis(processes, password):
    maps = {
        d["metadata"]["name"].rsplit("-", 1)[0]: d["data"] for d in of_kind("small", "ConfigMap")
    }
    path, data, port = processes.folder / "redis.conf", processes.folder / "redis", free_port()
    data.mkdir()
    path.write_text(maps["redis"]["redis.conf"].replace("dir /data", f"dir {data}"))
    processes.start(
        "redis",
        "redis-server",
        path,
        "--requirepass",
        password,
        "--bind",
        "127.0.0.1",
        "--port",
        port,
    )
    until(
        lambda: "Ready to accept connections" in processes.log("redis"),
        says=lambda: processes.log("redis"),
    )
    return f"redis://default:{password}@127.0.0.1:{port}"


def start_postgres(processes, password):
    maps = {
        d["metadata"]["name"].rsplit("-", 1)[0]: d["data"] for d in of_kind("small", "ConfigMap")
    }
    programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    folder, port = processes.folder / "postgres", free_port()
    folder.mkdir()
    (folder / "postgresql.conf").write_text(
        maps["postgres"]["postgresql.conf"].replace("512MB", "32MB")
    )
    (folder / "password").write_text(password)
    run("chown", "-R", f"{NOBODY}:{NOBODY}", folder)
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    run(
        *as_nobody,
        programs / "initdb",
        "-D",
        folder / "data",
        "-U",
        "fairline",
        "--auth=scram-sha-256",
        f"--pwfile={folder}/password",
        "--no-sync",
    )
    options = [
        "-c",
        f"config_file={folder}/postgresql.conf",
        "-c",
        f"port={port}",
        "-c",
        "listen_addresses=127.0.0.1",
        "-k",
        folder,
    ]
    processes.start("postgres", programs / "postgres", "-D", folder / "data", *options, user=NOBODY)
    until(
        lambda: "ready to accept connections" in processes.log("postgres"),
        says=lambda: processes.log("postgres"),
    )
    return f"postgres://fairline:{password}@127.0.0.1:{port}/postgres"


def time_to_drain(part):
    """Seconds between SIGTERM and SIGKILL."""
    pod = next(d for d in of_kind("small", "Deployment") if d["metadata"]["name"] == part)["spec"][
        "template"
    ]["spec"]
    return (
        pod["terminationGracePeriodSeconds"]
        - pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    )


class Site(unittest.TestCase):
    def open(
        self,
        processes,
        parts,
        front,
        checkout="http://checkout:8080",
        waiting_room="http://waiting-room:8080",
    ):
        """Two nodes of each part with these variables, and nginx; its URL, the DNS, and the port of all nodes."""
        port = free_port()
        # The addresses of Services, in place of a DNS for the programs.
        self.assertEqual(parts["waiting-room"].pop("FAIRLINE_CHECKOUT"), checkout)
        self.assertEqual(parts["checkout"].pop("FAIRLINE_WAITING_ROOM"), waiting_room)
        parts["waiting-room"]["FAIRLINE_CHECKOUT"] = f"http://127.0.2.1:{port}"
        parts["checkout"]["FAIRLINE_WAITING_ROOM"] = f"http://127.0.1.1:{port}"
        for part, network in (("waiting-room", "127.0.1"), ("checkout", "127.0.2")):
            for number in (1, 2):
                processes.node(part, f"{network}.{number}:{port}", parts[part])
        hosts = [
            front[part].replace("$(NAMESPACE)", "fairline") for part in ("WAITING_ROOM", "CHECKOUT")
        ]
        addresses = (["127.0.1.1", "127.0.1.2"], ["127.0.2.1", "127.0.2.2"])
        names = Names(
            {host.removesuffix(":8080"): list(found) for host, found in zip(hosts, addresses)}
        )
        self.addCleanup(names.close)
        url = start_front(processes, names, *(host.replace(":8080", f":{port}") for host in hosts))
        until(lambda: call(f"{url}/api/v1/events")[0] == 200, says=lambda: processes.log("front"))
        organise(url, KEY)
        return url, names, port

    def test_the_small_overlays_settings_sell_seats_lose_a_node_find_a_new_one_and_know_each_address(
        self,
    ):
        with Processes() as processes:
            secrets = {
                "line": start_redis(processes, "redis-password-of-the-checks"),
                "inventory": start_postgres(processes, "postgres-password-of-the-checks"),
                "personal-keys": "0123456789abcdef" * 4,
                "pass-secret": "pass-0123456789abcdef0123456789abcdef",
                "service-key": "service-0123456789abcdef0123456789abcdef",
                "organiser-key": KEY,
            }
            parts = {
                part: environment("small", part, secrets, processes.folder)
                for part in ("waiting-room", "checkout")
            }
            url, names, port = self.open(processes, parts, environment("small", "front", {}))
            buy(url, X_Forwarded_For="203.0.113.7")

            # A pod that is told to go has told its sockets to come back, and ended well, before the
            # kubelet would kill it.
            path = "/api/v1/events/night/line"
            passes = [
                call(f"{url}{path}", "POST", {}, X_Forwarded_For=f"203.0.113.{fan + 30}")[1]["pass"]
                for fan in range(6)
            ]
            sockets = [watch(url, f"{path}/ws", word) for word in passes]
            self.addCleanup(lambda: [socket.close() for socket in sockets])
            for part, address in (("waiting-room", "127.0.1.2"), ("checkout", "127.0.2.2")):
                began = time.monotonic()
                self.assertEqual(processes.end(f"{part}-{address}:{port}"), 0)
                self.assertLess(time.monotonic() - began, time_to_drain(part))
            said = [socket.recv(65536) for socket in sockets]
            self.assertTrue(any(b"reconnect" in text for text in said), said)
            buy(url, X_Forwarded_For="203.0.113.9")
            for part, address in (("waiting-room", "127.0.1.2"), ("checkout", "127.0.2.2")):
                processes.node(part, f"{address}:{port}", parts[part])

            # A pod that is killed is passed over at once.
            processes.end(f"waiting-room-127.0.1.2:{port}", 9)
            for fan in range(4):
                buy(url, X_Forwarded_For=f"203.0.113.{fan + 10}")
            # A new one gets its share once the DNS names it.
            names.names["waiting-room-nodes.fairline.svc.cluster.local"] = [
                "127.0.1.1",
                "127.0.1.3",
            ]
            ops = processes.node("waiting-room", f"127.0.1.3:{port}", parts["waiting-room"])

            def is_reached():
                call(f"{url}/api/v1/events/night", X_Forwarded_For="203.0.113.8")
                return 'route="/api/v1/events/{event}",status="200"' in call(f"{ops}/metrics")[1]

            until(is_reached)

            # The limit on joins is one of each address, whatever a client claims in front of what
            # the entrance wrote.
            join = lambda address: call(
                f"{url}/api/v1/events/night/line", "POST", {}, X_Forwarded_For=address
            )[0]
            statuses = [join("198.51.100.66") for _ in range(70)]
            self.assertIn(429, statuses)
            self.assertEqual(join("203.0.113.99, 198.51.100.66"), 429)
            self.assertEqual(join("198.51.100.66, 203.0.113.99"), 201)


class Paths(unittest.TestCase):
    def test_the_front_is_nginx_fairline_conf_but_for_its_upstreams(self):
        ours = (ROOT / "nginx/fairline.conf").read_text()
        theirs = (FRONT / "fairline.conf.template").read_text()
        rest = lambda text: text[text.index("limit_req_zone") :].replace(
            "/tmp/static_cache", "static_cache"
        )
        self.assertEqual(rest(theirs), rest(ours))

    def test_nginx_passes_every_path_of_a_service_to_that_service(self):
        with Processes() as processes:
            port = free_port()
            servers = {"waiting-room": "127.0.1.1", "checkout": "127.0.2.1"}
            paths = {}
            secrets = {
                "FAIRLINE_PASS_SECRET": "pass-0123456789abcdef0123456789abcdef",
                "FAIRLINE_SERVICE_KEY": "service-0123456789abcdef0123456789abcdef",
            }
            for part, address in servers.items():
                more = (
                    {"FAIRLINE_WAITING_ROOM": f"http://127.0.0.1:{port}"}
                    if part == "checkout"
                    else {}
                )
                processes.node(part, f"{address}:{port}", {**secrets, **more})
                document = call(f"http://{address}:{port}/api/openapi.json")[1]
                paths[part] = [path.replace("{", "").replace("}", "") for path in document["paths"]]
                processes.end(f"{part}-{address}:{port}", 9)
            # Pages are not in the documents of the API.
            paths["waiting-room"] += [
                "/",
                "/organiser",
                "/e/event",
                "/e/event/join",
                "/e/event/leave",
                "/e/event/draw",
                "/static/api.js",
                "/gate/event",
            ]
            paths["checkout"] += [
                "/e/event/seats",
                "/e/event/unsubscribe",
                "/orders",
                "/orders/order",
                "/door/event",
                "/door/worker.js",
            ]
            for part, address in servers.items():
                server = stub(part, address, port)
                self.addCleanup(server.server_close)
                self.addCleanup(server.shutdown)
            names = Names({"waiting-room": ["127.0.1.1"], "checkout": ["127.0.2.1"]})
            self.addCleanup(names.close)
            url = start_front(processes, names, f"waiting-room:{port}", f"checkout:{port}")
            # nginx asks the DNS for both once it runs.
            until(
                lambda: call(f"{url}/")[0] == 200 and call(f"{url}/orders/order")[0] == 200,
                says=lambda: processes.log("front"),
            )
            shared = set(paths["waiting-room"]) & set(paths["checkout"])
            decided = set().union(*SHARED.values())
            self.assertEqual(shared, decided, "paths of both services: decide whose nginx shows")
            for part in servers:
                for path in set(paths[part]) - (shared - SHARED[part]):
                    with self.subTest(path=path):
                        self.assertEqual(call(url + path)[1], part, processes.log("front"))


# Paths of the API that both services have, by whose nginx shows.
SHARED = {
    "waiting-room": {
        "/api/v1/organiser/session",
        "/api/v1/organiser/audit",
        "/api/v1/organiser/proxy-signs",
        "/api/v1/organiser/settings-warnings",
    },
    "checkout": {"/api/v1/currencies"},
}


def stub(part, address, port):
    """A server that answers every request with its name."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((address, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    sys.exit(unittest.main())
