//! Private message brokers: NATS with JetStream, RabbitMQ, and a server that speaks Kafka's
//! protocol. `.ci/brokers` installs those that Debian does not have.

use super::{Server, free_port, until, until_within};
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

/// Longest time RabbitMQ may take to start, on a machine that does much else.
const RABBIT_START_MAX: Duration = Duration::from_secs(90);

/// One NATS server, whose streams are on disk.
pub struct Nats {
    server: Option<Server>,
    folder: tempfile::TempDir,
    port: u16,
    arguments: Vec<String>,
}

impl Nats {
    /// Starts a server.
    pub fn start() -> Nats {
        Nats::with(&[])
    }

    /// Starts a server with further arguments, such as `--user`.
    pub fn with(arguments: &[&str]) -> Nats {
        let mut nats = Nats::stopped(arguments);
        nats.start_again();
        nats
    }

    /// Reserves the port and the folder of a server that is not started yet.
    pub fn stopped(arguments: &[&str]) -> Nats {
        Nats {
            server: None,
            folder: tempfile::tempdir().expect("a temporary folder can be created"),
            port: free_port(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    /// Starts the server on its existing data after it has ended.
    pub fn start_again(&mut self) {
        let (port, data) = (self.port.to_string(), self.folder.path().join("data"));
        let data = data.display().to_string();
        let mut arguments = vec!["-a", "127.0.0.1", "-p", &port, "-js", "-sd", &data];
        arguments.extend(self.arguments.iter().map(String::as_str));
        let program = installed("bin/nats-server");
        self.server = Some(Server::start(self.folder.path(), &program, &arguments));
        until("nats-server", || answers(self.port));
    }

    /// Kills the server at once.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Returns `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// One RabbitMQ server, with its Erlang port mapper.
pub struct RabbitMq {
    server: Option<Server>,
    folder: tempfile::TempDir,
    port: u16,
    distribution_port: u16,
    epmd_port: u16,
    _epmd: Server,
}

impl RabbitMq {
    /// Starts a server. Its user `guest` has the password `guest`.
    pub fn start() -> RabbitMq {
        RabbitMq::with("")
    }

    /// Starts a server with further lines of `rabbitmq.conf`.
    pub fn with(settings: &str) -> RabbitMq {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("the folder is writable");
        };
        write("rabbitmq.conf", settings);
        write("plugins", "[].");
        let epmd_port = free_port();
        // Otherwise the server starts one that outlives it.
        let arguments = ["-address", "127.0.0.1", "-port", &epmd_port.to_string()];
        let epmd = Server::start(folder.path(), "epmd", &arguments);
        until("epmd", || answers(epmd_port));
        let mut rabbit = RabbitMq {
            server: None,
            folder,
            port: free_port(),
            distribution_port: free_port(),
            epmd_port,
            _epmd: epmd,
        };
        rabbit.start_again();
        rabbit
    }

    /// Starts the server on its existing data after it has ended.
    pub fn start_again(&mut self) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let settings = [
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", self.port.to_string()),
            ("RABBITMQ_DIST_PORT", self.distribution_port.to_string()),
            ("RABBITMQ_NODENAME", format!("r{}@localhost", self.port)),
            ("RABBITMQ_MNESIA_BASE", path("data")),
            ("RABBITMQ_LOG_BASE", path("logs")),
            ("RABBITMQ_PID_FILE", path("pid")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("ERL_EPMD_PORT", self.epmd_port.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("HOME", path("")),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
        ];
        let program = "/usr/lib/rabbitmq/bin/rabbitmq-server";
        let server = Server::start_as(self.folder.path(), program, &[], |command| {
            command.envs(settings);
        });
        self.server = Some(server);
        until_within(RABBIT_START_MAX, "rabbitmq-server", || answers(self.port));
    }

    /// Kills the server at once.
    pub fn kill(&mut self) {
        self.server = None;
        // Until then the name of the node is taken.
        until("the end of RabbitMQ", || !answers(self.port));
    }

    /// Returns `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// One server that speaks Kafka's protocol (Tansu), with all that it has in memory.
pub struct Kafka {
    _server: Server,
    _folder: tempfile::TempDir,
    port: u16,
}

impl Kafka {
    /// Starts a server without topics.
    pub fn start() -> Kafka {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        let port = free_port();
        let url = format!("tcp://127.0.0.1:{port}");
        let arguments = [
            "broker",
            "--listener-url",
            &url,
            "--advertised-listener-url",
            &url,
            "--storage-engine",
            "memory://tansu/",
        ];
        let server = Server::start(folder.path(), &installed("bin/tansu"), &arguments);
        until("tansu", || answers(port));
        Kafka {
            _server: server,
            _folder: folder,
            port,
        }
    }

    /// Returns `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Returns a program that `.ci/brokers` has installed beside the build.
fn installed(name: &str) -> String {
    let own = std::env::current_exe().expect("a program knows its path");
    let brokers: Option<PathBuf> = own
        .ancestors()
        .map(|folder| folder.join("brokers"))
        .find(|folder| folder.exists());
    let program = brokers.map(|folder| folder.join(name));
    let program = program.filter(|program| program.exists());
    let program = program.unwrap_or_else(|| panic!("{name} is missing: run .ci/brokers"));
    program.display().to_string()
}
