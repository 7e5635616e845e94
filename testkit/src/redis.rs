//! Private Redis servers: alone, in a cluster, under Sentinels; each with TLS or without.

use super::certificates::{Authority, ServerCertificate};
use super::{Server, free_port, until};
use parking_lot::Mutex;
use std::fs;
use std::io::{BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// One Redis server: on a Unix socket, or on a port if others must find it.
pub struct Redis {
    server: Option<Server>,
    folder: tempfile::TempDir,
    port: u16,
    has_tls: bool,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts a server without persistence on a Unix socket.
    pub fn start() -> Redis {
        Redis::with(0, &[])
    }

    /// Starts a server with further settings on a port; 0 means on a Unix socket.
    pub fn with(port: u16, settings: &[&str]) -> Redis {
        let settings = settings.iter().map(|text| (*text).to_owned());
        Redis::start_as(port, false, settings.collect())
    }

    /// Starts a server with further settings that speaks TLS on a port of its own, and nothing else
    /// there.
    pub fn with_tls(
        authority: &Authority,
        certificate: &ServerCertificate,
        settings: &[&str],
    ) -> Redis {
        let mut arguments = authority.redis_settings(certificate);
        arguments.extend(settings.iter().map(|text| (*text).to_owned()));
        Redis::start_as(free_port(), true, arguments)
    }

    fn start_as(port: u16, has_tls: bool, arguments: Vec<String>) -> Redis {
        let mut redis = Redis {
            server: None,
            folder: tempfile::tempdir().expect("a temporary folder can be created"),
            port,
            has_tls,
            arguments,
        };
        redis.start_again();
        redis
    }

    /// Restarts the server on its existing data after it has ended.
    pub fn start_again(&mut self) {
        let socket = self.socket();
        let port = self.port.to_string();
        let path = socket.display().to_string();
        let mut arguments = vec!["--unixsocket", &path, "--save", ""];
        arguments.extend(ports(self.has_tls, &port));
        arguments.extend(["--bind", "127.0.0.1", "--loglevel", "warning"]);
        arguments.extend(self.arguments.iter().map(String::as_str));
        let _ = fs::remove_file(&socket);
        self.server = Some(Server::start(
            self.folder.path(),
            "redis-server",
            &arguments,
        ));
        until("redis-server", || {
            self.ask(&["PING"]).is_some_and(|answer| answer == "PONG")
        });
    }

    /// Kills the server at once, as if its machine had failed.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Sends the server a signal.
    pub fn signal(&self, name: &str) {
        if let Some(server) = &self.server {
            server.signal(name);
        }
    }

    /// Returns the path of the Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Returns the port, or 0 without one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the value of `FAIRLINE_LINE` for it.
    pub fn url(&self) -> String {
        match self.port {
            0 => format!("redis+unix://{}", self.socket().display()),
            port if self.has_tls => format!("rediss://localhost:{port}"),
            port => format!("redis://127.0.0.1:{port}"),
        }
    }

    /// Sends one command and returns the first line of the answer, or the text of a bulk answer;
    /// `None` if there is no answer.
    pub fn ask(&self, command: &[&str]) -> Option<String> {
        ask(UnixStream::connect(self.socket()).ok()?, command)
    }
}

/// Six servers that form a cluster: three masters with a replica each.
pub struct Cluster {
    /// The servers.
    pub nodes: Vec<Redis>,
}

impl Cluster {
    /// Starts a cluster and waits until it is complete.
    pub fn start() -> Cluster {
        Cluster::of(&[], |settings| Redis::with(free_port(), settings))
    }

    /// Starts a cluster that speaks TLS alone. The certificate is for the address 127.0.0.1.
    pub fn start_tls(authority: &Authority, certificate: &ServerCertificate) -> Cluster {
        let root = authority.root().display().to_string();
        Cluster::of(&["--tls", "--cacert", &root], |settings| {
            Redis::with_tls(authority, certificate, settings)
        })
    }

    fn of(client: &[&str], node: impl Fn(&[&str]) -> Redis) -> Cluster {
        let settings = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1500",
            "--cluster-replica-validity-factor",
            "0",
        ];
        let nodes: Vec<Redis> = (0..6).map(|_| node(&settings)).collect();
        let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
        let made = Command::new("redis-cli")
            .args(client)
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .stdout(Stdio::null())
            .status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "the cluster was not made"
        );
        let cluster = Cluster { nodes };
        until("the cluster", || {
            cluster.nodes.iter().all(|node| {
                let info = node.ask(&["CLUSTER", "INFO"]).unwrap_or_default();
                let replicas = node.ask(&["CLUSTER", "NODES"]).unwrap_or_default();
                info.contains("cluster_state:ok") && replicas.matches("slave").count() == 3
            })
        });
        cluster
    }

    /// Returns the value of `FAIRLINE_LINE` for it.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes[..3]
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        let scheme = if self.nodes[0].has_tls {
            "rediss"
        } else {
            "redis"
        };
        format!("{scheme}+cluster://{}", hosts.join(","))
    }

    /// Returns the index of the current master of a key.
    pub fn master_of(&self, key: &str) -> Option<usize> {
        master_of(&self.nodes, key)
    }
}

