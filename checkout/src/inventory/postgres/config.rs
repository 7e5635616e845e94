//! Parses `FAIRLINE_INVENTORY`: the URLs of one or more databases, with their replicas.

use shared::tls_client::choose_provider;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Error};
use std::fs::File;
use url::{Host, Url};

/// Largest number of databases.
const SHARDS_MAX: usize = 64;
const REPLICAS_MAX: usize = 8;

/// Parameters of a URL that a connection knows. Any other is refused rather than ignored: a
/// mistyped `sslmode` would connect without TLS.
const PARAMETERS: [&str; 11] = [
    "application_name",
    "dbname",
    "host",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

const SEVERAL_HOSTS: &str =
    "several hosts in one URL are not supported: name one address that leads to the primary";

/// Addresses of one database and its replicas.
#[derive(Clone)]
pub(super) struct DatabaseConfig {
    pub(super) primary: PgConnectOptions,
    pub(super) replicas: Vec<PgConnectOptions>,
    /// The database's own address where `primary` leads through a pooler such as PgBouncer.
    pub(super) listen: Option<PgConnectOptions>,
}

/// Variables of libpq about TLS, which stand in where a URL says nothing. sqlx reads them itself
/// and reports no mistake.
#[derive(Default)]
struct Variables {
    ssl_mode: Option<String>,
    has_root_certificate: bool,
}

impl Variables {
    #[expect(
        clippy::disallowed_methods,
        reason = "sqlx reads these variables, and nothing else says what it found"
    )]
    fn read() -> Variables {
        Variables {
            ssl_mode: std::env::var("PGSSLMODE").ok(),
            has_root_certificate: std::env::var_os("PGSSLROOTCERT").is_some(),
        }
    }
}

/// Parses URLs separated by blanks. Each may have the parameter `replicas`, percent-encoded URLs
/// separated by commas, and `listen`, another URL of the same database.
///
/// # Errors
/// A sentence for the operator, without a password.
pub(super) fn parse(text: &str) -> Result<Vec<DatabaseConfig>, String> {
    choose_provider();
    parse_with(text, &Variables::read())
}

fn parse_with(text: &str, variables: &Variables) -> Result<Vec<DatabaseConfig>, String> {
    let databases = text
        .split_whitespace()
        .map(|text| database(text, variables));
    let databases: Result<Vec<DatabaseConfig>, String> = databases.collect();
    let databases = databases.map_err(|error| format!("FAIRLINE_INVENTORY: {error}"))?;
    match databases.len() {
        1..=SHARDS_MAX => Ok(databases),
        _ => Err(format!("FAIRLINE_INVENTORY: 1 to {SHARDS_MAX} databases")),
    }
}

/// Returns whether a URL names a Postgres database.
pub fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn database(text: &str, variables: &Variables) -> Result<DatabaseConfig, String> {
    let mut url = parse_url(text)?;
    let (mut replicas, mut listen) = (Vec::new(), None);
    let mut kept: Vec<(String, String)> = Vec::new();
    for (name, value) in url.query_pairs() {
        match &*name {
            "replicas" => {
                let servers = value
                    .split(',')
                    .map(|text| server(&parse_url(text)?, variables));
                replicas = servers.collect::<Result<_, String>>()?;
            }
            "listen" => listen = Some(server(&parse_url(&value)?, variables)?),
            _ => kept.push((name.into_owned(), value.into_owned())),
        }
    }
    if replicas.len() > REPLICAS_MAX {
        return Err(format!("at most {REPLICAS_MAX} replicas"));
    }
    url.query_pairs_mut().clear().extend_pairs(kept);
    Ok(DatabaseConfig {
        primary: server(&url, variables)?,
        replicas,
        listen,
    })
}

fn parse_url(text: &str) -> Result<Url, String> {
    if !is_postgres(text) {
        return Err("'sqlite' or 'postgres://…'".to_owned());
    }
    if has_several_hosts(text) {
        return Err(SEVERAL_HOSTS.to_owned());
    }
    let mut url = Url::parse(text).map_err(|error| error.to_string())?;
    // A plus stands for itself in these URLs, unlike in those of forms.
    let query = url.query().map(|query| query.replace('+', "%2B"));
    url.set_query(query.as_deref());
    Ok(url)
}

/// Returns whether the part of a URL that names its host names several, as libpq allows.
fn has_several_hosts(text: &str) -> bool {
    let (_, rest) = text.split_once("://").unwrap_or_default();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    host.contains(',')
}

