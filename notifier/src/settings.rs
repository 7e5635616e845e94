//! Settings of the notifier, read once, with every mistake reported at once.

use crate::handler::Handler;
use crate::loyalty::{self, Loyalty};
use crate::search::{self, Search};
use crate::store::Store;
use crate::trouble::Service;
use axum::http::HeaderValue;
use brokers::{Address, Protocol};
use shared::log::LogFormat;
use shared::mistakes::Mistakes;
use shared::settings::Probe;
use shared::warnings::is_clear_in_public;
use shared::web_url::{is_web_url, parse_origin};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Name of the file in the data folder.
pub const FILE: &str = "notifier.sqlite";

/// The settings as they were written.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NotifierArgs {
    /// Operations listener: /livez, /readyz, /metrics [default: 127.0.0.1:9464]
    #[arg(long, env = "FAIRLINE_OPS_LISTEN", global = true)]
    pub ops_listen: Option<String>,
    /// Folder of the notifier's file, for it alone [default: ./fairline-data]
    #[arg(long, env = "FAIRLINE_DATA", global = true)]
    pub data: Option<PathBuf>,
    /// text or json [default: text]
    #[arg(long, env = "FAIRLINE_LOG_FORMAT", global = true)]
    pub log_format: Option<String>,
    /// Filter of log lines [default: info]
    #[arg(long, env = "FAIRLINE_LOG", global = true)]
    pub log: Option<String>,
    /// Asks the running process with these settings and ends with 0 for yes, 1 for no
    #[arg(long, value_name = "QUESTION", global = true)]
    pub probe: Option<Probe>,
    /// Message broker from which events come, as the checkout has it
    #[arg(long, env = "FAIRLINE_EVENTS", hide_env_values = true, global = true)]
    pub events: Option<String>,
    /// The URL that browsers see, for links in documents of the search engine
    #[arg(long, env = "FAIRLINE_PUBLIC_URL", global = true)]
    pub public_url: Option<String>,
    /// Base URL of the waiting room, which is asked what fans see of an event
    #[arg(
        long,
        env = "FAIRLINE_WAITING_ROOM",
        hide_env_values = true,
        global = true
    )]
    pub waiting_room: Option<String>,
    /// Base URL of the checkout, which is asked for the buyer of an order
    #[arg(long, env = "FAIRLINE_CHECKOUT", hide_env_values = true, global = true)]
    pub checkout: Option<String>,
    /// Organiser key of an operator at the checkout
    #[arg(
        long,
        env = "FAIRLINE_CHECKOUT_KEY",
        hide_env_values = true,
        global = true
    )]
    pub checkout_key: Option<String>,
    /// URL at which the loyalty programme takes points [default: no loyalty programme]
    #[arg(long, env = "FAIRLINE_LOYALTY_URL", global = true)]
    pub loyalty_url: Option<String>,
    /// Token that the programme is shown
    #[arg(
        long,
        env = "FAIRLINE_LOYALTY_TOKEN",
        hide_env_values = true,
        global = true
    )]
    pub loyalty_token: Option<String>,
    /// Points for each whole unit of an order's currency [default: 1]
    #[arg(long, env = "FAIRLINE_LOYALTY_POINTS", global = true)]
    pub loyalty_points: Option<String>,
    /// Base URL of Elasticsearch or OpenSearch [default: no search engine]
    #[arg(long, env = "FAIRLINE_SEARCH_URL", global = true)]
    pub search_url: Option<String>,
    /// Index, or alias, to which documents are written [default: fairline-events]
    #[arg(long, env = "FAIRLINE_SEARCH_INDEX", global = true)]
    pub search_index: Option<String>,
    /// Value of the header Authorization for the search engine, such as 'ApiKey …' or 'Basic …'
    #[arg(
        long,
        env = "FAIRLINE_SEARCH_AUTHORIZATION",
        hide_env_values = true,
        global = true
    )]
    pub search_authorization: Option<String>,
}

