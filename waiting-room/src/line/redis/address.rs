//! The address of Redis, as `FAIRLINE_LINE` names it: a single server, Sentinels, or a cluster,
//! each with TLS or without. With TLS the names and the certificates of all servers are checked;
//! there is no mode without checks.

#[cfg(test)]
use super::simulation::link::Link;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ConnectionAddr, IntoConnectionInfo as _, RedisError, TlsCertificates, TlsMode,
};
use shared::ids::EventId;
use shared::tls_client::{choose_provider, read_pem_file};
use std::time::Duration;
use url::form_urlencoded;

/// Longest time a connection may take, with its TLS handshake.
pub(super) const CONNECT: Duration = Duration::from_secs(2);
/// Time after which a server without an answer counts as unreachable.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
const PORT: &str = "6379";

/// Client of the server.
pub(super) enum Source {
    Single(Box<Client>),
    Sentinel(Box<tokio::sync::Mutex<SentinelClient>>),
    Cluster(Box<ClusterClient>),
    #[cfg(test)]
    Simulated(Link),
}

/// The servers that a URL names.
pub(super) struct Servers {
    pub(super) source: Source,
    /// The hosts with their ports, for messages.
    pub(super) peers: String,
}

/// A URL as understood.
pub(super) struct Address {
    pub(super) servers: Servers,
    pub(super) has_tls: bool,
    /// Prefix of all keys, so that installations can share a Redis.
    pub(super) prefix: String,
}

/// Parameters of a URL after its `?`.
struct Parameters {
    prefix: String,
    /// The only root certificates that are trusted; those of the system if none.
    roots: Option<TlsCertificates>,
    /// Parameters of the client, for a single server.
    others: String,
}

impl Address {
    /// Parses a URL, and reads the root certificates that it names. Does not connect.
    ///
    /// # Errors
    /// A message for the operator, which contains no password.
    pub(super) fn parse(url: &str) -> Result<Address, String> {
        parse(url).map_err(|why| format!("FAIRLINE_LINE: {why}"))
    }
}

fn parse(url: &str) -> Result<Address, String> {
    let unknown = || {
        "neither 'embedded' nor redis://, redis+unix://, redis+sentinel:// or redis+cluster://, \
         nor with TLS rediss://, rediss+sentinel:// or rediss+cluster://"
            .to_owned()
    };
    if url.contains('#') {
        let why =
            "'#' means nothing here: certificates are always checked, and a password has it as %23";
        return Err(why.to_owned());
    }
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, hosts) = address.split_once("://").ok_or_else(unknown)?;
    let (kind, has_tls) = match scheme.strip_prefix("rediss") {
        Some(kind) => (kind, true),
        None => (scheme.strip_prefix("redis").ok_or_else(unknown)?, false),
    };
    let parameters = Parameters::parse(query)?;
    if parameters.roots.is_some() && !has_tls {
        return Err("sslrootcert needs TLS: rediss instead of redis".to_owned());
    }
    if !kind.is_empty() && kind != "+unix" && !parameters.others.is_empty() {
        return Err("the parameters are prefix and sslrootcert".to_owned());
    }
    let Parameters {
        prefix,
        roots,
        others,
    } = parameters;
    let servers = match kind {
        "" => single(&format!("{address}?{others}"), roots)?,
        "+unix" if !has_tls => single(&format!("{address}?{others}"), None)?,
        "+sentinel" => sentinel(hosts, has_tls, roots)?,
        "+cluster" => cluster(hosts, has_tls, roots)?,
        _ => return Err(unknown()),
    };
    if has_tls {
        choose_provider();
    }
    Ok(Address {
        servers,
        has_tls,
        prefix,
    })
}

