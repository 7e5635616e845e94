//! The address of a message broker, as `FAIRLINE_EVENTS` names it. With TLS the names and the
//! certificates of all servers are checked; there is no mode without checks.

use shared::tls_client::{client_config, read_pem_file, roots_of_pem, system_roots};
use shared::warnings::is_clear_in_public;
use std::sync::Arc;
use tokio::net::lookup_host;
use url::form_urlencoded;

const UNKNOWN: &str = "neither kafka://, nats:// nor amqp://, nor with TLS kafkas://, tls:// (for NATS) or amqps://; \
                       several hosts are separated by commas";
const PREFIX: &str = "fairline";

/// A broker, and how to log in there.
pub struct Address {
    /// The broker's protocol.
    pub protocol: Protocol,
    /// Its hosts, of which any may be asked first.
    pub hosts: Vec<Host>,
    /// Login, if one is needed.
    pub login: Option<Login>,
    /// How to connect by TLS; none without.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// First part of the topics of Kafka and of the subjects of NATS, and the exchange of RabbitMQ.
    pub prefix: String,
}

/// Protocol of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Kafka's, with the way in which the password is shown.
    Kafka(Sasl),
    /// NATS with JetStream.
    Nats,
    /// AMQP 0.9.1, with the virtual host.
    Amqp(String),
}

/// How Kafka is shown the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sasl {
    /// In clear.
    Plain,
    /// By SCRAM with SHA-256.
    ScramSha256,
    /// By SCRAM with SHA-512.
    ScramSha512,
}

/// A server of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name or address.
    pub name: String,
    /// Port.
    pub port: u16,
}

/// A name and a password, or a token alone. Never printed.
pub struct Login {
    /// Name, or the token of NATS.
    pub user: String,
    /// Password; none with a token.
    pub password: Option<String>,
}

/// Parameters of a URL after its `?`.
struct Parameters {
    prefix: String,
    sasl: Option<Sasl>,
    roots: Option<Vec<u8>>,
}

impl Address {
    /// Parses a URL, and reads the root certificates that it names. Does not connect.
    ///
    /// # Errors
    /// The end of a sentence for the operator, without credentials.
    pub fn parse(url: &str) -> Result<Address, String> {
        let url = url.trim();
        if url.contains('#') {
            return Err("'#' means nothing here, and a password has it as %23".to_owned());
        }
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let (scheme, rest) = address.split_once("://").ok_or(UNKNOWN)?;
        let parameters = Parameters::parse(query)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(Login::parse(login)), hosts),
            None => (None, authority),
        };
        let sasl = parameters.sasl;
        let (protocol, port, has_tls) = match scheme {
            "kafka" => (Protocol::Kafka(sasl.unwrap_or(Sasl::Plain)), 9092, false),
            "kafkas" => (Protocol::Kafka(sasl.unwrap_or(Sasl::Plain)), 9093, true),
            "nats" => (Protocol::Nats, 4222, false),
            "tls" => (Protocol::Nats, 4222, true),
            "amqp" => (Protocol::Amqp(virtual_host(path)), 5672, false),
            "amqps" => (Protocol::Amqp(virtual_host(path)), 5671, true),
            _ => return Err(UNKNOWN.to_owned()),
        };
        let is_amqp = matches!(protocol, Protocol::Amqp(_));
        if !is_amqp && !path.is_empty() {
            return Err("nothing comes behind the hosts but '?' and parameters".to_owned());
        }
        if sasl.is_some() && !matches!(protocol, Protocol::Kafka(_)) {
            return Err("sasl is for Kafka".to_owned());
        }
        if parameters.roots.is_some() && !has_tls {
            return Err("sslrootcert needs TLS: kafkas://, tls:// or amqps://".to_owned());
        }
        if has_no_password(&protocol, login.as_ref()) {
            return Err("a user needs a password: user:password@host".to_owned());
        }
        let tls = has_tls.then(|| match &parameters.roots {
            Some(pem) => Arc::new(client_config(roots_of_pem(pem))),
            None => Arc::new(client_config(system_roots())),
        });
        Ok(Address {
            protocol,
            hosts: hosts_of(hosts, port)?,
            login,
            tls,
            prefix: parameters.prefix,
        })
    }

    /// Returns the name of the broker in messages.
    pub fn broker_name(&self) -> &'static str {
        match self.protocol {
            Protocol::Kafka(_) => "Kafka",
            Protocol::Nats => "NATS",
            Protocol::Amqp(_) => "RabbitMQ",
        }
    }

    /// Returns what to warn of: a password, and the buyers in events, that cross the internet in
    /// clear.
    pub fn warning(&self) -> Option<String> {
        let mut hosts = self.hosts.iter();
        let is_clear = self.tls.is_none()
            && hosts.any(|host| is_clear_in_public(&format!("http://{}", host.name)));
        let tls = match self.protocol {
            Protocol::Kafka(_) => "kafkas://",
            Protocol::Nats => "tls://",
            Protocol::Amqp(_) => "amqps://",
        };
        is_clear.then(|| {
            format!(
                "FAIRLINE_EVENTS: events are sent there without TLS: use {tls} or a private network"
            )
        })
    }

    /// Looks the hosts up.
    ///
    /// # Errors
    /// A sentence for the operator, if the system knows none of them.
    pub async fn look_up(&self) -> Result<(), String> {
        for host in &self.hosts {
            if lookup_host((host.name.as_str(), host.port)).await.is_ok() {
                return Ok(());
            }
        }
        let names: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        Err(format!("there is no host {}", names.join(", ")))
    }
}

