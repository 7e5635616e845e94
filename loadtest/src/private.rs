//! Private servers for measurements: our programs, and nginx beside them.

use client::{Client, Failed};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::{Server, free_port};

/// Key of the organiser of all private servers.
pub(crate) const KEY: &str = "loadtest-organiser-key";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Longest time until a server answers.
const START_MAX: Duration = Duration::from_secs(20);

/// A server in a folder of its own; both end with it.
pub(crate) struct Private {
    pub(crate) server: Server,
    /// Host and port.
    pub(crate) address: String,
    /// URL of the operations listener; empty where there is none.
    pub(crate) operations: String,
    /// Arguments of `env` that start it; empty for nginx.
    arguments: Vec<String>,
    folder: tempfile::TempDir,
}

impl Private {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url())
    }

    /// Starts one of our programs that lies beside this one, without limits for its one address.
    pub(crate) async fn program(name: &str, more: &[(&str, String)]) -> Result<Private, Failed> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let address = format!("127.0.0.1:{}", free_port());
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let program = own.with_file_name(name).display().to_string();
        let data = folder.path().join("data").display().to_string();
        let operations = format!("127.0.0.1:{}", free_port());
        let settings = [
            ("LISTEN", address.clone()),
            ("OPS_LISTEN", operations.clone()),
            ("DATA", data),
            ("PASS_SECRET", format!("pass-{SECRET}")),
            ("SERVICE_KEY", format!("service-{SECRET}")),
            ("ORGANISER_KEY", KEY.to_owned()),
            ("LOG", "warn".to_owned()),
            ("REQUESTS_PER_SECOND", "0".to_owned()),
            ("JOINS_PER_MINUTE", "0".to_owned()),
            ("REJOINS_PER_HOUR", "0".to_owned()),
            ("VISITOR_REQUESTS_PER_SECOND", "0".to_owned()),
            ("CONNECTIONS_PER_ADDRESS", "0".to_owned()),
        ];
        let settings = settings
            .iter()
            .chain(more)
            .map(|(name, value)| format!("FAIRLINE_{name}={value}"));
        let arguments: Vec<String> = settings.chain([program]).collect();
        let server = start(folder.path(), &arguments);
        let started = Private {
            server,
            address,
            operations: format!("http://{operations}"),
            arguments,
            folder,
        };
        started.up().await
    }

    /// Kills the program, and starts it again with the same data.
    pub(crate) async fn kill_and_start(&mut self) -> Result<(), Failed> {
        self.server.signal_group("KILL");
        self.server.wait();
        self.server = start(self.folder.path(), &self.arguments);
        self.wait().await
    }

    /// Runs a command of the program with the same settings and data. Returns its exit code and what it
    /// printed.
    pub(crate) async fn command(&self, words: &[&str]) -> Result<(Option<i32>, String), Failed> {
        let mut command = Command::new("env");
        command
            .args(&self.arguments)
            .args(words)
            .current_dir(self.folder.path());
        let running = tokio::task::spawn_blocking(move || command.output());
        let output = running.await.map_err(|error| error.to_string())?;
        let output = output.map_err(|error| error.to_string())?;
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok((output.status.code(), said))
    }

    /// Starts nginx with what its `http` block is to have. `around` gets the address to listen at.
    pub(crate) async fn nginx(http: impl FnOnce(&str) -> String) -> Result<Private, Failed> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let address = format!("127.0.0.1:{}", free_port());
        let conf = format!(
            "worker_processes auto; pid p; error_log e; events {{ worker_connections 4096; }} \
             http {{ access_log off; keepalive_requests 1000000; client_body_temp_path b; proxy_temp_path x; \
             fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; {} }}",
            http(&address)
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, conf).map_err(|error| error.to_string())?;
        let prefix = folder.path().display().to_string();
        let file = file.display().to_string();
        let arguments = ["-p", &prefix, "-c", &file, "-g", "daemon off;"];
        let started = Private {
            server: Server::start(folder.path(), "nginx", &arguments),
            address,
            operations: String::new(),
            arguments: Vec::new(),
            folder,
        };
        started.up().await
    }

    async fn up(self) -> Result<Private, Failed> {
        self.wait().await?;
        Ok(self)
    }

    /// Waits until the server answers.
    async fn wait(&self) -> Result<(), Failed> {
        let client = self.client();
        let from = Instant::now();
        while client.get("/api/v1/events", "").await.is_err() {
            if from.elapsed() > START_MAX {
                let log = std::fs::read_to_string(self.server.folder.join("log"));
                let log = log.unwrap_or_default();
                return Err(format!("{} did not start: {log}", self.address));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

fn start(folder: &Path, arguments: &[String]) -> Server {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Server::start(folder, "env", &arguments)
}