impl Parameters {
    fn parse(query: &str) -> Result<Parameters, String> {
        let mut prefix = "fairline".to_owned();
        let mut roots = None;
        let mut others = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "prefix" => {
                    let why = "the prefix is 1 to 63 of a-z, 0-9 and '-'";
                    EventId::parse(&value).map_err(|_| why.to_owned())?;
                    prefix = value.into_owned();
                }
                "sslrootcert" => roots = Some(read_roots(&value)?),
                _ => {
                    others.append_pair(&name, &value);
                }
            }
        }
        Ok(Parameters {
            prefix,
            roots,
            others: others.finish(),
        })
    }
}

fn read_roots(path: &str) -> Result<TlsCertificates, String> {
    Ok(TlsCertificates {
        client_tls: None,
        root_cert: Some(read_pem_file(path)?),
    })
}

/// Returns the category of an error: the rest may contain the URL.
fn category(error: RedisError) -> String {
    error.category().to_owned()
}

fn single(url: &str, roots: Option<TlsCertificates>) -> Result<Servers, String> {
    let client = match roots {
        Some(roots) => Client::build_with_tls(url, roots),
        None => Client::open(url),
    };
    let client = client.map_err(category)?;
    let peers = client.get_connection_info().addr().to_string();
    Ok(Servers {
        source: Source::Single(Box::new(client)),
        peers,
    })
}

fn cluster(rest: &str, has_tls: bool, roots: Option<TlsCertificates>) -> Result<Servers, String> {
    let (login, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
    let nodes = hosts_of(hosts.trim_end_matches('/'))?;
    let scheme = if has_tls { "rediss" } else { "redis" };
    let urls = nodes.iter().map(|Host { name, port }| match login {
        "" => format!("{scheme}://{name}:{port}"),
        login => format!("{scheme}://{login}@{name}:{port}"),
    });
    let mut builder = ClusterClientBuilder::new(urls.collect::<Vec<_>>())
        .connection_timeout(CONNECT)
        .response_timeout(ANSWER)
        .retries(3)
        .min_retry_wait(20)
        .max_retry_wait(300);
    if let Some(roots) = roots {
        builder = builder.certs(roots);
    }
    let client = builder.build().map_err(category)?;
    Ok(Servers {
        source: Source::Cluster(Box::new(client)),
        peers: hosts.to_owned(),
    })
}

fn sentinel(rest: &str, has_tls: bool, roots: Option<TlsCertificates>) -> Result<Servers, String> {
    let (login, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (hosts, name) = rest
        .split_once('/')
        .filter(|(_, name)| !name.is_empty())
        .ok_or("redis+sentinel://host:port,…/master-name needs the master's name")?;
    let address = |host: Host| match has_tls {
        true => ConnectionAddr::TcpTls {
            host: host.name,
            port: host.port,
            insecure: false,
            tls_params: None,
        },
        false => ConnectionAddr::Tcp(host.name, host.port),
    };
    let addresses = hosts_of(hosts)?.into_iter().map(address);
    let builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master);
    let mut builder = builder.map_err(category)?;
    if has_tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(roots) = roots {
        builder = builder
            .set_client_to_sentinel_certificates(roots.clone())
            .set_client_to_redis_certificates(roots);
    }
    if !login.is_empty() {
        // Parses user and password the same way as any redis:// URL.
        let info = format!("redis://{login}@localhost")
            .into_connection_info()
            .map_err(category)?;
        if let Some(user) = info.redis_settings().username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = info.redis_settings().password() {
            builder = builder.set_client_to_redis_password(password);
        }
    }
    let client = builder.build().map_err(category)?;
    Ok(Servers {
        source: Source::Sentinel(Box::new(tokio::sync::Mutex::new(client))),
        peers: format!("'{name}' (Sentinels {hosts})"),
    })
}

struct Host {
    name: String,
    port: u16,
}

fn hosts_of(hosts: &str) -> Result<Vec<Host>, String> {
    let host = |host: &str| {
        let (name, port) = host.rsplit_once(':').unwrap_or((host, PORT));
        match port.parse() {
            Ok(port) if !name.is_empty() => Ok(Host {
                name: name.to_owned(),
                port,
            }),
            _ => Err(format!("'{host}' is not host:port")),
        }
    };
    hosts.split(',').map(host).collect()
}
