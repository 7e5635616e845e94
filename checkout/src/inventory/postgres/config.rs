//! Parses `FAIRLINE_INVENTORY`: the URLs of one or more databases, with their replicas.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Error};
use std::fs::File;
use url::{Host, Url};

/// Largest number of databases.
const SHARDS_MAX: usize = 64;
const REPLICAS_MAX: usize = 8;

/// Parameters of a URL that a connection knows. Any other is refused rather than ignored: a mistyped `sslmode` would
/// connect without TLS.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// Addresses of one database and its replicas.
#[derive(Clone)]
pub(super) struct DatabaseConfig {
    pub(super) primary: PgConnectOptions,
    pub(super) replicas: Vec<PgConnectOptions>,
    /// The database's own address where `primary` leads through a pooler such as PgBouncer.
    pub(super) listen: Option<PgConnectOptions>,
}

/// Parses URLs separated by blanks. Each may have the parameter `replicas`, percent-encoded URLs separated by
/// commas, and `listen`, another URL of the same database.
///
/// # Errors
/// A sentence for the operator, without a password.
pub(super) fn parse(text: &str) -> Result<Vec<DatabaseConfig>, String> {
    let databases: Result<Vec<DatabaseConfig>, String> =
        text.split_whitespace().map(database).collect();
    let databases = databases.map_err(|error| format!("FAIRLINE_INVENTORY: {error}"))?;
    match databases.len() {
        1..=SHARDS_MAX => Ok(databases),
        _ => Err(format!("FAIRLINE_INVENTORY: 1 to {SHARDS_MAX} databases")),
    }
}

fn database(text: &str) -> Result<DatabaseConfig, String> {
    let mut url = parse_url(text)?;
    let (mut replicas, mut listen) = (Vec::new(), None);
    let mut kept: Vec<(String, String)> = Vec::new();
    for (name, value) in url.query_pairs() {
        match &*name {
            "replicas" => {
                let servers = value.split(',').map(|text| server(&parse_url(text)?));
                replicas = servers.collect::<Result<_, String>>()?;
            }
            "listen" => listen = Some(server(&parse_url(&value)?)?),
            _ => kept.push((name.into_owned(), value.into_owned())),
        }
    }
    if replicas.len() > REPLICAS_MAX {
        return Err(format!("at most {REPLICAS_MAX} replicas"));
    }
    url.query_pairs_mut().clear().extend_pairs(kept);
    Ok(DatabaseConfig {
        primary: server(&url)?,
        replicas,
        listen,
    })
}

fn parse_url(text: &str) -> Result<Url, String> {
    if !super::super::is_postgres(text) {
        return Err("'sqlite' or 'postgres://…'".to_owned());
    }
    let mut url = Url::parse(text).map_err(|error| error.to_string())?;
    // A plus stands for itself in these URLs, unlike in those of forms.
    let query = url.query().map(|query| query.replace('+', "%2B"));
    url.set_query(query.as_deref());
    Ok(url)
}

/// Reads the options of connections to one server.
fn server(url: &Url) -> Result<PgConnectOptions, String> {
    let mut root = None;
    for (name, value) in url.query_pairs() {
        if !PARAMETERS.contains(&&*name) {
            return Err(unknown(url, &name));
        }
        if name == "sslrootcert" {
            File::open(&*value).map_err(|error| format!("sslrootcert {value}: {error}"))?;
            root = Some(value);
        }
    }
    let options = PgConnectOptions::from_url(url).map_err(|error| match error {
        Error::Configuration(error) => error.to_string(),
        error => error.to_string(),
    })?;
    let options = match url.host() {
        // Without the brackets of a URL.
        Some(Host::Ipv6(address)) => options.host(&address.to_string()),
        _ => options,
    };
    // As in libpq: whoever names an authority wants it to be asked.
    let options = match options.get_ssl_mode() {
        PgSslMode::Require if root.is_some() => options.ssl_mode(PgSslMode::VerifyCa),
        _ => options,
    };
    // Poolers do not know this one, which concerns the text form of numbers, while sqlx uses the binary one.
    Ok(options.extra_float_digits(None).disable_statement_logging())
}

/// Says which parameter is unknown, unless it may be part of a password that should have been percent-encoded.
fn unknown(url: &Url, name: &str) -> String {
    let is_word = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let has_password = url.query_pairs().any(|(name, _)| name == "password");
    if is_word && !has_password {
        format!("unknown parameter '{name}'")
    } else {
        format!(
            "unknown parameter; those known are {}",
            PARAMETERS.join(", ")
        )
    }
}

/// Returns the host, port and name of a database, safe to display.
pub(super) fn shown(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(path) => path.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or("");
    format!("{host}:{}/{database}", options.get_port())
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
        let socket = parse("postgres://a@%2Frun%2Fx:5433/y?options=-c%20a%3Db").unwrap();
        assert_eq!(shown(&socket[0].primary), "/run/x:5433/y");
        assert_eq!(socket[0].primary.get_options(), Some("-c a=b"));
        let numeric = parse("postgres://a@[::1]:5433/y").unwrap();
        assert_eq!(numeric[0].primary.get_host(), "::1");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (text, why) in [
            ("", "databases"),
            ("mysql://x/y", "postgres://"),
            ("postgres://x/y?sslmode=always", "always"),
            ("postgres://x/y?ssl_mode=require", "ssl_mode"),
            ("postgres://x/y?password=ab&cd", "those known"),
            ("postgres://u:12?3Z@x/y", "those known"),
            ("postgres://x/y?sslrootcert=/no/such.pem", "/no/such.pem"),
            ("postgres://x/y?replicas=%zz", "postgres://"),
            ("postgres://x:port/y", "invalid"),
        ] {
            let error = parse(text).err().unwrap();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("cd") && !error.contains("3Z"), "{error}");
        }
    }

    #[test]
    fn a_root_certificate_is_used_where_tls_is_required() {
        let root = tempfile::NamedTempFile::new().unwrap();
        let url = |mode: &str| {
            let root = root.path().display();
            format!("postgres://x/y?sslmode={mode}&sslrootcert={root}")
        };
        for (mode, expected) in [
            ("require", "VerifyCa"),
            ("verify-full", "VerifyFull"),
            ("prefer", "Prefer"),
        ] {
            let mode = parse(&url(mode)).unwrap()[0].primary.get_ssl_mode();
            assert_eq!(format!("{mode:?}"), expected);
        }
    }
}