/// Returns the index of the current master of a key among the servers of a cluster.
pub fn master_of(nodes: &[Redis], key: &str) -> Option<usize> {
    let is_master = |node: &Redis| {
        let role = node.ask(&["ROLE"]);
        let answer = node.ask(&["EXISTS", key]);
        role.is_some_and(|role| role.contains("master"))
            && answer.is_some_and(|answer| !answer.contains("MOVED"))
    };
    nodes.iter().position(is_master)
}

/// Returns the cluster shared by the tests of one program, kept running while any test holds a
/// reference.
pub fn shared_cluster() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock();
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let cluster = Arc::new(Cluster::start());
    *shared = Arc::downgrade(&cluster);
    cluster
}

/// A master, a replica, and three Sentinels that watch them.
pub struct Sentinels {
    /// The servers, the master first.
    pub servers: Vec<Redis>,
    sentinels: Vec<Sentinel>,
    has_tls: bool,
}

impl Sentinels {
    /// Starts them and waits until the Sentinels know each other and the replica.
    pub fn start() -> Sentinels {
        Sentinels::of(&[], |settings| Redis::with(free_port(), settings))
    }

    /// Starts them speaking TLS alone. The certificate is for the address 127.0.0.1.
    pub fn start_tls(authority: &Authority, certificate: &ServerCertificate) -> Sentinels {
        let settings = authority.redis_settings(certificate);
        Sentinels::of(&settings, |settings| {
            Redis::with_tls(authority, certificate, settings)
        })
    }

    fn of(tls_settings: &[String], server: impl Fn(&[&str]) -> Redis) -> Sentinels {
        let master = server(&["--repl-diskless-sync-delay", "0"]);
        let of = format!("127.0.0.1 {}", master.port);
        let replica = server(&["--replicaof", &of]);
        let set: Vec<Sentinel> = (0..3)
            .map(|_| Sentinel::start(master.port, tls_settings))
            .collect();
        until("the sentinels", || {
            set.iter().all(|sentinel| {
                let socket = UnixStream::connect(sentinel.folder.path().join("socket")).ok();
                let told = socket.and_then(|socket| ask(socket, &["INFO", "sentinel"]));
                told.is_some_and(|told| told.contains("slaves=1,sentinels=3"))
            })
        });
        Sentinels {
            servers: vec![master, replica],
            sentinels: set,
            has_tls: !tls_settings.is_empty(),
        }
    }

    /// Returns the value of `FAIRLINE_LINE` for it.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port))
            .collect();
        let scheme = if self.has_tls { "rediss" } else { "redis" };
        format!("{scheme}+sentinel://{}/line", hosts.join(","))
    }
}

struct Sentinel {
    port: u16,
    _server: Server,
    folder: tempfile::TempDir,
}

impl Sentinel {
    fn start(master: u16, tls_settings: &[String]) -> Sentinel {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        let path = folder.path().join("sentinel.conf");
        let settings = format!(
            "bind 127.0.0.1\nunixsocket {}\nsentinel monitor line 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds line 1000\nsentinel failover-timeout line 3000\n",
            folder.path().join("socket").display()
        );
        fs::write(&path, settings).expect("the folder is writable");
        let (path, port) = (path.display().to_string(), free_port());
        let number = port.to_string();
        let mut arguments = vec![path.as_str(), "--sentinel"];
        arguments.extend(ports(!tls_settings.is_empty(), &number));
        arguments.extend(tls_settings.iter().map(String::as_str));
        Sentinel {
            port,
            _server: Server::start(folder.path(), "redis-server", &arguments),
            folder,
        }
    }
}

/// Returns the settings for a port with TLS or without.
fn ports(has_tls: bool, port: &str) -> [&str; 4] {
    if has_tls {
        ["--port", "0", "--tls-port", port]
    } else {
        ["--port", port, "--tls-port", "0"]
    }
}

/// Returns the first line of an answer without its type mark, or all text of a bulk or a list.
fn ask(mut socket: UnixStream, command: &[&str]) -> Option<String> {
    socket.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let mut text = format!("*{}\r\n", command.len());
    for word in command {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    socket.write_all(text.as_bytes()).ok()?;
    read(&mut BufReader::new(socket))
}

fn read(answer: &mut impl std::io::BufRead) -> Option<String> {
    let mut head = String::new();
    answer.read_line(&mut head).ok()?;
    let head = head.trim_end();
    let count: usize = head.get(1..)?.parse().unwrap_or(0);
    match head.chars().next()? {
        '$' if !head.starts_with("$-") => {
            let mut body = vec![0; count + 2];
            answer.read_exact(&mut body).ok()?;
            body.truncate(count);
            Some(String::from_utf8_lossy(&body).into_owned())
        }
        '*' => {
            let parts: Option<Vec<String>> = (0..count).map(|_| read(answer)).collect();
            Some(parts?.join(" "))
        }
        _ => Some(head.get(1..)?.to_owned()),
    }
}
