//! Starts a proxy with its configuration from the repository: other ports, and its own event.

use std::path::{Path, PathBuf};
use testkit::Server;

/// Ports that a configuration is written for.
pub(super) struct Ports {
    pub(super) front: u16,
    /// Where some proxies ask the gate.
    pub(super) inner: u16,
    pub(super) site: u16,
    pub(super) rooms: Vec<u16>,
}

/// Starts the proxy of this name, whose event has the same name.
pub(super) fn start(name: &'static str, folder: &Path, ports: &Ports) -> Server {
    let conf = Configuration {
        name,
        folder,
        ports,
    };
    match name {
        "nginx" => nginx(&conf),
        "caddy" => caddy(&conf),
        "traefik" => traefik(&conf),
        "envoy" => envoy(&conf),
        _ => haproxy(&conf),
    }
}

struct Configuration<'a> {
    name: &'static str,
    folder: &'a Path,
    ports: &'a Ports,
}

impl Configuration<'_> {
    /// Reads a file of the repository with the event and the ports of this test.
    fn read(&self, path: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let text = std::fs::read_to_string(path).unwrap();
        let ports = self.ports;
        [
            (8081, ports.rooms[0]),
            (8082, ports.rooms[1]),
            (8083, ports.rooms[2]),
            (3000, ports.site),
            (8090, ports.inner),
        ]
        .into_iter()
        .fold(
            text.replace("my-event", self.name),
            |text, (written, port)| {
                let text = text.replace(
                    &format!("127.0.0.1:{written}"),
                    &format!("127.0.0.1:{port}"),
                );
                text.replace(
                    &format!("port_value: {written}}}"),
                    &format!("port_value: {port}}}"),
                )
            },
        )
    }

    /// Writes a file beside the proxy and returns its path.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn front(&self) -> String {
        format!("127.0.0.1:{}", self.ports.front)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Server {
        let home = self.folder.display().to_string();
        Server::start_as(self.folder, program, arguments, |command| {
            command.env("HOME", home);
        })
    }
}

fn nginx(conf: &Configuration<'_>) -> Server {
    let text = conf.read("nginx/protect-any-site.conf");
    let listen = format!("listen {};", conf.front());
    conf.write("site.conf", &once(&text, "listen 80;", &listen));
    let whole = "pid p; error_log e; events {} http { access_log off; client_body_temp_path b; \
        proxy_temp_path x; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; include site.conf; }";
    let whole = conf.write("nginx.conf", whole);
    let prefix = conf.folder.display().to_string();
    conf.run("nginx", &["-p", &prefix, "-c", &whole, "-g", "daemon off;"])
}

fn caddy(conf: &Configuration<'_>) -> Server {
    let site = format!("http://:{} {{", conf.ports.front);
    let text = once(&conf.read("docs/gate/Caddyfile"), ":80 {", &site);
    let file = conf.write("Caddyfile", &text);
    conf.run(&program("caddy"), &["run", "--config", &file])
}

fn traefik(conf: &Configuration<'_>) -> Server {
    conf.write(
        "traefik-site.yaml",
        &conf.read("docs/gate/traefik-site.yaml"),
    );
    let text = conf.read("docs/gate/traefik.yaml");
    let address = format!("\"{}\"", conf.front());
    let file = conf.write("traefik.yaml", &once(&text, "\":80\"", &address));
    conf.run(&program("traefik"), &[&format!("--configFile={file}")])
}

fn envoy(conf: &Configuration<'_>) -> Server {
    let text = conf.read("docs/gate/envoy.yaml");
    let address = format!("address: 127.0.0.1, port_value: {}}}", conf.ports.front);
    let text = once(&text, "address: 0.0.0.0, port_value: 80}", &address);
    let file = conf.write("envoy.yaml", &text);
    let arguments = ["-c", &file, "--concurrency", "1", "--use-dynamic-base-id"];
    conf.run(&program("envoy"), &arguments)
}

fn haproxy(conf: &Configuration<'_>) -> Server {
    conf.write("haproxy-gate.lua", &conf.read("docs/gate/haproxy-gate.lua"));
    let text = conf.read("docs/gate/haproxy.cfg");
    let bind = format!("bind {}\n", conf.front());
    let file = conf.write("haproxy.cfg", &once(&text, "bind :80\n", &bind));
    conf.run("haproxy", &["-db", "-f", &file])
}

fn once(text: &str, written: &str, now: &str) -> String {
    assert_eq!(text.matches(written).count(), 1, "{written}");
    text.replace(written, now)
}

/// Returns a program that `.ci/gate-proxies` has installed beside the build.
fn program(name: &str) -> String {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_fairline"));
    let target = built.ancestors().nth(2).unwrap();
    let program = target.join("gate-proxies/bin").join(name);
    let shown = program.display().to_string();
    assert!(program.exists(), "{shown} is missing: run .ci/gate-proxies");
    shown
}
