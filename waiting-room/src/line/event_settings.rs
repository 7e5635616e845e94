//! An event's settings: their fields, how a patch is applied, and validation.

use super::admission_settings::{Admission, AdmissionPatch, set};
use super::phase::Phase;
use crate::draw::Beacon;
use serde::{Deserialize, Serialize};
use shared::cancellation::Cancellation;
use shared::event_details::EventDetails;
use shared::http::problem::present;
use shared::ids::EventId;
use shared::plain_text::has_visible;
use shared::time::Time;
use shared::web_url::link_origin;

/// Days for which the line of an event is kept after it closed, unless the organiser sets others.
const RETENTION_DAYS: u32 = 7;

fn default_published() -> bool {
    true
}

fn default_retention_days() -> u32 {
    RETENTION_DAYS
}

/// Order in which fans are admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AdmissionOrder)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// First come, first served.
    #[default]
    Fifo,
    /// All fans in line when the sale opens are shuffled once.
    Draw,
}

/// All settings of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventSettings {
    /// The event's id.
    pub id: EventId,
    /// Name shown to fans.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
    pub name: String,
    /// Details of the event for fans.
    #[serde(default)]
    pub details: Option<EventDetails>,
    /// Whether fans see the event; a draft is shown to organisers alone.
    #[serde(default = "default_published")]
    #[schema(default = true)]
    pub published: bool,
    /// Order of admission.
    #[serde(default)]
    pub order: Order,
    /// Round of public randomness mixed into the draw, named in advance; only with `order: draw`.
    #[serde(default)]
    pub beacon: Option<Beacon>,
    /// Opening of the line; if absent, it opens with the sale.
    #[serde(default)]
    pub prequeue_opens_at: Option<Time>,
    /// Start of admission; if absent, at once.
    #[serde(default)]
    pub sale_opens_at: Option<Time>,
    /// End of the event; if absent, never.
    #[serde(default)]
    pub closes_at: Option<Time>,
    /// Days for which the line is kept after the event closed, or after its start or the last
    /// change of its settings if that is later.
    #[serde(default = "default_retention_days")]
    #[schema(minimum = 1, maximum = 365, default = 7)]
    pub retention_days: u32,
    /// Rate of admission and time limits.
    #[serde(default)]
    pub admission: Admission,
    /// URL that admitted fans are sent to; if absent, the built-in checkout.
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub checkout_url: Option<String>,
    /// Whether admission is paused.
    #[serde(default)]
    pub paused: bool,
    /// Message shown to all fans in line.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub message: Option<String>,
    /// Whether the gate lets everyone pass.
    #[serde(default)]
    pub passthrough: bool,
    /// Whether the gate lets everyone pass until the line opens.
    #[serde(default)]
    pub passthrough_before_opening: bool,
    /// Whether the gate lets everyone pass once the event is closed.
    #[serde(default)]
    pub passthrough_after_closing: bool,
    /// Cancellation of the show, once it was cancelled: the event stays closed. It is set by the
    /// checkout alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Cancellation>,
}

/// Change of settings: absent fields stay, null fields are cleared.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Patch {
    /// See `EventSettings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
    pub name: Option<String>,
    /// Replaces all details; null removes them.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<EventDetails>)]
    pub details: Option<Option<EventDetails>>,
    /// Publishes a draft, or takes an event back that no fan has joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<bool>,
    /// Cannot be changed once visitors are in line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Cannot be changed once visitors are in line.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Beacon>)]
    pub beacon: Option<Option<Beacon>>,
    /// See `EventSettings`.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Time>)]
    pub prequeue_opens_at: Option<Option<Time>>,
    /// See `EventSettings`.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Time>)]
    pub sale_opens_at: Option<Option<Time>>,
    /// See `EventSettings`.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Time>)]
    pub closes_at: Option<Option<Time>>,
    /// See `EventSettings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 365)]
    pub retention_days: Option<u32>,
    /// Any of the admission settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<AdmissionPatch>,
    /// See `EventSettings`.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 2000)]
    pub checkout_url: Option<Option<String>>,
    /// Stops or resumes admission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Message to all fans in line; null or empty removes it.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 500)]
    pub message: Option<Option<String>>,
    /// Lets everyone pass the gate, or ends that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passthrough: Option<bool>,
    /// See `EventSettings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passthrough_before_opening: Option<bool>,
    /// See `EventSettings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passthrough_after_closing: Option<bool>,
    /// Cancels the show. It is not set by organisers here, but at the checkout.
    #[serde(skip)]
    pub cancelled: Option<Cancellation>,
}

