//! The mail server that `FAIRLINE_SMTP` names. With TLS its name and its certificate are checked;
//! there is no mode without checks.

use brokers::percent_decoded;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use shared::tls_client::read_pem_file;
use shared::warnings::is_clear_in_public;
use std::net::IpAddr;
use std::time::Duration;
use url::Url;

const UNKNOWN: &str = "neither smtp://user@host:587 (TLS by STARTTLS) nor smtps://user@host:465";
/// Longest wait for an answer of the mail server, in seconds, unless another is set.
const PATIENCE_SECONDS: u64 = 30;
const PATIENCE_SECONDS_MAX: u64 = 300;

/// A mail server, and how to log in there.
pub(crate) struct MailServer {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
    pub(super) login: Option<Credentials>,
    /// Longest wait for it: to take a mail's addresses, and to take its content.
    pub(super) patience: Duration,
}

/// Encryption of a connection.
pub(super) enum Encryption {
    None,
    /// It begins in clear, and goes on only with TLS.
    StartTls(TlsParameters),
    Tls(TlsParameters),
}

/// Parameters of a URL after its `?`.
#[derive(Default)]
struct SmtpParameters {
    /// `tls`: whether it was said that there is TLS, or none.
    has_tls: Option<bool>,
    patience_seconds: Option<u64>,
    roots: Option<Vec<u8>>,
}

impl MailServer {
    /// Parses a URL, and reads the root certificates that it names. Does not connect.
    ///
    /// # Errors
    /// The end of a sentence for the operator, without credentials.
    pub(super) fn parse(url: &str, password: Option<&str>) -> Result<MailServer, String> {
        let url = Url::parse(url.trim()).map_err(|_| UNKNOWN)?;
        let (has_tls, default_port) = match url.scheme() {
            "smtp" => (false, 587),
            "smtps" => (true, 465),
            _ => return Err(UNKNOWN.to_owned()),
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or(UNKNOWN)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err("nothing comes behind the port but '?' and parameters".to_owned());
        }
        let parameters = SmtpParameters::parse(&url)?;
        if has_tls && parameters.has_tls == Some(false) {
            return Err("tls=off is for smtp://".to_owned());
        }
        let by_start_tls = parameters.has_tls.unwrap_or(!is_this_machine(&host));
        let is_clear = !has_tls && !by_start_tls;
        let tls = |roots: Option<Vec<u8>>| tls_parameters(&host, roots);
        let encryption = match (is_clear, has_tls) {
            (true, _) if parameters.roots.is_some() => {
                return Err("sslrootcert needs TLS".to_owned());
            }
            (true, _) => Encryption::None,
            (false, true) => Encryption::Tls(tls(parameters.roots)?),
            (false, false) => Encryption::StartTls(tls(parameters.roots)?),
        };
        let seconds = parameters.patience_seconds.unwrap_or(PATIENCE_SECONDS);
        Ok(MailServer {
            port: url.port().unwrap_or(default_port),
            login: login(&url, password)?,
            patience: Duration::from_secs(seconds),
            encryption,
            host,
        })
    }

    /// Returns what to warn of: mail with tickets, and a password, that cross the internet in clear.
    pub(crate) fn warning(&self) -> Option<String> {
        let is_clear = matches!(self.encryption, Encryption::None);
        let is_public = is_clear_in_public(&format!("http://{}", self.host));
        let warning = "FAIRLINE_SMTP: mail with tickets is sent there without TLS: leave tls=off away, or use a private network";
        (is_clear && is_public).then(|| warning.to_owned())
    }
}

impl SmtpParameters {
    fn parse(url: &Url) -> Result<SmtpParameters, String> {
        let mut parameters = SmtpParameters::default();
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "tls" if value == "off" => parameters.has_tls = Some(false),
                "tls" if value == "on" => parameters.has_tls = Some(true),
                "tls" => return Err("tls is on or off".to_owned()),
                "sslrootcert" => parameters.roots = Some(read_pem_file(&value)?),
                "timeout_seconds" => {
                    let seconds = value.parse().ok();
                    let seconds = seconds.filter(|it| (1..=PATIENCE_SECONDS_MAX).contains(it));
                    let why = format!("timeout_seconds is 1 to {PATIENCE_SECONDS_MAX}");
                    parameters.patience_seconds = Some(seconds.ok_or(why)?);
                }
                _ => {
                    return Err(
                        "the parameters are tls, timeout_seconds and sslrootcert".to_owned()
                    );
                }
            }
        }
        Ok(parameters)
    }
}

/// Returns whether mail to a host stays on this machine, whose mail server seldom has a certificate
/// that could be checked.
fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn tls_parameters(host: &str, roots: Option<Vec<u8>>) -> Result<TlsParameters, String> {
    let text = |error: lettre::transport::smtp::Error| error.to_string();
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = roots {
        builder = builder.certificate_store(CertificateStore::None);
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(text)?);
    }
    builder.build_rustls().map_err(text)
}

fn login(url: &Url, password: Option<&str>) -> Result<Option<Credentials>, String> {
    let user = percent_decoded(url.username());
    let own = url.password().map(percent_decoded);
    match (user.is_empty(), own, password) {
        (true, None, None) => Ok(None),
        (true, ..) => Err("a password needs a user: smtp://user@host".to_owned()),
        (false, Some(_), Some(_)) => {
            Err("has a password, and FAIRLINE_SMTP_PASSWORD is another: leave one away".to_owned())
        }
        (false, None, None) => Err("a user needs FAIRLINE_SMTP_PASSWORD".to_owned()),
        (false, Some(own), None) => Ok(Some(Credentials::new(user, own))),
        (false, None, Some(password)) => Ok(Some(Credentials::new(user, password.to_owned()))),
    }
}
