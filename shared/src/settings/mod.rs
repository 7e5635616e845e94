//! Settings that both services read, once, with every mistake reported at once.

use crate::arguments::Notes;
use crate::audit::Audit;
use crate::context::{AppContext, Health, Limits};
use crate::crypto::{Secret, hex, random, random_id, sha256};
use crate::data_dir::DataFolder;
use crate::edge::{Edge, PurgeTarget, Purger};
use crate::failures::Failures;
use crate::http::listener::{Caps, Transport};
use crate::http::load::{Load, LoadArgs, LoadLimits};
use crate::http::path_prefix::parse_prefix;
use crate::http::proxy_protocol::TrustedProxies;
use crate::http::rate_limit::{AddressLimiter, Cap, KeyLimiter, Limited, Limiter, SharedLimits};
use crate::http::tls::{CertificateFiles, Tls};
use crate::keys::{NamedSecret, check_distinct, read_admin_key, read_more_keys, split};
use crate::line_mail::LINE_MAILS_PER_HOUR;
use crate::log::LogFormat;
use crate::mistakes::Mistakes;
use crate::organiser::{Key, KeySource, Organisers, Role};
use crate::sign_outs::SignOuts;
use crate::time::Clock;
use crate::trace::{TraceArgs, TraceSettings, Traces};
use crate::web_url::parse_origin;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The settings as they were written.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Common {
    /// Public listener [default: 127.0.0.1:8080; checkout alone: 127.0.0.1:8081]
    #[arg(long, env = "FAIRLINE_LISTEN", global = true)]
    pub listen: Option<String>,
    /// Operations listener: /livez, /readyz, /metrics [default: 127.0.0.1:9464]
    #[arg(long, env = "FAIRLINE_OPS_LISTEN", global = true)]
    pub ops_listen: Option<String>,
    /// The URL that browsers see; issuer of the tokens; https turns on Secure cookies [default:
    /// http:// + listener; with a certificate https://]
    #[arg(long, env = "FAIRLINE_PUBLIC_URL", global = true)]
    pub public_url: Option<String>,
    /// Path under which all pages and routes answer as well, where another site has the rest of the
    /// public URL; empty: none [default: /.fairline]
    #[arg(long, env = "FAIRLINE_PATH_PREFIX", global = true)]
    pub path_prefix: Option<String>,
    /// Folder of the embedded engines and of generated keys [default: ./fairline-data]
    #[arg(long, env = "FAIRLINE_DATA", global = true)]
    pub data: Option<PathBuf>,
    /// An admin key for organisers [default: generated, printed once]
    #[arg(
        long,
        env = "FAIRLINE_ORGANISER_KEY",
        hide_env_values = true,
        global = true
    )]
    pub organiser_key: Option<String>,
    /// More organiser keys: name:role:key, comma-separated
    #[arg(
        long,
        env = "FAIRLINE_ORGANISER_KEYS",
        hide_env_values = true,
        global = true
    )]
    pub organiser_keys: Option<String>,
    /// Proxies in front whose X-Forwarded-For entry is believed [default: 0]
    #[arg(long, env = "FAIRLINE_TRUSTED_HOPS", global = true)]
    pub trusted_hops: Option<String>,
    /// Certificate chain in PEM, with which the public listener speaks TLS; read again when it
    /// changes
    #[arg(long, env = "FAIRLINE_TLS_CERT", global = true)]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, env = "FAIRLINE_TLS_KEY", global = true)]
    pub tls_key: Option<PathBuf>,
    /// Proxies that tell the client's address by the PROXY protocol: addresses or networks,
    /// comma-separated
    #[arg(long, env = "FAIRLINE_PROXY_PROTOCOL", global = true)]
    pub proxy_protocol: Option<String>,
    /// Further origins for pages and WebSockets, comma-separated
    #[arg(long, env = "FAIRLINE_ALLOWED_ORIGINS", global = true)]
    pub allowed_origins: Option<String>,
    /// URL at which the CDN takes purges by surrogate key [default: no purges]
    #[arg(
        long,
        env = "FAIRLINE_PURGE_URL",
        hide_env_values = true,
        global = true
    )]
    pub purge_url: Option<String>,
    /// Header that authorises purges, such as 'Fastly-Key: …'
    #[arg(
        long,
        env = "FAIRLINE_PURGE_HEADER",
        hide_env_values = true,
        global = true
    )]
    pub purge_header: Option<String>,
    /// New places in line per client address and minute; 0: no limit [default: 30]
    #[arg(long, env = "FAIRLINE_JOINS_PER_MINUTE", global = true)]
    pub joins_per_minute: Option<String>,
    /// New places in line per visitor and hour beyond the first; 0: no limit [default: 10]
    #[arg(long, env = "FAIRLINE_REJOINS_PER_HOUR", global = true)]
    pub rejoins_per_hour: Option<String>,
    /// Places in line per client address at one time; 0: no cap [default: 100; none where new
    /// places have no limit]
    #[arg(long, env = "FAIRLINE_PLACES_PER_ADDRESS", global = true)]
    pub places_per_address: Option<String>,
    /// Fans per client address who hold seats at one time; 0: no cap [default: 20; none where new
    /// places have no limit]
    #[arg(long, env = "FAIRLINE_SEAT_HOLDERS_PER_ADDRESS", global = true)]
    pub seat_holders_per_address: Option<String>,
    /// Requests per client address and second; 0: no limit [default: 100]
    #[arg(long, env = "FAIRLINE_REQUESTS_PER_SECOND", global = true)]
    pub requests_per_second: Option<String>,
    /// Requests per visitor and second; 0: no limit [default: 10]
    #[arg(long, env = "FAIRLINE_VISITOR_REQUESTS_PER_SECOND", global = true)]
    pub visitor_requests_per_second: Option<String>,
    /// Connections in all [default: 18500]
    #[arg(long, env = "FAIRLINE_CONNECTIONS", global = true)]
    pub connections: Option<String>,
    /// Connections per client address; 0: no cap [default: 100]
    #[arg(long, env = "FAIRLINE_CONNECTIONS_PER_ADDRESS", global = true)]
    pub connections_per_address: Option<String>,
    /// Limits on the load
    #[command(flatten)]
    pub load: LoadArgs,
    /// Traces
    #[command(flatten)]
    pub trace: TraceArgs,
    /// text or json [default: text]
    #[arg(long, env = "FAIRLINE_LOG_FORMAT", global = true)]
    pub log_format: Option<String>,
    /// Filter of log lines, such as info or waiting_room=debug,info [default: info]
    #[arg(long, env = "FAIRLINE_LOG", global = true)]
    pub log: Option<String>,
    /// Asks the running process with these settings and ends with 0 for yes, 1 for no
    #[arg(long, value_name = "QUESTION", global = true)]
    pub probe: Option<Probe>,
}