impl Patch {
    /// Returns whether the patch changes only what an operator may change: pause, rate, message,
    /// whether everyone passes the gate.
    pub fn is_steering(&self) -> bool {
        let admission = self.admission.unwrap_or_default();
        self.name.is_none()
            && self.details.is_none()
            && self.published.is_none()
            && self.order.is_none()
            && self.beacon.is_none()
            && self.prequeue_opens_at.is_none()
            && self.sale_opens_at.is_none()
            && self.closes_at.is_none()
            && self.retention_days.is_none()
            && self.checkout_url.is_none()
            && self.passthrough_before_opening.is_none()
            && self.passthrough_after_closing.is_none()
            && admission.is_steering()
    }
}

impl EventSettings {
    /// Creates settings for an event that is open at once, with all defaults.
    pub fn new(id: EventId, name: &str) -> EventSettings {
        EventSettings {
            id,
            name: name.to_owned(),
            details: None,
            published: true,
            order: Order::Fifo,
            beacon: None,
            prequeue_opens_at: None,
            sale_opens_at: None,
            closes_at: None,
            retention_days: RETENTION_DAYS,
            admission: Admission::default(),
            checkout_url: None,
            paused: false,
            message: None,
            passthrough: false,
            passthrough_before_opening: false,
            passthrough_after_closing: false,
            cancelled: None,
        }
    }

    /// Returns these settings with a patch applied.
    pub fn with(&self, patch: &Patch) -> EventSettings {
        let mut next = self.clone();
        set(&mut next.name, &patch.name);
        set(&mut next.details, &patch.details);
        set(&mut next.published, &patch.published);
        set(&mut next.order, &patch.order);
        set(&mut next.beacon, &patch.beacon);
        set(&mut next.prequeue_opens_at, &patch.prequeue_opens_at);
        set(&mut next.sale_opens_at, &patch.sale_opens_at);
        set(&mut next.closes_at, &patch.closes_at);
        set(&mut next.retention_days, &patch.retention_days);
        set(&mut next.checkout_url, &patch.checkout_url);
        set(&mut next.paused, &patch.paused);
        set(&mut next.message, &patch.message);
        set(&mut next.passthrough, &patch.passthrough);
        let (before, after) = (
            &patch.passthrough_before_opening,
            &patch.passthrough_after_closing,
        );
        set(&mut next.passthrough_before_opening, before);
        set(&mut next.passthrough_after_closing, after);
        next.message = next.message.filter(|message| has_visible(message));
        if self.cancelled.is_some() {
            next.closes_at = self.closes_at;
        } else if let Some(cancelled) = &patch.cancelled {
            let at = cancelled.at;
            next.closes_at = Some(next.closes_at.map_or(at, |end| end.min(at)));
            let language = next.details.as_ref().and_then(EventDetails::language);
            next.message = Some(cancelled.for_people(language.unwrap_or_default()));
            next.cancelled = Some(cancelled.clone());
        }
        if let Some(admission) = &patch.admission {
            next.admission = next.admission.with(admission);
        }
        next
    }

    /// Returns the invalid fields, each with the rule it breaks.
    pub fn mistakes(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut check = |is_fine: bool, field: &str, why: &str| {
            if !is_fine {
                wrong.push((field.to_owned(), why.to_owned()));
            }
        };
        let is_name = has_visible(&self.name) && self.name.chars().count() <= 200;
        let why = "1 to 200 characters, of which some can be seen";
        check(is_name, "name", why);
        let beacon = self.beacon.as_ref();
        let is_known = beacon.is_none_or(|beacon| beacon.published_at().is_some());
        let why = "a name of drand's, quicknet or default, and a round from 1";
        check(is_known, "beacon", why);
        let is_used = self.beacon.is_none() || self.order == Order::Draw;
        check(is_used, "beacon", "goes with order: draw");
        let is_within = (1..=365).contains(&self.retention_days);
        check(is_within, "retention_days", "1 to 365");
        let message = self.message.as_ref();
        let message = message.is_none_or(|text| text.chars().count() <= 500);
        check(message, "message", "at most 500 characters");
        let url = self.checkout_url.as_ref().is_none_or(|url| {
            // The origin of a path depends on the site; a path must stay on that origin, whatever
            // it is.
            let site = "https://site.invalid";
            let origin = link_origin(site, url);
            let is_sound = origin.is_some_and(|origin| !url.starts_with('/') || origin == site);
            url.chars().count() <= 2000 && is_sound
        });
        check(
            url,
            "checkout_url",
            "an http(s) URL or a path that begins with one /",
        );
        let (line, sale, end) = (self.prequeue_opens_at, self.sale_opens_at, self.closes_at);
        let is_cancelled = self.cancelled.is_some();
        let prequeue = line.is_none_or(|line| sale.is_some_and(|sale| line <= sale));
        check(
            prequeue,
            "prequeue_opens_at",
            "needs sale_opens_at, and is no later than that",
        );
        let closes = end.is_none_or(|end| sale.or(line).is_none_or(|start| start < end));
        check(is_cancelled || closes, "closes_at", "after sale_opens_at");
        wrong.extend(self.admission.mistakes());
        wrong.extend(self.details.iter().flat_map(EventDetails::mistakes));
        wrong
    }

