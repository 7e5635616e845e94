//! Private servers for tests and measurements: Redis alone, in a cluster, under Sentinels; Postgres and PgBouncer.
//! Each lives in a folder of its own and ends with its handle.

mod certificates;
mod postgres;

pub use certificates::{Authority, ServerCertificate};
pub use postgres::{PgBouncer, Postgres, Shared, shared_postgres};

use parking_lot::Mutex;
use std::fs;
use std::io::BufReader;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Longest time a server may take to start answering.
const START_MAX: Duration = Duration::from_secs(30);

/// A process that ends with its handle.
pub struct Server {
    child: Child,
    /// Folder of its data.
    pub folder: PathBuf,
}

impl Server {
    /// Starts a program; its output goes to `log` in the folder.
    ///
    /// # Panics
    /// Panics if the program is not installed.
    pub fn start(folder: &Path, program: &str, arguments: &[&str]) -> Server {
        Server::start_as(folder, program, arguments, |_| {})
    }

    /// Starts a program; `change` may alter the command first.
    ///
    /// # Panics
    /// Panics if the program is not installed.
    pub fn start_as(
        folder: &Path,
        program: &str,
        arguments: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Server {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .expect("the folder is writable");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(folder)
            // A process group of its own, so that its workers end with it.
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a file can be cloned"))
            .stdout(log);
        change(&mut command);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        Server {
            child,
            folder: folder.to_owned(),
        }
    }

    /// Sends a signal by name: `STOP`, `CONT`, `TERM`, `KILL`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Sends a signal to the process and all processes it started.
    pub fn signal_group(&self, name: &str) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill")
            .args([&format!("-{name}"), "--", &group])
            .status();
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self) {
        let _ = self.child.wait();
    }

    /// Returns whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal_group("KILL");
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
pub fn signal(id: u32, name: &str) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), &id.to_string()])
        .status();
}

/// Returns a free port, for one server of this process. It is outside the range that the system uses for outgoing
/// connections, which could take it before the server does.
pub fn free_port() -> u16 {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 10_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        // Concurrent processes start at different ports.
        let at = std::process::id().wrapping_mul(61) + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + at % COUNT).expect("below 22,000");
        // Cluster nodes also listen 10,000 ports above.
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}

/// One Redis server: on a Unix socket, or on a port if others must find it.
pub struct Redis {
    server: Option<Server>,
    folder: tempfile::TempDir,
    port: u16,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts a server without persistence on a Unix socket.
    pub fn start() -> Redis {
        Redis::with(0, &[])
    }

    /// Starts a server with further settings on a port; 0 means on a Unix socket.
    pub fn with(port: u16, settings: &[&str]) -> Redis {
        let mut redis = Redis {
            server: None,
            folder: tempfile::tempdir().expect("a temporary folder can be created"),
            port,
            arguments: settings.iter().map(|text| (*text).to_owned()).collect(),
        };
        redis.start_again();
        redis
    }

    /// Restarts the server on its existing data after it has ended.
    pub fn start_again(&mut self) {
        let socket = self.socket();
        let port = self.port.to_string();
        let path = socket.display().to_string();
        let mut arguments = vec!["--port", &port, "--unixsocket", &path, "--save", ""];
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
            port => format!("redis://127.0.0.1:{port}"),
        }
    }

    /// Sends one command and returns the first line of the answer, or the text of a bulk answer; `None` if there is
    /// no answer.
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
        let settings = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1500",
            "--cluster-replica-validity-factor",
            "0",
        ];
        let nodes: Vec<Redis> = (0..6)
            .map(|_| Redis::with(free_port(), &settings))
            .collect();
        let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
        let made = Command::new("redis-cli")
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
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// Returns the index of the current master of a key.
    pub fn master_of(&self, key: &str) -> Option<usize> {
        let is_master = |node: &&Redis| {
            let role = node.ask(&["ROLE"]);
            role.is_some_and(|role| role.contains("master"))
                && node
                    .ask(&["EXISTS", key])
                    .is_some_and(|answer| !answer.contains("MOVED"))
        };
        self.nodes.iter().position(|node| is_master(&node))
    }
}

/// Returns the cluster shared by the tests of one program, kept running while any test holds a reference.
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
    ports: Vec<u16>,
    _sentinels: Vec<(Server, tempfile::TempDir)>,
}

impl Sentinels {
    /// Starts them and waits until the Sentinels know each other and the replica.
    pub fn start() -> Sentinels {
        let master = Redis::with(free_port(), &["--repl-diskless-sync-delay", "0"]);
        let of = format!("127.0.0.1 {}", master.port);
        let replica = Redis::with(free_port(), &["--replicaof", &of]);
        let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let sentinels = ports
            .iter()
            .map(|port| sentinel(*port, master.port))
            .collect();
        let set = Sentinels {
            servers: vec![master, replica],
            ports,
            _sentinels: sentinels,
        };
        until("the sentinels", || {
            set.ports.iter().all(|port| {
                let socket = TcpStream::connect(("127.0.0.1", *port)).ok();
                let told = socket.and_then(|socket| ask(socket, &["INFO", "sentinel"]));
                told.is_some_and(|told| told.contains("slaves=1,sentinels=3"))
            })
        });
        set
    }

    /// Returns the value of `FAIRLINE_LINE` for it.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        format!("redis+sentinel://{}/line", hosts.join(","))
    }
}

fn sentinel(port: u16, master: u16) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let settings = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor line 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds line 1000\nsentinel failover-timeout line 3000\n"
    );
    let path = folder.path().join("sentinel.conf");
    fs::write(&path, settings).expect("the folder is writable");
    let path = path.display().to_string();
    let server = Server::start(folder.path(), "redis-server", &[&path, "--sentinel"]);
    (server, folder)
}

/// Waits until a condition holds.
///
/// # Panics
/// Panics if it does not hold within half a minute.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let from = Instant::now();
    while !is_so() {
        assert!(
            from.elapsed() < START_MAX,
            "{what} was not ready within half a minute"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

trait Timed: std::io::Read + std::io::Write {
    fn limit(&self, time: Duration) -> std::io::Result<()>;
}

impl Timed for UnixStream {
    fn limit(&self, time: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

impl Timed for TcpStream {
    fn limit(&self, time: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

/// Returns the first line of an answer without its type mark, or all text of a bulk or a list.
fn ask(mut socket: impl Timed, command: &[&str]) -> Option<String> {
    socket.limit(Duration::from_secs(2)).ok()?;
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