/// A question to the operations listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Probe {
    /// Does the process run?
    Livez,
    /// Does it serve?
    Readyz,
}

/// The parsed settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Public listener.
    pub listen: SocketAddr,
    /// Operations listener.
    pub ops_listen: SocketAddr,
    /// The origin that browsers see, without a slash at the end.
    pub public_url: String,
    /// Path under which all routes answer as well; empty for none.
    pub path_prefix: String,
    /// The data folder.
    pub data: PathBuf,
    /// How connections are accepted.
    pub transport: Transport,
    /// Format of log lines.
    pub log_format: LogFormat,
    /// Filter of log lines.
    pub log: String,
    /// What is not fit for a sale, for the log.
    pub warnings: Vec<String>,
    /// Variables of the environment that are no setting, for the log.
    pub unknown: Vec<String>,
    /// Files of secrets, by their settings.
    files: HashMap<String, PathBuf>,
    origins: Vec<String>,
    trusted_hops: usize,
    rates: RequestRates,
    load: LoadLimits,
    trace: TraceSettings,
    organiser_key: Option<String>,
    organiser_keys: Vec<Key>,
    purge: Option<PurgeTarget>,
}

/// Rate limits; 0 sets none.
#[derive(Debug, Clone, Copy)]
struct RequestRates {
    /// Requests of a client address in a second.
    requests: u32,
    /// New places in line of a client address in a minute.
    joins: u32,
    /// New places of a visitor in an hour, beyond the first.
    rejoins: u32,
    /// Requests of a visitor in a second.
    visitors: u32,
    /// Live places of a client address.
    live_places: usize,
    /// Fans of a client address who hold seats.
    seat_holders: usize,
}

