//! A `fairline` that speaks TLS, and clients for it.

use crate::crash::command;
use crate::stage::handshake;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::{Authority, ServerCertificate, free_port};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{WebSocketStream, client_async};

const ADMIN: &str = "crash-organiser-key";
/// Longest time that a test waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A running `fairline` that speaks TLS.
pub(crate) struct Secure {
    pub(crate) program: Program,
    pub(crate) authority: Authority,
    pub(crate) port: u16,
    operations: u16,
    pub(crate) folder: tempfile::TempDir,
}

/// A program that ends with its handle, and the file of its log.
pub(crate) struct Program {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Program {
    pub(crate) fn start(mut command: Command, folder: &Path) -> Program {
        let log = folder.join("log");
        let file = fs::File::create(&log).unwrap();
        let child = command.stderr(file).spawn().unwrap();
        Program { child, log }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts a certificate where the program looks for it, as Kubernetes does: the names are links into
/// a folder that is a link itself, which is replaced in one step.
pub(crate) fn mount(folder: &Path, certificate: &ServerCertificate, generation: u32) {
    let data = folder.join(format!("..{generation}"));
    fs::create_dir_all(&data).unwrap();
    fs::copy(&certificate.certificate, data.join("tls.crt")).unwrap();
    fs::copy(&certificate.key, data.join("tls.key")).unwrap();
    let next = folder.join("..next");
    symlink(data, &next).unwrap();
    fs::rename(next, folder.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        let _ = symlink(Path::new("..data").join(name), folder.join(name));
    }
}

impl Secure {
    /// Starts the program with a certificate for 127.0.0.1.
    pub(crate) async fn start() -> Secure {
        let authority = Authority::new();
        let certificate = authority.issue(&["127.0.0.1"]);
        let folder = tempfile::tempdir().unwrap();
        mount(folder.path(), &certificate, 1);
        let (port, operations) = (free_port(), free_port());
        let mut command = command(&folder.path().join("data"), port);
        command
            .env("FAIRLINE_TLS_CERT", folder.path().join("tls.crt"))
            .env("FAIRLINE_TLS_KEY", folder.path().join("tls.key"))
            .env("FAIRLINE_OPS_LISTEN", format!("127.0.0.1:{operations}"))
            .env("FAIRLINE_LOG", "info");
        let secure = Secure {
            program: Program::start(command, folder.path()),
            authority,
            port,
            operations,
            folder,
        };
        let from = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(from.elapsed() < PATIENCE, "{}", secure.program.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        secure
    }

    /// Opens a connection; `protocols` is offered by ALPN.
    pub(crate) async fn connect(&self, protocols: &[&str]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.authority.root()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.unwrap()
    }

    /// Sends a request with curl over this version of HTTP; returns head and body.
    pub(crate) fn curl(&self, version: &str, path: &str, arguments: &[&str]) -> (String, Value) {
        let output = Command::new("curl")
            .args(["-sS", "-i", "--max-time", "20", version, "--cacert"])
            .arg(self.authority.root())
            .args(arguments)
            .arg(format!("https://127.0.0.1:{}{path}", self.port))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (
            head.to_ascii_lowercase(),
            serde_json::from_str(body).unwrap_or(Value::Null),
        )
    }

    /// Joins the line of an event; returns head and body.
    pub(crate) fn join(&self, event: &str) -> (String, Value) {
        let json = "Content-Type: application/json";
        let path = format!("/api/v1/events/{event}/line");
        self.curl("--http2", &path, &["-H", json, "-d", "{}"])
    }

    pub(crate) fn create_event(&self, id: &str) {
        let event = json!({"id": id, "name": "The night"}).to_string();
        let key = format!("Authorization: Bearer {ADMIN}");
        let arguments = [
            "-H",
            &key,
            "-H",
            "Content-Type: application/json",
            "-d",
            &event,
        ];
        let (head, body) = self.curl("--http2", "/api/v1/organiser/events", &arguments);
        assert!(head.starts_with("http/2 201"), "{head} {body}");
    }

    /// Opens the socket of a place.
    pub(crate) async fn watch(
        &self,
        event: &str,
        cookie: &str,
        origin: &str,
    ) -> Result<WebSocketStream<TlsStream<TcpStream>>, tokio_tungstenite::tungstenite::Error> {
        let site = format!("https://127.0.0.1:{}", self.port);
        let path = format!("/api/v1/events/{event}/line/ws");
        let request = handshake(&site, &path, cookie, origin);
        let stream = self.connect(&["http/1.1"]).await;
        client_async(request, stream)
            .await
            .map(|(socket, _)| socket)
    }

    /// Waits until new handshakes get this certificate.
    pub(crate) async fn until_served(&self, certificate: &ServerCertificate) {
        let wanted = CertificateDer::from_pem_file(&certificate.certificate).unwrap();
        let from = Instant::now();
        while self.certificate().await != wanted {
            assert!(from.elapsed() < PATIENCE, "{}", self.program.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn certificate(&self) -> CertificateDer<'static> {
        let stream = self.connect(&[]).await;
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    }

    pub(crate) async fn until_logged(&self, words: &[&str]) {
        let from = Instant::now();
        loop {
            let log = self.program.log();
            if log
                .lines()
                .any(|line| words.iter().all(|word| line.contains(word)))
            {
                return;
            }
            assert!(from.elapsed() < PATIENCE, "{words:?} in {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the end of the certificate, as the metric tells it.
    pub(crate) async fn metric(&self) -> f64 {
        let client = client::Client::new(&format!("http://127.0.0.1:{}", self.operations));
        let answer = client
            .raw(hyper::Method::GET, "/metrics", &[], vec![])
            .await
            .unwrap();
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        let name = "fairline_tls_certificate_expires_timestamp_seconds ";
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    }
}