impl Parameters {
    fn parse(query: &str) -> Result<Parameters, String> {
        let mut parameters = Parameters {
            prefix: PREFIX.to_owned(),
            sasl: None,
            roots: None,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "prefix" => parameters.prefix = prefix(&value)?,
                "sasl" => parameters.sasl = Some(Sasl::parse(&value)?),
                "sslrootcert" => parameters.roots = Some(read_pem_file(&value)?),
                _ => return Err("the parameters are prefix, sasl and sslrootcert".to_owned()),
            }
        }
        Ok(parameters)
    }
}

impl Sasl {
    fn parse(text: &str) -> Result<Sasl, String> {
        match text {
            "plain" => Ok(Sasl::Plain),
            "scram-sha-256" => Ok(Sasl::ScramSha256),
            "scram-sha-512" => Ok(Sasl::ScramSha512),
            _ => Err("sasl is plain, scram-sha-256 or scram-sha-512".to_owned()),
        }
    }
}

impl Login {
    fn parse(text: &str) -> Login {
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, Some(percent_decoded(password))),
            None => (text, None),
        };
        Login {
            user: percent_decoded(user),
            password,
        }
    }
}

/// Returns whether a login lacks the password that the protocol wants. NATS takes a token alone.
fn has_no_password(protocol: &Protocol, login: Option<&Login>) -> bool {
    *protocol != Protocol::Nats && login.is_some_and(|login| login.password.is_none())
}