    /// Returns what is missing for a draw that is new at this time: visitors who can be in line when
    /// the sale opens.
    pub(super) fn draw_mistakes(&self, now: Time) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut mistake = |field: &str, why: &str| wrong.push((field.to_owned(), why.to_owned()));
        if self.order != Order::Draw {
            return wrong;
        }
        let sale = self.sale_opens_at;
        if sale.is_none_or(|sale| sale <= now) {
            let why = "in the future with order: draw, as those in line then are drawn";
            mistake("sale_opens_at", why);
        }
        if self
            .prequeue_opens_at
            .is_none_or(|line| sale.is_some_and(|sale| line >= sale))
        {
            let why =
                "before sale_opens_at with order: draw, as those who join in between are drawn";
            mistake("prequeue_opens_at", why);
        }
        wrong.extend(self.beacon_mistakes(now));
        wrong
    }

    /// Returns what is wrong with the round of the beacon if it can be known before the entries of
    /// the draw are fixed: whoever knows it and the seed could choose entries to suit both.
    pub(super) fn beacon_mistakes(&self, now: Time) -> Vec<(String, String)> {
        let fixed_at = self.sale_opens_at.unwrap_or(now).max(now);
        let published_at = self.beacon.as_ref().and_then(Beacon::published_at);
        let (Some(beacon), Some(published_at)) = (&self.beacon, published_at) else {
            return Vec::new();
        };
        if published_at >= fixed_at {
            return Vec::new();
        }
        let round = beacon.first_round_at(fixed_at).unwrap_or_default();
        let why = format!(
            "round {} is published at {published_at}, before the sale opens: name round {round} or a later one",
            beacon.round
        );
        vec![("beacon".to_owned(), why)]
    }

    /// Returns what is wrong after a change of settings at this time, with so many numbers given
    /// out. A sale may be put off past its beacon once visitors are in line: the
    /// beacon cannot be changed any more.
    pub(super) fn change_mistakes(
        &self,
        before: &EventSettings,
        numbers: u64,
        now: Time,
    ) -> Vec<(String, String)> {
        if numbers > 0 && before.published && !self.published {
            let why = "cannot be taken back once visitors are in line: set closes_at instead";
            return vec![("published".to_owned(), why.to_owned())];
        }
        let is_another_draw = self.is_another_draw(before);
        match numbers {
            0 if is_another_draw => self.draw_mistakes(now),
            0 if self.sale_opens_at != before.sale_opens_at => self.beacon_mistakes(now),
            1.. if is_another_draw => vec![too_late()],
            _ => Vec::new(),
        }
    }

    /// Returns whether a draw that was held among no visitors is to be held again, with another
    /// seed: this one is published.
    pub(super) fn draws_again(&self, held: bool, numbers: u64, now: Time) -> bool {
        let opens_later = self.sale_opens_at.is_some_and(|sale| sale > now);
        self.order == Order::Draw && held && numbers == 0 && opens_later
    }

    /// Returns whether the order of admission or the beacon differs, which is not allowed once
    /// visitors are in line.
    pub fn is_another_draw(&self, before: &EventSettings) -> bool {
        self.order != before.order || self.beacon != before.beacon
    }

    /// Returns the phase by schedule and pause alone.
    pub fn phase(&self, now: Time) -> Phase {
        let reached = |instant: Option<Time>| instant.is_none_or(|instant| instant <= now);
        if self.closes_at.is_some_and(|end| end <= now) {
            Phase::Closed
        } else if reached(self.sale_opens_at) {
            if self.paused {
                Phase::Paused
            } else {
                Phase::Open
            }
        } else if self.prequeue_opens_at.is_some() && reached(self.prequeue_opens_at) {
            Phase::Prequeue
        } else {
            Phase::Scheduled
        }
    }

    /// Returns whether everyone passes the gate at this time.
    pub fn lets_everyone_pass(&self, now: Time) -> bool {
        let by_phase = match self.phase(now) {
            Phase::Scheduled => self.passthrough_before_opening,
            Phase::Closed => self.passthrough_after_closing,
            _ => false,
        };
        self.passthrough || by_phase
    }

    /// Returns when the line opens, if a time is set.
    pub fn line_opens_at(&self) -> Option<Time> {
        self.prequeue_opens_at.or(self.sale_opens_at)
    }
}

/// Returns the error for changing the order after visitors joined.
fn too_late() -> (String, String) {
    let why = "cannot be changed once visitors are in line";
    ("order".to_owned(), why.to_owned())
}
