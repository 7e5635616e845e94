//! Parses `FAIRLINE_INVENTORY`: the URLs of one or more databases, with their replicas.

use std::str::FromStr as _;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// Largest number of databases.
const SHARDS_MAX: usize = 64;
const REPLICAS_MAX: usize = 8;

/// Addresses of one database and its replicas.
#[derive(Clone)]
pub(super) struct Database {
    pub(super) primary: Config,
    pub(super) replicas: Vec<Config>,
    /// Address for notifications, which bypasses PgBouncer as PgBouncer cannot forward them.
    pub(super) listen: Option<Config>,
}

/// Parses URLs separated by blanks. Each may have the parameter `replicas`, percent-encoded URLs separated by
/// commas, and `listen`, another URL of the same database.
///
/// # Errors
/// A sentence for the operator, without a password.
pub(super) fn parse(text: &str) -> Result<Vec<Database>, String> {
    let databases: Result<Vec<Database>, String> = text.split_whitespace().map(database).collect();
    let databases = databases.map_err(|error| format!("FAIRLINE_INVENTORY: {error}"))?;
    match databases.len() {
        1..=SHARDS_MAX => Ok(databases),
        _ => Err(format!("FAIRLINE_INVENTORY: 1 to {SHARDS_MAX} databases")),
    }
}

fn database(url: &str) -> Result<Database, String> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut kept, mut replicas, mut listen) = (Vec::new(), Vec::new(), None);
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("replicas", urls)) => {
                for url in decode(urls)?.split(',') {
                    replicas.push(config(url)?);
                }
            }
            Some(("listen", url)) => listen = Some(config(&decode(url)?)?),
            _ => kept.push(parameter),
        }
    }
    if replicas.len() > REPLICAS_MAX {
        return Err(format!("at most {REPLICAS_MAX} replicas"));
    }
    Ok(Database {
        primary: config(&format!("{base}?{}", kept.join("&")))?,
        replicas,
        listen,
    })
}

fn config(url: &str) -> Result<Config, String> {
    if !super::super::is_postgres(url) {
        return Err("'sqlite' or 'postgres://…'".to_owned());
    }
    let config = Config::from_str(url).map_err(|error| error.to_string())?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(
            "TLS to Postgres is not built in: use a local socket, a private network or a tunnel"
                .to_owned(),
        );
    }
    Ok(config)
}

/// Returns the host, port and name of a database, safe to display.
pub(super) fn shown(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("{host}:{port}/{}", config.get_dbname().unwrap_or(""))
}

fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or("a '%' that is not followed by two hex digits")?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| "a URL is UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_and_their_replicas_are_read_and_no_password_is_shown() {
        let text = "postgres://a:secret@one/x?replicas=postgres%3A%2F%2Fb%40two%3A5433%2Fx&listen=postgres://a@three/x \
                    postgresql://four/y";
        let databases = parse(text).unwrap();
        assert_eq!(databases.len(), 2);
        assert_eq!(shown(&databases[0].primary), "one:5432/x");
        assert_eq!(shown(&databases[0].replicas[0]), "two:5433/x");
        assert_eq!(shown(databases[0].listen.as_ref().unwrap()), "three:5432/x");
        assert!(databases[1].replicas.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (text, why) in [
            ("", "databases"),
            ("mysql://x/y", "postgres://"),
            ("postgres://x/y?sslmode=require", "TLS"),
            ("postgres://x/y?replicas=%zz", "hex digits"),
            ("postgres://x:port/y", "invalid"),
        ] {
            let error = parse(text).err().unwrap();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
