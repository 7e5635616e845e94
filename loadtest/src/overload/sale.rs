//! A sale under way, and the fans who are sent to it.

use crate::report::progress;
use crate::rush::buy;
use client::{Client, Failed};
use futures_util::stream::{self, StreamExt as _};
use hyper::Method;
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// After this a fan gives up, wherever the journey is. Before, a fan who is refused comes back when
/// the server says, as pages do.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two lots of fans.
const PACE: Duration = Duration::from_millis(10);

/// An order that the server confirmed to its buyer.
pub(super) struct Confirmed {
    pub(super) came_at: Instant,
    pub(super) at: Instant,
    pub(super) order: Value,
}

/// A sale under way.
#[derive(Clone)]
pub(super) struct RunningSale {
    pub(super) client: Client,
    pub(super) event: String,
    /// Name of the load that is offered now.
    pub(super) load: Arc<Mutex<&'static str>>,
    /// Fans sent so far.
    pub(super) offered: Arc<AtomicUsize>,
    pub(super) confirmed: Arc<Mutex<Vec<Confirmed>>>,
    /// Journeys that ended without an order, as sentences.
    pub(super) given_up: Arc<Mutex<Vec<String>>>,
}

/// Load that is offered for a while.
pub(super) struct Load {
    pub(super) name: &'static str,
    /// Fans per second.
    pub(super) rate: f64,
    pub(super) span: Duration,
}

/// How load was offered.
pub(super) struct Offered {
    pub(super) began: Instant,
    /// Longest time for which a fan was late, because the machine of the fans was busy.
    pub(super) latest: Duration,
}

impl RunningSale {
    pub(super) fn new(client: Client, event: String) -> RunningSale {
        RunningSale {
            client,
            event,
            load: Arc::new(Mutex::new("capacity")),
            offered: Arc::default(),
            confirmed: Arc::default(),
            given_up: Arc::default(),
        }
    }

    /// Simulates one fan, who looks at the map and buys a seat.
    async fn journey(self, token: String) {
        let came_at = Instant::now();
        self.offered.fetch_add(1, Ordering::Relaxed);
        let journey = async {
            let seats = format!("/api/v1/events/{}/seats", self.event);
            let bits = [("accept", "application/octet-stream")];
            // Without a map the fan takes the best seats.
            let _ = self
                .client
                .raw(Method::GET, &seats, &bits, Vec::new())
                .await;
            buy(&self.client, &self.event, &token, 1).await
        };
        let outcome = tokio::time::timeout(PATIENCE, journey).await;
        match outcome.unwrap_or_else(|_| Err("out of patience".to_owned())) {
            Ok(order) => self.confirmed.lock().push(Confirmed {
                came_at,
                at: Instant::now(),
                order,
            }),
            Err(error) => self.given_up.lock().push(error),
        }
    }

    /// Sends fans at a rate, whatever becomes of them.
    ///
    /// # Errors
    /// If there are not as many.
    pub(super) async fn offer(
        &self,
        fans: &mut JoinSet<()>,
        tokens: &mut Vec<String>,
        load: &Load,
    ) -> Result<Offered, Failed> {
        let bar = progress(load.name, load.span.as_secs());
        *self.load.lock() = load.name;
        let began = Instant::now();
        let (mut sent, mut latest) = (0, Duration::ZERO);
        let mut pace = tokio::time::interval(PACE);
        let mut ticked = began;
        while began.elapsed() < load.span {
            pace.tick().await;
            latest = latest.max(ticked.elapsed().saturating_sub(PACE));
            ticked = Instant::now();
            let due = (began.elapsed().min(load.span).as_secs_f64() * load.rate) as usize;
            for _ in sent..due {
                let token = tokens.pop().ok_or("more --seats are needed")?;
                fans.spawn(self.clone().journey(token));
            }
            sent = sent.max(due);
            while fans.try_join_next().is_some() {}
            bar.set_position(began.elapsed().as_secs());
        }
        bar.finish_and_clear();
        Ok(Offered { began, latest })
    }

    /// Returns the orders confirmed per second in a span of time.
    pub(super) fn goodput(&self, from: Instant, span: Duration) -> f64 {
        let confirmed = self.confirmed.lock();
        let within = |order: &&Confirmed| order.at >= from && order.at < from + span;
        confirmed.iter().filter(within).count() as f64 / span.as_secs_f64()
    }

    /// Returns the number of fans who came in a span of time and bought.
    pub(super) fn bought(&self, from: Instant, span: Duration) -> usize {
        let confirmed = self.confirmed.lock();
        let within = |order: &&Confirmed| order.came_at >= from && order.came_at < from + span;
        confirmed.iter().filter(within).count()
    }

    /// Measures how many orders a second the server confirms to a fixed number of concurrent fans.
    pub(super) async fn capacity(&self, tokens: Vec<String>, concurrency: usize) -> f64 {
        let began = Instant::now();
        let journeys = stream::iter(tokens).map(|token| tokio::spawn(self.clone().journey(token)));
        let _: Vec<_> = journeys.buffer_unordered(concurrency).collect().await;
        self.confirmed.lock().len() as f64 / began.elapsed().as_secs_f64()
    }
}