/// Returns the virtual host of a path, which is `/` without one
/// (<https://www.rabbitmq.com/docs/uri-spec>).
fn virtual_host(path: &str) -> String {
    match path {
        "" => "/".to_owned(),
        path => percent_decoded(path),
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_fine = (1..=100).contains(&text.len())
        && text.bytes().all(is_right)
        && text.split('.').all(|part| !part.is_empty());
    match is_fine {
        true => Ok(text.to_owned()),
        false => Err("the prefix is 1 to 100 of a-z, A-Z, 0-9, '-', '_' and '.'".to_owned()),
    }
}

/// Decodes a part of a URL.
pub fn percent_decoded(text: &str) -> String {
    // The decoder is one of forms, in which these three mean something.
    let text = text.replace('+', "%2B").replace('&', "%26");
    let text = text.replace('=', "%3D");
    let field = form_urlencoded::parse(text.as_bytes()).next();
    field.map(|(name, _)| name.into_owned()).unwrap_or_default()
}

fn hosts_of(hosts: &str, default_port: u16) -> Result<Vec<Host>, String> {
    let all = hosts.split(',').enumerate();
    all.map(|(index, host)| {
        // Not the text: a password with a '/' or '@' in clear would be taken for a host.
        host_of(host, default_port).ok_or_else(|| {
            format!(
                "host {} is not host:port (in a password '/' is %2F, '@' is %40, ',' is %2C)",
                index + 1
            )
        })
    })
    .collect()
}

fn host_of(text: &str, default_port: u16) -> Option<Host> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()?),
        _ => (text, default_port),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[:]".contains(&byte);
    let is_fine = !name.is_empty() && name.bytes().all(is_name) && port > 0;
    is_fine.then(|| Host {
        name: name.trim_matches(['[', ']']).to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Address {
        Address::parse(url).unwrap_or_else(|why| panic!("{url}: {why}"))
    }

    #[test]
    fn an_address_names_its_broker_hosts_and_login() {
        let kafka = parsed("kafka://u%40x:p%2F+w@a:9,b?sasl=scram-sha-512&prefix=shop.events");
        assert_eq!(kafka.protocol, Protocol::Kafka(Sasl::ScramSha512));
        let hosts: Vec<_> = kafka.hosts.iter().map(|h| (&*h.name, h.port)).collect();
        assert_eq!(hosts, [("a", 9), ("b", 9092)]);
        let login = kafka.login.unwrap();
        assert_eq!(login.user, "u@x");
        assert_eq!(login.password.as_deref(), Some("p/+w"));
        assert_eq!(kafka.prefix, "shop.events");
        assert!(kafka.tls.is_none());

        let nats = parsed("tls://token@[::1]");
        assert_eq!((&*nats.hosts[0].name, nats.hosts[0].port), ("::1", 4222));
        assert!(nats.tls.is_some() && nats.prefix == "fairline");
        assert!(nats.login.is_some_and(|login| login.password.is_none()));

        assert_eq!(parsed("amqp://h").protocol, Protocol::Amqp("/".into()));
        assert_eq!(
            parsed("amqp://h/%2Fa").protocol,
            Protocol::Amqp("/a".into())
        );
        assert_eq!(parsed("amqps://h").hosts[0].port, 5671);
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_without_its_password() {
        for (url, why) in [
            ("redis://sesame@host", "neither kafka://"),
            ("localhost:9092", "neither kafka://"),
            ("kafka://", "host 1 is not"),
            ("kafka://a:1,b:x", "host 2 is not"),
            ("kafka://a:0", "host 1 is not"),
            ("nats://u:ses/ame@host", "nothing comes behind"),
            ("nats://host/sesame", "nothing comes behind"),
            ("kafka://sesame@host", "needs a password"),
            ("nats://host?sasl=plain", "is for Kafka"),
            ("kafka://host?sasl=sesame", "sasl is plain"),
            ("kafka://host?prefix=a..b", "the prefix is"),
            ("kafka://host?prefix=a*", "the prefix is"),
            ("kafka://host?sesame=1", "the parameters are"),
            ("kafka://u:ses#ame@host", "%23"),
            ("kafka://host?sslrootcert=/x", "needs TLS|sslrootcert /x"),
            ("kafkas://host?sslrootcert=/x", "sslrootcert /x"),
        ] {
            let told = Address::parse(url).err().unwrap_or_default();
            assert!(
                why.split('|').any(|why| told.contains(why)),
                "{url}: {told}"
            );
            assert!(!told.contains("ses"), "{told}");
        }
    }

    #[test]
    fn events_in_clear_over_the_internet_are_warned_of() {
        let warning = |url: &str| parsed(url).warning();
        assert!(warning("kafka://kafka.example:9092").is_some());
        assert!(warning("nats://10.0.0.1,nats.example").is_some());
        for url in ["kafkas://kafka.example", "nats://nats", "amqp://127.0.0.1"] {
            assert_eq!(warning(url), None, "{url}");
        }
    }
}
