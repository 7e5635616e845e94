//! Webhooks as they are stored: the systems to which events are posted, and what is posted to each.

use super::model::Refused;
use super::outbox::{EventType, OutboxRow, OutboxShard};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared::sealing::SealingKeys;
use shared::time::Time;

/// Largest number of endpoints of an installation.
pub const ENDPOINTS_MAX: i64 = 20;
/// Largest number of deliveries in a list.
pub const DELIVERIES_MAX: u32 = 100;
/// Number up to which the deliveries to an endpoint that wait are counted.
pub const WAITING_MAX: u64 = 200_000;
/// Largest number of deliveries that are deleted by one step.
pub(super) const PURGE_MAX: i64 = 500;

/// Settings of an endpoint, sealed where they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSettings {
    /// Its name, for people.
    pub name: String,
    /// The URL to which events are posted.
    pub url: String,
    /// Types of events, such as `order.confirmed` or `order.*`; empty for all.
    pub types: Vec<String>,
    /// Events that are sold; empty for all.
    pub events: Vec<String>,
    /// Whether an event waits until the earlier ones of its aggregate were delivered.
    pub is_ordered: bool,
    /// The key that signs.
    pub secret: SigningSecret,
    /// A key that signs as well until some time.
    pub old_secret: Option<(SigningSecret, Time)>,
}

/// A key that signs deliveries, as its holder knows it: `whsec_…`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecret(pub String);

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// State of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// Events are posted to it.
    Enabled,
    /// An organiser has disabled it.
    Disabled,
    /// It was disabled as its deliveries fail.
    Failed,
}

impl EndpointState {
    pub(super) fn number(self) -> i16 {
        match self {
            EndpointState::Enabled => 0,
            EndpointState::Disabled => 1,
            EndpointState::Failed => 2,
        }
    }

    pub(super) fn of(number: i16) -> EndpointState {
        match number {
            0 => EndpointState::Enabled,
            1 => EndpointState::Disabled,
            _ => EndpointState::Failed,
        }
    }
}

/// A system to which events are posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// `whe_…`
    pub id: String,
    /// Its settings; `None` where the key that sealed them is missing.
    pub settings: Option<EndpointSettings>,
    /// Whether they are sealed with the current key.
    pub is_current: bool,
    /// Number of changes of the settings and the state.
    pub version: i32,
    /// Its state.
    pub state: EndpointState,
    /// Why it was disabled, in words.
    pub reason: String,
    /// Time at which it was created.
    pub created_at: Time,
    /// Time from which it gets events.
    pub since: Time,
    /// Time since which every delivery has failed.
    pub failing_since: Option<Time>,
}

impl WebhookEndpoint {
    /// Returns whether an event is to be posted to it.
    pub fn wants(&self, row: &OutboxRow) -> bool {
        let Some(settings) = &self.settings else {
            return false;
        };
        let is_type = |pattern: &String| EventType::fits(pattern, &row.event_type);
        self.state == EndpointState::Enabled
            && row.at >= self.since
            && (settings.types.is_empty() || settings.types.iter().any(is_type))
            && (settings.events.is_empty() || settings.events.contains(&row.event))
    }
}

/// An event to be posted to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// The endpoint.
    pub endpoint: String,
    /// Id of the event in the outbox, or one of its own. An endpoint has one delivery of an id.
    pub id: String,
    /// The event that is sold; empty for a test.
    pub event: String,
    /// Its type, such as `order.confirmed`.
    pub event_type: String,
    /// The aggregate with whose other deliveries it keeps its order.
    pub aggregate: String,
    /// JSON text.
    pub body: String,
    /// Whether it waits for earlier ones of its aggregate.
    pub in_order: bool,
    /// Time of the event.
    pub created_at: Time,
}

/// A delivery that was taken to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedDelivery {
    /// Index of the database.
    pub(super) database: usize,
    /// Number of the row.
    pub(super) number: i64,
    /// The endpoint.
    pub endpoint: String,
    /// Its id.
    pub id: String,
    /// JSON text.
    pub body: String,
    /// Number of times that it was taken, this one included.
    pub attempts: i32,
    /// Time from which it counts for how long it is tried.
    pub queued_at: Time,
}

/// Outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryOutcome {
    /// The delivery's next state.
    pub next: DeliveryNext,
    /// Status of the answer, if there was one.
    pub status: Option<u16>,
    /// The beginning of the answer, or why there was none.
    pub answer: String,
}

/// The state of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryNext {
    /// Nothing more: it was delivered.
    Delivered,
    /// It is tried again at this time.
    Later(Time),
    /// It is given up.
    Failed,
}

impl DeliveryNext {
    /// Returns the stored state, and when it is tried again.
    pub(super) fn columns(self) -> (i16, Option<i64>) {
        match self {
            DeliveryNext::Delivered => (DELIVERED, None),
            DeliveryNext::Later(at) => (WAITING, Some(at.0)),
            DeliveryNext::Failed => (FAILED, None),
        }
    }
}

pub(super) const WAITING: i16 = 0;
pub(super) const DELIVERED: i16 = 1;
pub(super) const FAILED: i16 = 2;

/// State of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It waits, for the first time or again.
    Waiting,
    /// The endpoint has it.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryState {
    pub(super) fn of(number: i16) -> DeliveryState {
        match number {
            DELIVERED => DeliveryState::Delivered,
            FAILED => DeliveryState::Failed,
            _ => DeliveryState::Waiting,
        }
    }
}

