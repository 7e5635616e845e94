"""A site as processes with everything twice: etcd, Patroni, HAProxy, Redis under Sentinels, waiting rooms, checkouts, nginx.
Postgres, HAProxy and nginx run with the configuration files of this repository, but for addresses."""

import contextlib
import os
import pathlib
import pwd
import re
import signal
import subprocess

from common import BINARIES, ROOT, run
from processes import Processes, call, free_port, until

KEY = "night-organiser-key-0123456789"
SECRET = "0123456789abcdef0123456789abcdef"
PASSWORD = "password-of-the-drills"
PROGRAMS = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
POSTGRES = pwd.getpwnam("postgres").pw_uid
NODES = 2
# Version of the data that a waiting room keeps in Redis.
CONNECTION = (ROOT / "waiting-room/src/line/redis/connection.rs").read_text()
FORMAT = int(re.search(r"FORMAT: i64 = (\d+)", CONNECTION).group(1))

# All fans come from one address.
SETTINGS = {
    "FAIRLINE_PASS_SECRET": f"pass-{SECRET}",
    "FAIRLINE_SERVICE_KEY": f"service-{SECRET}",
    "FAIRLINE_ORGANISER_KEY": KEY,
    "FAIRLINE_REQUESTS_PER_SECOND": "0",
    "FAIRLINE_JOINS_PER_MINUTE": "0",
    "FAIRLINE_VISITOR_REQUESTS_PER_SECOND": "0",
}


