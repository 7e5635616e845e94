//! Bodies of the routes of webhooks, and what is wrong with them.

use crate::inventory::outbox::EventType;
use crate::inventory::webhooks::{EndpointSettings, EndpointState, WebhookEndpoint};
use crate::waiting_room::WaitingRoom;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::http::problem::Problem;
use shared::ids::EventId;
use shared::outbound::Outbound;
use shared::plain_text::check_line;
use shared::time::Time;
use url::Url;

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 100;
/// Largest number of types, and of events, that a webhook is limited to.
const FILTER_MAX: usize = 100;

/// A system to which events are posted.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Webhook {
    /// `whe_…`
    pub(super) id: String,
    pub(super) name: String,
    /// The URL to which events are posted; empty where the key that sealed it is missing.
    pub(super) url: String,
    /// Types of events, such as `order.confirmed` or `order.*`; empty for all.
    pub(super) types: Vec<String>,
    /// Events that are sold; empty for all.
    pub(super) events: Vec<String>,
    /// Whether an event waits until the earlier ones of its order, hold or event were delivered.
    pub(super) is_ordered: bool,
    /// `enabled`, `disabled` (by an organiser) or `failed` (as its deliveries fail).
    #[schema(value_type = String)]
    pub(super) state: EndpointState,
    /// Why it was disabled; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) created_at: Time,
    /// Time since which every delivery has failed; null if the last one has not.
    pub(super) failing_since: Option<Time>,
    /// Time until which the secret before signs as well; null if none does.
    pub(super) old_secret_until: Option<Time>,
}

impl Webhook {
    pub(super) fn of(endpoint: WebhookEndpoint, now: Time) -> Webhook {
        let settings = endpoint.settings.unwrap_or_default();
        let old = settings.old_secret.map(|(_, until)| until);
        Webhook {
            id: endpoint.id,
            name: settings.name,
            url: settings.url,
            types: settings.types,
            events: settings.events,
            is_ordered: settings.is_ordered,
            state: endpoint.state,
            reason: Some(endpoint.reason).filter(|reason| !reason.is_empty()),
            created_at: endpoint.created_at,
            failing_since: endpoint.failing_since,
            old_secret_until: old.filter(|until| now < *until),
        }
    }
}

/// A webhook, and the secret that signs its deliveries. The secret is shown this once.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct WebhookWithSecret {
    pub(super) webhook: Webhook,
    /// `whsec_…`, of Standard Webhooks.
    pub(super) secret: String,
}

/// A new webhook.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWebhook {
    /// Its name, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub(super) name: String,
    /// The URL to which events are posted: https, with a host that has a public address.
    #[schema(max_length = 1000)]
    pub(super) url: String,
    /// Types of events, such as `order.confirmed` or `order.*`; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub(super) types: Vec<String>,
    /// Events that are sold; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub(super) events: Vec<String>,
    /// Whether an event waits until the earlier ones of its order, hold or event were delivered.
    #[serde(default)]
    pub(super) is_ordered: bool,
}

/// Changes of a webhook; what is absent stays.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookPatch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100)]
    pub(super) name: Option<String>,
    /// Another https URL whose host has a public address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub(super) url: Option<String>,
    /// Other types of events; empty for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub(super) types: Option<Vec<String>>,
    /// Other events that are sold; empty for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub(super) events: Option<Vec<String>>,
    /// Whether an event waits for earlier ones; holds for events from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) is_ordered: Option<bool>,
    /// Enables it, from now on, or disables it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) is_enabled: Option<bool>,
}

/// All webhooks, the oldest first.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct WebhookList {
    pub(super) webhooks: Vec<Webhook>,
}

#[derive(Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateInput {
    /// Time for which the secret before signs as well, a day if absent: 0 to 604,800 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 604_800)]
    pub(super) old_seconds: Option<u32>,
}

/// Checks the name and the filters, and whether the URL may be posted to, if that is given.
pub(super) fn check(
    settings: &EndpointSettings,
    outbound: Option<&Outbound>,
) -> Result<(), Problem> {
    let mut wrong = Vec::new();
    let mut refuse = |field: &str, why: String| wrong.push((field.to_owned(), why));
    if let Err(why) = check_line(&settings.name, NAME_CHARS_MAX) {
        refuse("name", why);
    }
    if let Some(Err(why)) = outbound.map(|outbound| outbound.check(&settings.url)) {
        refuse("url", why);
    }
    for (field, list) in [("types", &settings.types), ("events", &settings.events)] {
        if list.len() > FILTER_MAX {
            refuse(field, format!("at most {FILTER_MAX}"));
        }
    }
    let all = EventType::ALL.map(EventType::as_str);
    let is_unknown = |wanted: &&String| !all.iter().any(|name| EventType::fits(wanted, name));
    if let Some(unknown) = settings.types.iter().find(is_unknown) {
        refuse(
            "types",
            format!("there is no type '{unknown}': {}", all.join(", ")),
        );
    }
    let is_no_event = |event: &&String| EventId::parse(event).is_err();
    if let Some(event) = settings.events.iter().find(is_no_event) {
        refuse("events", no_event(event));
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Problem::invalid_all(wrong))
    }
}

/// Checks that there are the events to which a webhook is newly limited. Those of `before` may have been
/// deleted since, and an event that the waiting room cannot be asked about is taken.
pub(super) async fn check_events(
    room: &dyn WaitingRoom,
    before: &[String],
    after: &[String],
) -> Result<(), Problem> {
    for event in after.iter().filter(|event| !before.contains(event)) {
        let Some(id) = EventId::parse(event).ok() else {
            continue;
        };
        match room.knows(&id).await {
            Some(false) => return Err(Problem::invalid("events", no_event(event))),
            Some(true) => {}
            None => return Ok(()),
        }
    }
    Ok(())
}

fn no_event(event: &str) -> String {
    format!("there is no event '{event}'")
}

/// Returns a webhook for the audit log: without its secrets, and of the URL the origin alone, as the
/// rest may be one.
pub(super) fn audited(endpoint: &WebhookEndpoint) -> Value {
    let settings = endpoint.settings.clone().unwrap_or_default();
    let origin = Url::parse(&settings.url).map(|url| url.origin().ascii_serialization());
    json!({"webhook": endpoint.id, "name": settings.name, "url": origin.unwrap_or_default(),
        "types": settings.types, "events": settings.events, "is_ordered": settings.is_ordered,
        "state": endpoint.state})
}