impl Common {
    /// Returns the data folder.
    pub fn data_folder(&self) -> PathBuf {
        let data = self.data.clone();
        data.unwrap_or_else(|| PathBuf::from("fairline-data"))
    }

    /// Parses the settings and adds what is wrong to `mistakes`.
    pub fn read(&self, default_listen: &str, mistakes: &mut Mistakes) -> Settings {
        let fallback: SocketAddr = default_listen.parse().expect("the default is an address");
        let listen = mistakes.parse("FAIRLINE_LISTEN", self.listen.as_deref(), fallback);
        let has_tls = self.tls_cert.is_some() || self.tls_key.is_some();
        let scheme = if has_tls { "https" } else { "http" };
        let own = self.public_url.clone();
        let own = own.unwrap_or_else(|| format!("{scheme}://{listen}"));
        let public_url = origin("FAIRLINE_PUBLIC_URL", &own, mistakes);
        if has_tls && public_url.starts_with("http://") {
            mistakes.add("FAIRLINE_PUBLIC_URL: with FAIRLINE_TLS_CERT it must begin with https://");
        }
        let allowed = split(self.allowed_origins.as_deref());
        let allowed = allowed.map(|text| origin("FAIRLINE_ALLOWED_ORIGINS", text, mistakes));
        let mut origins: Vec<String> = std::iter::once(public_url.clone()).chain(allowed).collect();
        if self.public_url.is_none() && listen.ip().is_unspecified() {
            mistakes.add(
                "FAIRLINE_PUBLIC_URL: needed with a listener on all addresses: what browsers see",
            );
        }
        origins.extend(other_loopback_name(&public_url));
        let hops = self.trusted_hops.as_deref();
        let trusted_hops = mistakes.parse("FAIRLINE_TRUSTED_HOPS", hops, 0);
        let prefix = parse_prefix(self.path_prefix.as_deref().unwrap_or("/.fairline"));
        let path_prefix = mistakes.take("FAIRLINE_PATH_PREFIX", prefix);
        let ops_listen = self.ops_listener(mistakes);
        Settings {
            listen,
            ops_listen,
            warnings: crate::warnings::of_addresses(&public_url, ops_listen),
            unknown: Vec::new(),
            files: HashMap::new(),
            public_url,
            path_prefix: path_prefix.unwrap_or_default(),
            data: self.data_folder(),
            transport: self.transport(trusted_hops, mistakes),
            log_format: self.log_format(mistakes),
            log: self.log.clone().unwrap_or_else(|| "info".to_owned()),
            origins,
            trusted_hops,
            rates: self.rates(mistakes),
            load: self.load.read(mistakes),
            trace: self.trace.read(mistakes),
            organiser_key: read_admin_key(self.organiser_key.as_deref(), mistakes),
            organiser_keys: read_more_keys(self.organiser_keys.as_deref(), mistakes),
            purge: PurgeTarget::read(
                self.purge_url.as_deref(),
                self.purge_header.as_deref(),
                mistakes,
            ),
        }
    }

    fn transport(&self, trusted_hops: usize, mistakes: &mut Mistakes) -> Transport {
        let proxies = self.proxy_protocol.as_deref().map(TrustedProxies::parse);
        let proxies = proxies.and_then(|list| mistakes.take("FAIRLINE_PROXY_PROTOCOL", list));
        let tls = match (self.tls_cert.clone(), self.tls_key.clone()) {
            (Some(certificate), Some(key)) => {
                let files = CertificateFiles { certificate, key };
                let opened = Tls::open(files, Clock::system());
                opened.map_err(|error| mistakes.add(error)).ok()
            }
            (Some(_), None) => {
                mistakes.add("FAIRLINE_TLS_KEY: needed with FAIRLINE_TLS_CERT");
                None
            }
            (None, Some(_)) => {
                mistakes.add("FAIRLINE_TLS_CERT: needed with FAIRLINE_TLS_KEY");
                None
            }
            (None, None) => None,
        };
        Transport {
            caps: self.caps(trusted_hops, mistakes),
            proxies: proxies.unwrap_or_default(),
            tls: tls.map(Arc::new),
        }
    }

