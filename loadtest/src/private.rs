//! Private servers for measurements: our programs, and nginx beside them.

use client::{Client, Failed};
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
    _folder: tempfile::TempDir,
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
        let settings = [
            ("LISTEN", address.clone()),
            ("OPS_LISTEN", format!("127.0.0.1:{}", free_port())),
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
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let server = Server::start(folder.path(), "env", &arguments);
        Private::up(server, address, folder).await
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
        let server = Server::start(folder.path(), "nginx", &arguments);
        Private::up(server, address, folder).await
    }

    /// Waits until the server answers.
    async fn up(
        server: Server,
        address: String,
        folder: tempfile::TempDir,
    ) -> Result<Private, Failed> {
        let started = Private {
            server,
            address,
            _folder: folder,
        };
        let client = started.client();
        let from = Instant::now();
        while client.get("/api/v1/events", "").await.is_err() {
            if from.elapsed() > START_MAX {
                let log = std::fs::read_to_string(started.server.folder.join("log"));
                let log = log.unwrap_or_default();
                return Err(format!("{} did not start: {log}", started.address));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(started)
    }
}
