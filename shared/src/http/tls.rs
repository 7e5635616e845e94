//! TLS of the public listener: the certificate and its key from files, read again when they change.

use crate::metrics::http::CERTIFICATE_EXPIRES;
use crate::time::{Clock, Time};
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use webpki::{EndEntityCert, KeyUsage};

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);
/// Protocol of connections that carry HTTP/2. WebSockets use connections of HTTP/1.1, for which
/// browsers ask by themselves as long as extended CONNECT is not offered.
pub(super) const HTTP_2: &[u8] = b"h2";

/// Paths of a certificate chain and its private key, both in PEM.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The server's certificate, followed by its intermediates.
    pub certificate: PathBuf,
    /// The key of the first certificate.
    pub key: PathBuf,
}

/// TLS with the newest certificate that could be used.
#[derive(Debug)]
pub struct Tls {
    files: CertificateFiles,
    clock: Clock,
    served: Arc<Served>,
    pub(super) config: Arc<ServerConfig>,
}

/// Contents of both files.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate with its key and its end.
#[derive(Debug)]
struct Certificate {
    certified: Arc<CertifiedKey>,
    ends_at: Time,
}

/// The certificate of new handshakes.
#[derive(Debug)]
struct Served(RwLock<Certificate>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().certified.clone())
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A sentence that names the setting, when a file cannot be read or used, the key is another
    /// certificate's, or the certificate has ended or not begun.
    pub fn open(files: CertificateFiles, clock: Clock) -> Result<Tls, String> {
        let contents = files.read()?;
        let served = Arc::new(Served(RwLock::new(files.parse(&contents, clock.now())?)));
        let internal = |error: rustls::Error| format!("TLS cannot be set up: {error}");
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(internal)?
            .with_no_client_auth()
            .with_cert_resolver(served.clone());
        config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
        // Returning clients bring their session along, so that it takes no memory here.
        config.ticketer = Ticketer::new().map_err(internal)?;
        Ok(Tls {
            files,
            clock,
            served,
            config: Arc::new(config),
        })
    }

    /// Takes new certificates over as the files change, until the stop signal. Files that cannot be
    /// used change nothing.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        report(self.served.0.read().ends_at);
        // Judged once they were the same at two successive looks: a certificate and its key are not
        // written in one step.
        let (mut seen, mut judged) = (None, None);
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
            let files = self.files.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || files.read()).await else {
                continue;
            };
            let found = Some(found);
            if found == seen && found != judged {
                self.judge(seen.as_ref());
                judged = found;
            } else {
                seen = found;
            }
        }
    }

    fn judge(&self, found: Option<&Result<Contents, String>>) {
        let parsed = match found {
            Some(Ok(contents)) => self.files.parse(contents, self.clock.now()),
            Some(Err(error)) => Err(error.clone()),
            None => return,
        };
        match parsed {
            Ok(certificate)
                if certificate.certified.cert == self.served.0.read().certified.cert => {}
            Ok(certificate) => {
                tracing::info!(ends_at = %certificate.ends_at, "serving a new certificate");
                report(certificate.ends_at);
                *self.served.0.write() = certificate;
            }
            Err(error) => {
                tracing::warn!(%error, "the certificate files changed, the previous certificate stays");
            }
        }
    }
}

fn report(ends_at: Time) {
    CERTIFICATE_EXPIRES.set(ends_at.seconds());
}

impl CertificateFiles {
    fn read(&self) -> Result<Contents, String> {
        let read = |setting: &str, path: &Path| {
            let contents = std::fs::read(path);
            contents.map_err(|error| format!("{setting}: {}: {error}", path.display()))
        };
        Ok(Contents {
            certificate: read("FAIRLINE_TLS_CERT", &self.certificate)?,
            key: read("FAIRLINE_TLS_KEY", &self.key)?,
        })
    }

    fn parse(&self, contents: &Contents, now: Time) -> Result<Certificate, String> {
        let path = self.certificate.display();
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&contents.certificate).collect();
        // No reason of a parser is shown: it may quote the file.
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain
            .ok_or_else(|| format!("FAIRLINE_TLS_CERT: {path} holds no certificate in PEM"))?;
        let ends_at =
            end(&chain[0], now).map_err(|why| format!("FAIRLINE_TLS_CERT: {path} {why}"))?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|_| {
            let path = self.key.display();
            format!("FAIRLINE_TLS_KEY: {path} holds no private key in PEM without a password")
        })?;
        let certified = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|_| {
            let path = self.key.display();
            format!("FAIRLINE_TLS_KEY: {path} is not the key of the first certificate of FAIRLINE_TLS_CERT")
        })?;
        Ok(Certificate {
            certified: Arc::new(certified),
            ends_at,
        })
    }
}

/// Returns the end of a certificate that is valid now.
fn end(certificate: &CertificateDer<'_>, now: Time) -> Result<Time, String> {
    let unreadable = || "holds a certificate that cannot be read".to_owned();
    let certificate = EndEntityCert::try_from(certificate).map_err(|_| unreadable())?;
    // The verification begins with the validity. The end is read off the refusal at a time past
    // every end.
    let at = |time| {
        let usage = KeyUsage::server_auth();
        let verified = certificate.verify_for_usage(&[], &[], &[], time, usage, None, None);
        verified.err()
    };
    let time =
        |time: UnixTime| Time(i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 1000) * 1000);
    let now = Duration::from_secs(u64::try_from(now.seconds()).unwrap_or(0));
    match at(UnixTime::since_unix_epoch(now)) {
        Some(webpki::Error::CertExpired { not_after, .. }) => {
            return Err(format!("expired at {}", time(not_after)));
        }
        Some(webpki::Error::CertNotValidYet { not_before, .. }) => {
            return Err(format!("is not valid before {}", time(not_before)));
        }
        _ => {}
    }
    match at(UnixTime::since_unix_epoch(Duration::MAX)) {
        Some(webpki::Error::CertExpired { not_after, .. }) => Ok(time(not_after)),
        _ => Err(unreadable()),
    }
}