/// The parsed settings.
pub struct NotifierSettings {
    /// Operations listener.
    pub ops_listen: SocketAddr,
    /// The data folder.
    pub data: PathBuf,
    /// Format of log lines.
    pub log_format: LogFormat,
    /// Filter of log lines.
    pub log: String,
    /// Warnings for the log about settings that are not fit for a sale.
    pub warnings: Vec<String>,
    /// The message broker.
    pub events: Arc<Address>,
    loyalty: Option<LoyaltySettings>,
    search: Option<SearchSettings>,
}

struct LoyaltySettings {
    url: String,
    token: Option<String>,
    points: u32,
    checkout_url: String,
    checkout_key: String,
}

struct SearchSettings {
    url: String,
    index: String,
    authorization: Option<String>,
    waiting_room: String,
    public_url: String,
}

impl NotifierArgs {
    /// Returns the path of the notifier's file.
    pub fn file(&self) -> PathBuf {
        self.data_folder().join(FILE)
    }

    fn data_folder(&self) -> PathBuf {
        let data = self.data.clone();
        data.unwrap_or_else(|| PathBuf::from("fairline-data"))
    }

    /// Returns the address of the operations listener.
    pub fn ops_listener(&self, mistakes: &mut Mistakes) -> SocketAddr {
        let fallback = SocketAddr::from(([127, 0, 0, 1], 9464));
        mistakes.parse("FAIRLINE_OPS_LISTEN", self.ops_listen.as_deref(), fallback)
    }

    /// Returns whether the broker can repeat events.
    pub fn can_repeat(&self) -> bool {
        let address = set(&self.events).map(Address::parse);
        !matches!(address, Some(Ok(address)) if matches!(address.protocol, Protocol::Amqp(_)))
    }

    /// Parses the settings and adds what is wrong to `mistakes`. None without a broker.
    pub fn read(&self, mistakes: &mut Mistakes) -> Option<NotifierSettings> {
        let ops_listen = self.ops_listener(mistakes);
        let format = self.log_format.as_deref().map(LogFormat::parse);
        let format = format.and_then(|format| mistakes.take("FAIRLINE_LOG_FORMAT", format));
        let loyalty = self.read_loyalty(mistakes);
        let search = self.read_search(mistakes);
        if loyalty.is_none() && search.is_none() {
            mistakes.add("FAIRLINE_LOYALTY_URL or FAIRLINE_SEARCH_URL: one of them is needed");
        }
        let Some(events) = set(&self.events) else {
            mistakes.add("FAIRLINE_EVENTS: needed: the broker to which the checkout publishes");
            return None;
        };
        let events = mistakes.take("FAIRLINE_EVENTS", Address::parse(events))?;
        let mut warnings: Vec<String> = events.warning().into_iter().collect();
        let links = [
            ("FAIRLINE_CHECKOUT", &self.checkout),
            ("FAIRLINE_LOYALTY_URL", &self.loyalty_url),
            ("FAIRLINE_SEARCH_URL", &self.search_url),
        ];
        for (setting, url) in links {
            if set(url).is_some_and(is_clear_in_public) {
                warnings.push(format!(
                    "{setting}: keys are sent there without TLS: use https or a private network"
                ));
            }
        }
        Some(NotifierSettings {
            ops_listen,
            data: self.data_folder(),
            log_format: format.unwrap_or(LogFormat::Text),
            log: self.log.clone().unwrap_or_else(|| "info".to_owned()),
            warnings,
            events: Arc::new(events),
            loyalty,
            search,
        })
    }

