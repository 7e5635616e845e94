//! Room for deliveries to each endpoint, so that one that is slow or away delays no other.

use crate::inventory::webhooks::WebhookEndpoint;
use shared::time::Time;
use std::collections::HashMap;

/// Largest number of deliveries to an endpoint that are under way at one time.
pub(super) const LANE_MAX: u32 = 8;
/// Pause after a failure of an endpoint. It doubles with each in a row, up to the longest.
const PAUSE_FIRST_MS: i64 = 200;
const PAUSE_MAX_MS: i64 = 60_000;

/// The state of each endpoint as this node knows it.
#[derive(Default)]
pub(super) struct Lanes(HashMap<String, Lane>);

#[derive(Default)]
struct Lane {
    under_way: u32,
    /// Version of the endpoint that the rest is about.
    version: i32,
    /// Attempts in a row that failed.
    failures: u32,
    /// Time before which nothing more is begun.
    resume_at: Time,
}

impl Lanes {
    /// Returns how many deliveries to each endpoint may be begun now. Endpoints that are gone are
    /// forgotten.
    pub(super) fn rooms(&mut self, endpoints: &[WebhookEndpoint], now: Time) -> Vec<(String, u32)> {
        let is_known = |id: &String| endpoints.iter().any(|endpoint| endpoint.id == *id);
        self.0.retain(|id, lane| lane.under_way > 0 || is_known(id));
        let opened = endpoints
            .iter()
            .filter(|endpoint| endpoint.settings.is_some());
        let rooms = opened.map(|endpoint| {
            let lane = self.0.entry(endpoint.id.clone()).or_default();
            if lane.version != endpoint.version {
                // It was changed: how it went before says nothing of it any more.
                *lane = Lane {
                    under_way: lane.under_way,
                    version: endpoint.version,
                    ..Lane::default()
                };
            }
            let most = match lane.failures {
                0 => LANE_MAX,
                // One is enough to learn whether it is back.
                _ => 1,
            };
            let room = most.saturating_sub(lane.under_way);
            (
                endpoint.id.clone(),
                if now < lane.resume_at { 0 } else { room },
            )
        });
        rooms.filter(|(_, room)| *room > 0).collect()
    }

    /// Notes that a delivery was begun.
    pub(super) fn begin(&mut self, endpoint: &str) {
        self.0.entry(endpoint.to_owned()).or_default().under_way += 1;
    }

    /// Notes that a delivery has ended well.
    pub(super) fn succeed(&mut self, endpoint: &WebhookEndpoint) {
        if let Some(lane) = self.end(endpoint) {
            lane.failures = 0;
        }
    }

    /// Notes that a delivery has failed, and when the endpoint wants to be asked again, if it said so.
    pub(super) fn fail(&mut self, endpoint: &WebhookEndpoint, now: Time, asked_for: Option<Time>) {
        if let Some(lane) = self.end(endpoint) {
            let pause = PAUSE_FIRST_MS << lane.failures.min(20);
            lane.failures += 1;
            let own = Time(now.0 + pause.min(PAUSE_MAX_MS));
            lane.resume_at = asked_for.unwrap_or(own).max(own);
        }
    }

    /// Ends a delivery. Returns its lane, if that is about the same version of the endpoint.
    fn end(&mut self, endpoint: &WebhookEndpoint) -> Option<&mut Lane> {
        let lane = self.0.get_mut(&endpoint.id)?;
        lane.under_way = lane.under_way.saturating_sub(1);
        (lane.version == endpoint.version).then_some(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::webhooks::{EndpointSettings, EndpointState};

    fn endpoint(id: &str) -> WebhookEndpoint {
        WebhookEndpoint {
            id: id.to_owned(),
            settings: Some(EndpointSettings::default()),
            is_current: true,
            version: 0,
            state: EndpointState::Enabled,
            reason: String::new(),
            created_at: Time(0),
            since: Time(0),
            failing_since: None,
        }
    }

    fn room(lanes: &mut Lanes, now: i64) -> u32 {
        let rooms = lanes.rooms(&[endpoint("a"), endpoint("b")], Time(now));
        assert!(rooms.contains(&("b".to_owned(), LANE_MAX)), "{rooms:?}");
        let own = rooms.iter().find(|(id, _)| id == "a");
        own.map_or(0, |(_, room)| *room)
    }

    #[test]
    fn an_endpoint_that_fails_gets_one_at_a_time_after_pauses_that_double_to_a_minute() {
        let mut lanes = Lanes::default();
        for left in (0..LANE_MAX).rev() {
            lanes.begin("a");
            assert_eq!(room(&mut lanes, 0), left);
        }
        for _ in 1..LANE_MAX {
            lanes.succeed(&endpoint("a"));
        }
        let (mut now, mut pauses) = (0, Vec::new());
        for _ in 0..12 {
            lanes.fail(&endpoint("a"), Time(now), None);
            let from = now;
            while room(&mut lanes, now) == 0 {
                now += 100;
            }
            assert_eq!(room(&mut lanes, now), 1);
            lanes.begin("a");
            pauses.push(now - from);
        }
        assert_eq!(pauses[..3], [200, 400, 800]);
        assert_eq!(pauses[11], 60_000);
        lanes.fail(&endpoint("a"), Time(now), Some(Time(now + 100_000)));
        assert_eq!(room(&mut lanes, now + 99_999), 0);
        lanes.begin("a");
        lanes.succeed(&endpoint("a"));
        assert_eq!(room(&mut lanes, now + 100_000), LANE_MAX);
    }
    #[test]
    fn a_changed_endpoint_begins_anew_whatever_became_of_the_one_before() {
        let mut lanes = Lanes::default();
        let old = endpoint("a");
        let new = WebhookEndpoint {
            version: 1,
            ..old.clone()
        };
        let full = |left: u32| vec![("a".to_owned(), left)];
        let later = Some(Time(1_000_000));
        for _ in 0..2 {
            assert!(!lanes.rooms(std::slice::from_ref(&old), Time(0)).is_empty());
            lanes.begin("a");
        }
        lanes.fail(&old, Time(0), later);
        assert_eq!(lanes.rooms(std::slice::from_ref(&old), Time(0)), []);
        let rooms = lanes.rooms(std::slice::from_ref(&new), Time(0));
        assert_eq!(rooms, full(LANE_MAX - 1));
        lanes.fail(&old, Time(0), later);
        let rooms = lanes.rooms(std::slice::from_ref(&new), Time(0));
        assert_eq!(rooms, full(LANE_MAX));
    }
}