    /// Returns the address of the operations listener.
    pub fn ops_listener(&self, mistakes: &mut Mistakes) -> SocketAddr {
        let fallback = SocketAddr::from(([127, 0, 0, 1], 9464));
        let text = self.ops_listen.as_deref();
        mistakes.parse("FAIRLINE_OPS_LISTEN", text, fallback)
    }

    fn caps(&self, trusted_hops: usize, mistakes: &mut Mistakes) -> Caps {
        let text = self.connections.as_deref();
        let connections_max: usize = mistakes.parse("FAIRLINE_CONNECTIONS", text, 18_500);
        if !(1..=10_000_000).contains(&connections_max) {
            mistakes.add("FAIRLINE_CONNECTIONS: at least 1 and at most 10000000");
        }
        // Behind a proxy every connection comes from the proxy, which has caps of its own.
        let default = if trusted_hops > 0 { 0 } else { 100 };
        let text = self.connections_per_address.as_deref();
        let per_address = mistakes.parse("FAIRLINE_CONNECTIONS_PER_ADDRESS", text, default);
        Caps {
            connections_max,
            connections_per_address_max: per_address,
        }
    }

    fn rates(&self, mistakes: &mut Mistakes) -> RequestRates {
        let mut rate =
            |name, text: &Option<String>, default| mistakes.parse(name, text.as_deref(), default);
        let by_visitor = &self.visitor_requests_per_second;
        let joins = rate("FAIRLINE_JOINS_PER_MINUTE", &self.joins_per_minute, 30);
        // An installation that gives places without limit, as for a load test, caps none either.
        let or_none = |default| if joins > 0 { default } else { 0 };
        let live = self.places_per_address.as_deref();
        let holders = self.seat_holders_per_address.as_deref();
        RequestRates {
            requests: rate(
                "FAIRLINE_REQUESTS_PER_SECOND",
                &self.requests_per_second,
                100,
            ),
            joins,
            rejoins: rate("FAIRLINE_REJOINS_PER_HOUR", &self.rejoins_per_hour, 10),
            visitors: rate("FAIRLINE_VISITOR_REQUESTS_PER_SECOND", by_visitor, 10),
            live_places: mistakes.parse("FAIRLINE_PLACES_PER_ADDRESS", live, or_none(100)),
            seat_holders: mistakes.parse("FAIRLINE_SEAT_HOLDERS_PER_ADDRESS", holders, or_none(20)),
        }
    }

    fn log_format(&self, mistakes: &mut Mistakes) -> LogFormat {
        let format = self.log_format.as_deref().map(LogFormat::parse);
        let format = format.and_then(|format| mistakes.take("FAIRLINE_LOG_FORMAT", format));
        format.unwrap_or(LogFormat::Text)
    }
}

impl Settings {
    /// Takes what was noticed while the settings were read.
    pub fn take(&mut self, mut notes: Notes) {
        self.warnings.append(&mut notes.warnings);
        self.unknown.append(&mut notes.unknown);
        self.files = notes.files;
    }

    /// Records where a key or secret serves twice: the organiser keys and `secrets` must all be
    /// different.
    pub fn check_distinct(&self, secrets: [NamedSecret; 2], mistakes: &mut Mistakes) {
        let mut all = secrets.to_vec();
        all.push(NamedSecret {
            setting: "FAIRLINE_ORGANISER_KEY",
            value: self.organiser_key.as_deref(),
        });
        all.extend(self.organiser_keys.iter().map(|key| NamedSecret {
            setting: "FAIRLINE_ORGANISER_KEYS",
            value: Some(&key.key),
        }));
        check_distinct(&all, mistakes);
    }