    fn read_loyalty(&self, mistakes: &mut Mistakes) -> Option<LoyaltySettings> {
        set(&self.loyalty_url)?;
        let url = web_url("FAIRLINE_LOYALTY_URL", &self.loyalty_url, mistakes);
        let points = self.loyalty_points.as_deref();
        let points = mistakes.parse("FAIRLINE_LOYALTY_POINTS", points, 1);
        if !(1..=1_000_000).contains(&points) {
            mistakes.add("FAIRLINE_LOYALTY_POINTS: at least 1 and at most 1000000");
        }
        if set(&self.checkout_key).is_none() {
            mistakes.add("FAIRLINE_CHECKOUT_KEY: an operator's key is needed for buyers");
        }
        let token = header("FAIRLINE_LOYALTY_TOKEN", &self.loyalty_token, mistakes);
        let key = header("FAIRLINE_CHECKOUT_KEY", &self.checkout_key, mistakes);
        Some(LoyaltySettings {
            url,
            token,
            points,
            checkout_url: web_url("FAIRLINE_CHECKOUT", &self.checkout, mistakes),
            checkout_key: key.unwrap_or_default(),
        })
    }

    fn read_search(&self, mistakes: &mut Mistakes) -> Option<SearchSettings> {
        set(&self.search_url)?;
        let index = set(&self.search_index).unwrap_or("fairline-events");
        if !is_index(index) {
            mistakes.add("FAIRLINE_SEARCH_INDEX: 1 to 200 of a-z, 0-9, '-', '_' and '.', the first a letter or digit");
        }
        let public_url = set(&self.public_url).and_then(parse_origin);
        if public_url.is_none() {
            mistakes.add("FAIRLINE_PUBLIC_URL: needed for links: http(s)://host");
        }
        let authorization = &self.search_authorization;
        Some(SearchSettings {
            url: web_url("FAIRLINE_SEARCH_URL", &self.search_url, mistakes),
            index: index.to_owned(),
            authorization: header("FAIRLINE_SEARCH_AUTHORIZATION", authorization, mistakes),
            waiting_room: web_url("FAIRLINE_WAITING_ROOM", &self.waiting_room, mistakes),
            public_url: public_url.unwrap_or_default(),
        })
    }
}

impl NotifierSettings {
    /// Returns the consumers that are set.
    pub fn handlers(&self, store: &Store) -> Vec<Arc<dyn Handler>> {
        let mut handlers: Vec<Arc<dyn Handler>> = Vec::new();
        let bearer = |token: &str| format!("Bearer {token}");
        if let Some(set) = &self.loyalty {
            let token = set.token.as_deref().map(bearer);
            let key = Some(bearer(&set.checkout_key));
            handlers.push(Arc::new(Loyalty {
                programme: Service::new("loyalty programme", &set.url, token),
                checkout: Service::new("checkout", &set.checkout_url, key),
                points_per_unit: set.points,
                store: store.clone(),
                key_checked: OnceCell::new(),
            }));
        }
        if let Some(set) = &self.search {
            let authorization = set.authorization.clone();
            handlers.push(Arc::new(Search {
                engine: Service::new("search engine", &set.url, authorization),
                index: set.index.clone(),
                waiting_room: Service::new("waiting room", &set.waiting_room, None),
                public_url: set.public_url.clone(),
            }));
        }
        handlers
    }
}

/// A consumer, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ConsumerName {
    /// Points of the loyalty programme
    Loyalty,
    /// Documents of the search engine
    Search,
}

impl ConsumerName {
    /// Returns the name in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            ConsumerName::Loyalty => loyalty::NAME,
            ConsumerName::Search => search::NAME,
        }
    }
}

/// Returns a setting that has a value: some tools set variables to an empty one.
fn set(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

fn web_url(setting: &str, value: &Option<String>, mistakes: &mut Mistakes) -> String {
    let url = set(value).unwrap_or_default();
    if !is_web_url(url) || url.contains(['?', '#']) {
        mistakes.add(format!("{setting}: needed: http(s)://host/path"));
    }
    url.trim_end_matches('/').to_owned()
}

fn header(setting: &str, value: &Option<String>, mistakes: &mut Mistakes) -> Option<String> {
    let value = set(value)?;
    if HeaderValue::try_from(value).is_err() {
        mistakes.add(format!("{setting}: no header can have this value"));
        return None;
    }
    Some(value.to_owned())
}

fn is_index(name: &str) -> bool {
    let is_right =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    let begins = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    begins && name.len() <= 200 && name.bytes().all(is_right)
}