/// A delivery, as organisers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DeliveryRecord {
    /// Id of the event, the header `webhook-id`.
    pub id: String,
    /// The event that is sold; empty for a test.
    pub event: String,
    /// Its type, such as `order.confirmed`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// `waiting`, `delivered` or `failed`.
    #[schema(value_type = String)]
    pub state: DeliveryState,
    /// Number of attempts.
    pub attempts: i32,
    /// Time of the event.
    pub created_at: Time,
    /// Time of the next attempt; null once it is done.
    pub next_at: Option<Time>,
    /// Time at which it was delivered, or given up.
    pub done_at: Option<Time>,
    /// Status of the last answer; null if there was none.
    pub status: Option<u16>,
    /// The beginning of the last answer, or why there was none.
    pub answer: String,
}

/// Place in the list of deliveries: the one after which it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryCursor {
    /// Time of the event.
    pub created_at: Time,
    /// Its id.
    pub id: String,
}

impl DeliveryCursor {
    /// Reads what `to_string` wrote.
    pub fn parse(text: &str) -> Option<DeliveryCursor> {
        let (at, id) = text.split_once('.')?;
        Some(DeliveryCursor {
            created_at: Time(at.parse().ok()?),
            id: id.to_owned(),
        })
    }
}

impl std::fmt::Display for DeliveryCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.created_at.0, self.id)
    }
}

/// The backlog of an endpoint's deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointBacklog {
    /// The endpoint.
    pub endpoint: String,
    /// Number of deliveries that wait, counted up to `WAITING_MAX`.
    pub waiting: u64,
    /// Age of the oldest of them; 0 if there is none.
    pub oldest_seconds: u64,
}

/// A note on an endpoint after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointNote {
    /// A delivery succeeded.
    Succeeded,
    /// A delivery failed.
    Failed,
    /// It is disabled for this reason.
    Disabled(String),
}

/// The stored webhooks. Any number of nodes share the work.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// Returns all endpoints, the oldest first.
    async fn endpoints(&self) -> Result<Vec<WebhookEndpoint>, Refused>;

    /// Adds an endpoint. Returns false if there are `ENDPOINTS_MAX`.
    async fn add_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<bool, Refused>;

    /// Stores an endpoint anew, sealed with the current key. Returns false if its version is another
    /// by now, or it is gone.
    async fn change_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<bool, Refused>;

    /// Removes an endpoint; its deliveries are purged. Returns whether there was one.
    async fn remove_endpoint(&self, endpoint: &str) -> Result<bool, Refused>;

    /// Notes how deliveries to an endpoint go, unless its version is another by now. Returns whether
    /// that is news: the first success, the first failure, or that it was enabled before.
    async fn note_endpoint(
        &self,
        endpoint: &WebhookEndpoint,
        note: &EndpointNote,
    ) -> Result<bool, Refused>;

    /// Adds the deliveries that follow from events of a shard, and records that the consumer has had
    /// all of them up to a position, in one transaction. A delivery that is there already is left
    /// out. Returns false if the owner has no lease of the shard any more, or another server answers;
    /// nothing is added then.
    async fn take_in(
        &self,
        consumer: &str,
        owner: &str,
        shard: OutboxShard,
        position: i64,
        deliveries: Vec<NewDelivery>,
    ) -> Result<bool, Refused>;

    /// Adds a delivery that follows from no event of the outbox.
    async fn add_delivery(&self, delivery: NewDelivery) -> Result<(), Refused>;

    /// Takes deliveries that are due, the most overdue of each endpoint first, at most so many of
    /// each. One that is in order is not taken while an earlier one of its aggregate waits. One that
    /// is not settled within `lease_ms` is due again.
    async fn claim(
        &self,
        rooms: &[(String, u32)],
        lease_ms: i64,
    ) -> Result<Vec<QueuedDelivery>, Refused>;

    /// Records the outcome of an attempt, unless the delivery was taken again since.
    async fn settle(
        &self,
        delivery: &QueuedDelivery,
        outcome: &DeliveryOutcome,
    ) -> Result<(), Refused>;

    /// Returns deliveries to an endpoint, the newest first, at most so many and `DELIVERIES_MAX`.
    async fn deliveries(
        &self,
        endpoint: &str,
        after: Option<DeliveryCursor>,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, Refused>;

    /// Lets a delivery that is done be posted again, as if it were new, and out of order. Returns
    /// whether there is such a delivery.
    async fn resend(&self, endpoint: &str, id: &str) -> Result<bool, Refused>;

    /// Returns how far deliveries to these endpoints are behind.
    async fn backlog(&self, endpoints: &[String]) -> Result<Vec<EndpointBacklog>, Refused>;

    /// Deletes deliveries that were made, or given up, so long ago, a bounded number. Returns whether
    /// there may be more.
    async fn purge_done(&self, made_kept_ms: i64, failed_kept_ms: i64) -> Result<bool, Refused>;

    /// Deletes deliveries to endpoints that were removed, a bounded number; none to one that is added
    /// meanwhile. Returns whether there may be more.
    async fn purge_removed(&self) -> Result<bool, Refused>;
}

/// Returns what sealed settings are about, so that they open in their own row alone.
fn about(endpoint: &str) -> String {
    format!("webhook\n{endpoint}")
}

/// Returns the settings as they are stored; empty if they could not be opened.
pub(super) fn seal_settings(keys: &SealingKeys, endpoint: &WebhookEndpoint) -> String {
    let settings = endpoint.settings.as_ref();
    let text = settings.and_then(|settings| serde_json::to_string(settings).ok());
    keys.seal(&about(&endpoint.id), &text.unwrap_or_default())
}

/// Opens stored settings, unless their key is missing or the row was changed by hand.
pub(super) fn open_settings(
    keys: &SealingKeys,
    endpoint: &str,
    stored: &str,
) -> Option<EndpointSettings> {
    serde_json::from_str(&keys.open(&about(endpoint), stored)?).ok()
}