/// Reads the options of connections to one server.
fn server(url: &Url, variables: &Variables) -> Result<PgConnectOptions, String> {
    let mut has_root_certificate = variables.has_root_certificate;
    let mut has_mode = false;
    for (name, value) in url.query_pairs() {
        if name == "hostaddr" {
            return Err(
                "'hostaddr' is not supported: name the server by the host in the URL".to_owned(),
            );
        }
        if !PARAMETERS.contains(&&*name) {
            return Err(unknown(url, &name));
        }
        has_mode |= name == "sslmode";
        if name == "sslrootcert" {
            File::open(&*value).map_err(|error| format!("sslrootcert {value}: {error}"))?;
            has_root_certificate = true;
        }
    }
    if let Some(mode) = variables.ssl_mode.as_deref().filter(|_| !has_mode) {
        // sqlx would take it for `prefer`, and connect without TLS.
        let parsed: Result<PgSslMode, Error> = mode.parse();
        parsed.map_err(|_| format!("PGSSLMODE: there is no mode '{mode}'"))?;
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
    if options.get_host().contains(',') {
        return Err(SEVERAL_HOSTS.to_owned());
    }
    let options = match options.get_ssl_mode() {
        PgSslMode::Allow => {
            return Err(
                "sslmode=allow is not supported: use prefer, which encrypts if the server can"
                    .to_owned(),
            );
        }
        // As libpq does. sqlx would check nothing.
        PgSslMode::Require if has_root_certificate => options.ssl_mode(PgSslMode::VerifyCa),
        _ => options,
    };
    // Poolers do not know this one, which concerns the text form of numbers, while sqlx uses the
    // binary one.
    Ok(options.extra_float_digits(None).disable_statement_logging())
}

/// Says which parameter is unknown, unless it may be part of a password that should have been
/// percent-encoded.
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
        let comma = parse("postgres://a:b,c@x/y").unwrap();
        assert_eq!(shown(&comma[0].primary), "x:5432/y");
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
            ("postgres://x:1,z:2/y", "one address"),
            ("postgres://a:12,3Z@x,z/y", "one address"),
            ("postgres:///y?host=x,z", "one address"),
            ("postgres://x/y?hostaddr=10.0.0.1", "by the host"),
        ] {
            let error = parse(text).err().unwrap();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("cd") && !error.contains("3Z"), "{error}");
        }
    }

    #[test]
    fn modes_of_tls_are_those_of_libpq_or_refused() {
        let root = tempfile::NamedTempFile::new().unwrap();
        let with_root = format!("&sslrootcert={}", root.path().display());
        let read = |mode: &str, root: &str, variables: &Variables| {
            let url = format!("postgres://x/y?{mode}{root}");
            let databases = parse_with(&url, variables)?;
            Ok::<_, String>(databases[0].primary.get_ssl_mode())
        };
        let none = Variables::default();
        let certificate = Variables {
            has_root_certificate: true,
            ..Variables::default()
        };
        let mode = |mode: &str| Variables {
            ssl_mode: Some(mode.to_owned()),
            ..Variables::default()
        };
        for (given, variables, why) in [
            ("sslmode=allow", &none, "use prefer"),
            ("user=a", &mode("verify_full"), "PGSSLMODE"),
        ] {
            let error = read(given, "", variables).unwrap_err();
            assert!(error.contains(why), "{given}: {error}");
        }
        for (given, root, variables, expected) in [
            ("sslmode=require", "", &none, PgSslMode::Require),
            ("sslmode=require", &*with_root, &none, PgSslMode::VerifyCa),
            ("sslmode=require", "", &certificate, PgSslMode::VerifyCa),
            ("sslmode=verify-ca", &*with_root, &none, PgSslMode::VerifyCa),
            (
                "sslmode=verify-full",
                "",
                &certificate,
                PgSslMode::VerifyFull,
            ),
            ("sslmode=prefer", "", &certificate, PgSslMode::Prefer),
            (
                "sslmode=disable",
                "",
                &mode("verify_full"),
                PgSslMode::Disable,
            ),
        ] {
            let read = read(given, root, variables).unwrap();
            assert!(
                std::mem::discriminant(&read) == std::mem::discriminant(&expected),
                "{given}{root}: {read:?}"
            );
        }
        assert!(read("user=a", "", &mode("verify-full")).is_ok());
    }
}