class Night(Processes):
    """The site. `addresses` gives each Postgres the port by which the other is told to follow it."""

    sync_state = "sync"

    def open(self, binaries=BINARIES, addresses=lambda port: port):
        self.binaries = {name: binaries for name in ("waiting-room", "checkout")}
        self.postgres_ports = [free_port() for _ in range(NODES)]
        self.apis = [free_port() for _ in range(NODES)]
        self.database = free_port()
        self.advertised = [addresses(port) for port in self.postgres_ports]
        self.start_etcd()
        for number in range(NODES):
            self.start_patroni(number)
        until(lambda: self.leader() is not None, 60, lambda: self.log("patroni-0"))
        self.start_haproxy()
        self.psql(f"create role fairline login password '{PASSWORD}'")
        self.psql("create database fairline owner fairline")
        until(lambda: self.replicas() == NODES - 1, 60, lambda: self.log("patroni-1"))
        self.start_redis()
        self.front = free_port()
        self.url = f"http://127.0.0.1:{self.front}"
        self.ports = {
            (program, number): free_port() for program in self.binaries for number in range(NODES)
        }
        self.start_nginx()
        for program, number in self.ports:
            self.start_node(program, number)
        until(lambda: call(f"{self.url}/api/v1/events")[0] == 200)
        return self

    def __exit__(self, *error):
        for number in range(NODES):
            self.kill_machine(number)
        super().__exit__(*error)

    # Postgres

    def start_etcd(self):
        client, peer = free_port(), free_port()
        self.etcd = f"127.0.0.1:{client}"
        urls = f"http://{self.etcd}", f"http://127.0.0.1:{peer}"
        self.start(
            "etcd",
            "etcd",
            "--data-dir",
            self.folder / "etcd",
            *("--listen-client-urls", urls[0], "--advertise-client-urls", urls[0]),
            *("--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1]),
            *("--initial-cluster", f"default={urls[1]}"),
        )
        until(lambda: call(f"{urls[0]}/health")[0] == 200, says=lambda: self.log("etcd"))

    def patroni_settings(self):
        """The file of the repository; a drill may change what it returns."""
        text = (ROOT / "patroni/patroni.yml").read_text()
        return text.replace("10.0.0.0/8", "127.0.0.0/8")

    def start_patroni(self, number):
        name, folder = f"patroni-{number}", self.folder / f"postgres-{number}"
        path = self.folder / f"{name}.yml"
        path.write_text(self.patroni_settings())
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, POSTGRES, POSTGRES)
        listen, api = f"127.0.0.1:{self.postgres_ports[number]}", f"127.0.0.1:{self.apis[number]}"
        environment = {
            "PATRONI_NAME": name,
            "PATRONI_ETCD3_HOSTS": self.etcd,
            "PATRONI_RESTAPI_LISTEN": api,
            "PATRONI_RESTAPI_CONNECT_ADDRESS": api,
            "PATRONI_POSTGRESQL_LISTEN": listen,
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": f"127.0.0.1:{self.advertised[number]}",
            "PATRONI_POSTGRESQL_DATA_DIR": str(folder / "data"),
            "PATRONI_POSTGRESQL_BIN_DIR": str(PROGRAMS),
            "PATRONI_POSTGRESQL_PGPASS": str(folder / "pgpass"),
            "PATRONI_SUPERUSER_USERNAME": "postgres",
            "PATRONI_SUPERUSER_PASSWORD": PASSWORD,
            "PATRONI_REPLICATION_USERNAME": "replicator",
            "PATRONI_REPLICATION_PASSWORD": PASSWORD,
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
        }
        self.start(name, "/usr/bin/patroni", path, user=POSTGRES, environment=environment)

    def leader(self):
        """The number of the server that writes."""
        for number, api in enumerate(self.apis):
            with contextlib.suppress(OSError):
                if call(f"http://127.0.0.1:{api}/primary")[0] == 200:
                    return number
        return None

    def replicas(self):
        """How many servers follow the leader, and confirm its commits where they have to."""
        with contextlib.suppress(AssertionError, TypeError):
            count = "select count(*) from pg_stat_replication where state = 'streaming'"
            return int(self.psql(f"{count} and sync_state = '{self.sync_state}'"))
        return 0

    def psql(self, sql, database="postgres", port=None):
        """The output of a statement at the leader."""
        port = port or self.postgres_ports[self.leader()]
        command = ["psql", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-d", database]
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        return run(
            *command, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql, env=environment
        ).strip()

    def kill_postgres(self, number):
        """Kills a server and its children, as if its machine had failed."""
        path = self.folder / f"postgres-{number}/data/postmaster.pid"
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(path.read_text().splitlines()[0])
            # The file outlives a killed server, and its number may be another process' by then.
            if str(path.parent) not in pathlib.Path(f"/proc/{pid}/cmdline").read_text():
                return
            children = subprocess.run(
                ["pgrep", "-P", str(pid)], capture_output=True, text=True
            ).stdout.split()
            for process in (pid, *map(int, children)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    def kill_machine(self, number):
        """Kills a Postgres and its Patroni."""
        if f"patroni-{number}" in self.running:
            self.end(f"patroni-{number}", signal.SIGKILL)
        self.kill_postgres(number)

    def start_haproxy(self):
        text = (ROOT / "patroni/haproxy.cfg").read_text()
        text = text.replace("bind 127.0.0.1:5000", f"bind 127.0.0.1:{self.database}")
        for number, name in enumerate(("one", "two")):
            text = re.sub(
                rf"server {name} .*",
                f"server {name} 127.0.0.1:{self.postgres_ports[number]} check port {self.apis[number]}",
                text,
            )
        path = self.folder / "haproxy.cfg"
        path.write_text(text)
        self.start("haproxy", "/usr/sbin/haproxy", "-db", "-f", path)

    # Redis

    def start_redis(self):
        self.redis_ports = [free_port() for _ in range(NODES)]
        for number in range(NODES):
            self.start_redis_server(number, of=0 if number else None)
        self.sentinels = [free_port() for _ in range(3)]
        for number, port in enumerate(self.sentinels):
            folder = self.folder / f"sentinel-{number}"
            folder.mkdir()
            path = folder / "sentinel.conf"
            path.write_text(
                f"port {port}\nbind 127.0.0.1\nsentinel monitor line 127.0.0.1 {self.redis_ports[0]} 2\n"
                "sentinel down-after-milliseconds line 1000\nsentinel failover-timeout line 5000\n"
            )
            self.start(f"sentinel-{number}", "redis-server", path, "--sentinel")
        until(
            lambda: all(
                "slaves=1,sentinels=3" in self.redis(port, "info", "sentinel")
                for port in self.sentinels
            )
        )

    def start_redis_server(self, number, of):
        folder = self.folder / f"redis-{number}"
        folder.mkdir(exist_ok=True)
        follow = [] if of is None else ["--replicaof", f"127.0.0.1 {self.redis_ports[of]}"]
        self.start(
            f"redis-{number}",
            "redis-server",
            *("--port", self.redis_ports[number], "--bind", "127.0.0.1", "--dir", folder),
            *("--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"),
            *("--repl-diskless-sync-delay", "0", *follow),
        )
        until(lambda: self.redis(self.redis_ports[number], "ping") == "PONG")

    def redis(self, port, *command):
        with contextlib.suppress(AssertionError):
            return run("redis-cli", "-p", port, *command).strip()
        return ""

    def redis_master(self):
        told = self.redis(self.sentinels[0], "sentinel", "get-master-addr-by-name", "line")
        return self.redis_ports.index(int(told.splitlines()[1]))

    # Ours

    def line_format(self):
        port = self.redis_ports[self.redis_master()]
        return int(self.redis(port, "get", "fairline:format"))

    def line(self):
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://{hosts}/line"

    def refusal_of_a_waiting_room(self, binaries):
        """Returns why a further waiting room does not start on the line's data."""
        environment = {
            "FAIRLINE_LISTEN": f"127.0.0.1:{free_port()}",
            "FAIRLINE_OPS_LISTEN": f"127.0.0.1:{free_port()}",
            "FAIRLINE_DATA": str(self.folder / "refused"),
            "FAIRLINE_LINE": self.line(),
            **SETTINGS,
        }
        ended = subprocess.run(
            [binaries / "waiting-room"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 2, ended
        return ended.stderr

    def start_node(self, program, number):
        inventory = f"postgres://fairline:{PASSWORD}@127.0.0.1:{self.database}/fairline"
        ops = f"127.0.0.1:{free_port()}"
        name = f"{program}-{number}"
        environment = {
            "FAIRLINE_LISTEN": f"127.0.0.1:{self.ports[program, number]}",
            "FAIRLINE_OPS_LISTEN": ops,
            "FAIRLINE_DATA": str(self.folder / name),
            "FAIRLINE_PUBLIC_URL": self.url,
            "FAIRLINE_TRUSTED_HOPS": "1",
            **SETTINGS,
        }
        if program == "waiting-room":
            environment["FAIRLINE_LINE"] = self.line()
            environment["FAIRLINE_CHECKOUT"] = self.url
        else:
            environment["FAIRLINE_INVENTORY"] = inventory
            environment["FAIRLINE_WAITING_ROOM"] = self.url
        self.start(name, self.binaries[program] / program, environment=environment)
        until(lambda: call(f"http://{ops}/readyz")[0] == 200, 60, lambda: self.log(name))

    def start_nginx(self):
        folder = self.folder / "nginx"
        folder.mkdir()
        text = (ROOT / "nginx/fairline.conf").read_text()
        text = text.replace("listen 8080", f"listen 127.0.0.1:{self.front}")
        # All fans of a drill come from one address.
        text = text.replace("rate=100r/s", "rate=10000r/s").replace("burst=200", "burst=10000")
        text = text.replace("fairline_connections 50", "fairline_connections 5000")
        for upstream, program in (("waiting_room", "waiting-room"), ("checkout", "checkout")):
            ports = [self.ports[program, number] for number in range(NODES)]
            servers = "".join(
                f"    server 127.0.0.1:{port} max_fails=1 fail_timeout=2s;\n" for port in ports
            )
            head, _, rest = text.partition(f"upstream {upstream} {{\n")
            block, _, rest = rest.partition("}")
            block = re.sub(r"^ +(server|#).*\n", "", block, flags=re.MULTILINE)
            text = f"{head}upstream {upstream} {{\n{servers}{block}}}{rest}"
        (folder / "fairline.conf").write_text(text)
        (folder / "nginx.conf").write_text((ROOT / "nginx/nginx.conf").read_text())
        self.start("nginx", *self.nginx("-g", "daemon off;"))

    def nginx(self, *more):
        folder = self.folder / "nginx"
        return ["/usr/sbin/nginx", "-p", folder, "-c", folder / "nginx.conf", *more]

    def organise(self, method, path, body=None):
        status, answer = call(f"{self.url}/api/v1/organiser{path}", method, body, KEY)
        assert status in (200, 201, 204), f"{method} {path}: {status} {answer}"
        return answer

    def sale(self, event, rows, **admission):
        """An event with a hall of rows of fifty seats."""
        doors = {"batch_seconds": 1, "max_active": 100_000, "away_seconds": 86_400, **admission}
        body = {"id": event, "name": "The night", "admission": doors}
        self.organise("POST", "/events", body)
        plan = {
            "categories": [{"id": "c", "name": "C", "price": 4500}],
            "sections": [{"id": "s", "category": "c", "rows": rows, "seats_per_row": 50}],
        }
        self.organise("PUT", f"/events/{event}/seating", plan)
