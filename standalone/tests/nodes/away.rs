//! A waiting room that does not answer: the checkout goes on without waiting for it, and finds that
//! it answers again.

use crate::site::{KEY, Node, Site, word};
use client::Client;
use serde_json::json;
use std::time::{Duration, Instant};

const FANS: usize = 10;
/// Less than the fans would wait one after another, each for as long as the waiting room has to
/// answer.
const AT_ONCE: Duration = Duration::from_secs(FANS as u64);

impl Node {
    /// Waits until such a line stands among the metrics of this process.
    pub(crate) async fn until_metric(&self, is_it: impl Fn(&str) -> bool) {
        let operations = Client::new(&format!("http://{}", self.setting("FAIRLINE_OPS_LISTEN")));
        let from = Instant::now();
        loop {
            let answer = operations.raw(hyper::Method::GET, "/metrics", &[], Vec::new());
            let answer = answer.await.unwrap();
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            if text.lines().any(&is_it) {
                return;
            }
            assert!(from.elapsed() < Duration::from_secs(60), "{text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_frozen_waiting_room_delays_no_session_and_hears_of_all_later() {
    let site = Site::open(1).await;
    let admission = json!({"rate_per_minute": 600_000, "batch_seconds": 1});
    site.event("night", admission).await;
    let mut tokens = Vec::new();
    for _ in 0..FANS {
        tokens.push(site.admit("night").await.1);
    }
    let closed = "fairline_circuit_open{dependency=\"waiting-room\"} 0";
    let open = "fairline_circuit_open{dependency=\"waiting-room\"} 1";
    site.checkout.until_metric(|line| line == closed).await;
    let room = site.rooms[0].process.as_ref().unwrap();
    room.signal("STOP");
    site.checkout.until_metric(|line| line == open).await;
    let from = Instant::now();
    for token in &tokens {
        let path = "/api/v1/events/night/sessions";
        let opened = site.checkout.client.post(path, token, json!({})).await;
        let session = word(&opened.unwrap().ok().unwrap()["session"]);
        assert!(session.starts_with("ses_night_"));
    }
    assert!(from.elapsed() < AT_ONCE, "{:?}", from.elapsed());
    room.signal("CONT");
    site.checkout.until_metric(|line| line == closed).await;
    let path = "/api/v1/organiser/events/night/stats";
    site.until(path, KEY, |stats| stats["shopping"] == FANS)
        .await;
}