    /// Opens the site: the organiser's keys, the audit log, the limits. A generated admin key is
    /// returned to be printed. With a pass secret that processes share, the console's sessions and
    /// the generated key are those of all of them. No key that is ever sent may take its place: its
    /// bearers could sign themselves in.
    ///
    /// # Errors
    /// If the data folder cannot keep what is generated.
    pub fn open_site(
        &self,
        folder: &DataFolder,
        clock: Clock,
        stop: CancellationToken,
        pass_secret: Option<&str>,
    ) -> Result<(AppContext, Option<String>), String> {
        let (admin, generated) = self.first_key(folder, pass_secret)?;
        let keys = KeySource {
            admin: Key {
                name: "admin".into(),
                role: Role::Admin,
                key: admin,
            },
            more: self.organiser_keys.clone(),
            admin_file: self.files.get("FAIRLINE_ORGANISER_KEY").cloned(),
            more_file: self.files.get("FAIRLINE_ORGANISER_KEYS").cloned(),
        };
        let kept = match pass_secret {
            Some(secret) => secret.to_owned(),
            None => folder.secret("console-secret")?,
        };
        let sessions = Secret::derive(kept.as_bytes(), "console");
        let sign_outs = SignOuts::open(&folder.join("signed-out.json"), clock.clone())?;
        let rates = self.rates;
        // Nodes that share a store have a pass secret in common.
        let address_secret = match pass_secret {
            Some(secret) => Secret::derive(secret.as_bytes(), "addresses"),
            None => Secret::derive(&random::<32>(), "addresses"),
        };
        let site = AppContext {
            public_url: self.public_url.clone(),
            path_prefix: self.path_prefix.clone(),
            https: self.public_url.starts_with("https://"),
            origins: self.origins.clone(),
            trusted_hops: self.trusted_hops,
            organisers: Organisers::new(keys.keys(), sessions, sign_outs),
            key_source: keys,
            audit: Audit::open(&folder.join("audit.jsonl"), clock.now())?,
            limits: Limits {
                requests: AddressLimiter::new(Limited::Requests, |factor| {
                    let count = rates.requests.saturating_mul(factor);
                    Limiter::per_second(count, count.saturating_mul(2))
                }),
                places: SharedLimits::new(rates.joins, rates.rejoins),
                live_places: Cap::new(rates.live_places, address_secret.clone()),
                seat_holders: Cap::new(rates.seat_holders, address_secret.clone()),
                visitors: KeyLimiter::new(
                    Limited::Visitors,
                    Limiter::per_second(rates.visitors, rates.visitors.saturating_mul(3)),
                ),
                line_mails: AddressLimiter::new(Limited::LineMails, |factor| {
                    Limiter::per_hour(LINE_MAILS_PER_HOUR.saturating_mul(factor))
                }),
                organiser_keys: Failures::new("organiser key"),
                service_key: Failures::new("service key"),
            },
            address_secret,
            mail_secret: Secret::derive(kept.as_bytes(), "mail"),
            load: Load::new(self.load),
            clock,
            stop,
            health: Health::default(),
            proxy_signs: Default::default(),
            settings_warnings: [&self.unknown[..], &self.warnings].concat(),
            edge: Edge::new(self.trusted_hops, self.purge.clone().map(Purger::new)),
            traces: Traces::start(&self.trace)?,
        };
        Ok((site, generated))
    }

    /// Returns the first admin key, and once more if it was made just now: the one that is set, one
    /// made of the pass secret (kept under the name of its hash, so that another secret makes
    /// another key), or a random one.
    fn first_key(
        &self,
        folder: &DataFolder,
        pass_secret: Option<&str>,
    ) -> Result<(String, Option<String>), String> {
        if let Some(key) = &self.organiser_key {
            return Ok((key.clone(), None));
        }
        let (name, key) = match pass_secret {
            Some(secret) => {
                let mac = Secret::derive(secret.as_bytes(), "organiser key").sign(b"1");
                let key = format!("org_{}", hex(&mac[..20]));
                let hash = hex(&sha256(key.as_bytes())[..4]);
                (format!("organiser-key-{hash}"), key)
            }
            None => ("organiser-key".to_owned(), random_id("org_")),
        };
        let mut generated = None;
        let kept = folder.text(&name, || {
            generated = Some(key.clone());
            Ok(key)
        })?;
        Ok((kept, generated))
    }
}

fn origin(name: &str, text: &str, mistakes: &mut Mistakes) -> String {
    parse_origin(text).unwrap_or_else(|| {
        mistakes.add(format!(
            "{name}: '{text}' is not http(s)://host or http(s)://host:port"
        ));
        String::new()
    })
}

/// Returns an origin on one's own machine by its other name, which leads here as well.
fn other_loopback_name(origin: &str) -> Option<String> {
    let mut url = url::Url::parse(origin).ok()?;
    let other = match url.host_str()? {
        "127.0.0.1" => "localhost",
        "localhost" => "127.0.0.1",
        _ => return None,
    };
    url.set_host(Some(other)).ok()?;
    Some(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests;
