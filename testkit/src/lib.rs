//! Private servers for tests and measurements: Redis alone, in a cluster, under Sentinels; Postgres
//! and PgBouncer; message brokers; a mail server; a push service; and stand-ins of Stripe, Razorpay and Twilio. Each
//! ends with its handle.

mod brokers;
mod certificates;
mod endpoint;
mod faults;
mod faulty;
mod postgres;
mod push_service;
mod razorpay;
mod redis;
mod smtp;
mod stand_in;
mod stripe;
mod switch;
mod twilio;

pub use brokers::{Kafka, Nats, RabbitMq};
pub use certificates::{Authority, ServerCertificate};
pub use faults::{ApiFault, LastRequest, Trouble};
pub use faulty::{Fault, Faulty};
pub use postgres::{OpenTransaction, PgBouncer, Postgres, Shared, shared_postgres};
pub use push_service::{PushService, PushSubscription, PushedMessage};
pub use razorpay::{
    KEY_ID as RAZORPAY_KEY_ID, KEY_SECRET as RAZORPAY_KEY_SECRET, RazorpayEvent, RazorpayStandIn,
    WEBHOOK_SECRET as RAZORPAY_WEBHOOK_SECRET,
};
pub use redis::{Cluster, Redis, Sentinels, master_of, shared_cluster};
pub use smtp::{ReceivedMail, SmtpFault, SmtpSecurity, SmtpServer, tls_acceptor};
pub use stand_in::until_input_ends;
pub use stripe::{
    KEY as STRIPE_KEY, StripeStandIn, WEBHOOK_SECRET as STRIPE_WEBHOOK_SECRET, WebhookEvent,
};
pub use switch::Switch;
pub use twilio::{
    ACCOUNT as TWILIO_ACCOUNT, SmsFault, TOKEN as TWILIO_TOKEN, TextMessage, TwilioStandIn,
};

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest time a server may take to start answering.
const START_MAX: Duration = Duration::from_secs(30);

/// Number of lines of a server's log that a failing test shows.
const LOG_LINES_SHOWN: usize = 12;

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

    /// Runs a command in a process group of its own, with the input and output of this process.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn run(mut command: Command) -> std::io::Result<Server> {
        let child = command.process_group(0).spawn()?;
        Ok(Server {
            child,
            folder: PathBuf::new(),
        })
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

    /// Prints the end of the log beside what the failing test says.
    fn print_log(&self) {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let name = self.folder.file_name().unwrap_or_default();
        for line in &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..] {
            eprintln!("[log of {}] {line}", name.display());
        }
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self) {
        let _ = self.child.wait();
    }

    /// Returns whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.ended().is_some()
    }

    /// Returns how the process ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
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
        if std::thread::panicking() {
            self.print_log();
        }
    }
}

/// Sends a signal to a process.
pub fn signal(id: u32, name: &str) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), &id.to_string()])
        .status();
}

/// Returns a free port, for one server of this process. It is outside the range that the system
/// uses for outgoing connections, which could take it before the server does.
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

/// Waits until a condition holds.
///
/// # Panics
/// Panics if it does not hold within half a minute.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    until_within(START_MAX, what, is_so);
}

/// Waits until a condition holds.
///
/// # Panics
/// Panics if it does not hold within this time.
pub(crate) fn until_within(limit: Duration, what: &str, is_so: impl Fn() -> bool) {
    let from = Instant::now();
    while !is_so() {
        assert!(
            from.elapsed() < limit,
            "{what} was not ready within {} seconds",
            limit.as_secs()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
