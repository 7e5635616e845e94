//! A question to the gate, asked as fast as it is answered, or so many times a second.

use crate::private::Private;
use crate::process::Process;
use crate::report::histogram;
use crate::wire::Wire;
use client::Failed;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The event of all private servers.
pub(crate) const EVENT: &str = "gate";

/// Number of connections, as nginx keeps them to its upstream.
const CONNECTIONS: usize = 64;
/// Path of a picture on a page of the site.
const PICTURE: &str = "/pictures/hall.webp?v=7";
/// Headers in which a proxy describes each request.
const HEADS: &str = "Host: shop.example\r\nX-Forwarded-For: 203.0.113.9\r\nX-Original-URI: /pictures/hall.webp?v=7\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\n\
    Accept: image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Mode: no-cors\r\n";

/// Requests to one server that are all answered in the same way.
pub(super) struct Question {
    pub(super) name: &'static str,
    /// The server's process.
    pub(super) process: Process,
    address: String,
    requests: Arc<[Vec<u8>]>,
    status: u16,
}

/// Answers to requests at a set rate.
pub(super) struct Paced {
    /// Microseconds from when a request was due.
    pub(super) latency: Histogram<u64>,
    pub(super) statuses: BTreeMap<u16, usize>,
}

impl Default for Paced {
    fn default() -> Paced {
        Paced {
            latency: histogram(),
            statuses: BTreeMap::new(),
        }
    }
}

impl Paced {
    pub(super) fn add(&mut self, other: Paced) {
        self.latency += &other.latency;
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
    }
}

impl Question {
    /// Asks the gate, in turn for each of these fans; an empty token is a stranger's.
    pub(super) fn of_fans(
        name: &'static str,
        server: &Private,
        tokens: &[String],
        status: u16,
    ) -> Question {
        let path = format!("/.fairline/auth-request/{EVENT}/GET");
        Question::at(&path, name, server, tokens, status)
    }

    /// Asks for a picture of the site.
    pub(super) fn of_site(name: &'static str, server: &Private, tokens: &[String]) -> Question {
        Question::at(PICTURE, name, server, tokens, 200)
    }

    fn at(
        path: &str,
        name: &'static str,
        server: &Private,
        tokens: &[String],
        status: u16,
    ) -> Question {
        let request = |token: &String| {
            let cookie = format!("Cookie: fairline_admission_{EVENT}={token}\r\n");
            let cookie = if token.is_empty() { "" } else { &cookie };
            format!("GET {path} HTTP/1.1\r\n{HEADS}{cookie}\r\n").into_bytes()
        };
        Question {
            name,
            process: Process(server.server.id()),
            address: server.address.clone(),
            requests: tokens.iter().map(request).collect(),
            status,
        }
    }

    /// Asks so many times on all connections, each time as soon as the answer before is there.
    /// Returns the answers per second.
    pub(super) async fn ask_all(&self, count: usize) -> Result<f64, Failed> {
        let from = Instant::now();
        let paced = self.ask(count, move |_| from).await?;
        self.check(&paced)?;
        Ok(count as f64 / from.elapsed().as_secs_f64())
    }

    /// Asks so many times a second, whether or not the answers come as fast.
    pub(super) async fn pace(&self, rate: f64, span: Duration) -> Result<Paced, Failed> {
        let from = Instant::now() + Duration::from_millis(20);
        let count = (rate * span.as_secs_f64()).round() as usize;
        self.ask(count, move |at| {
            from + Duration::from_secs_f64(at as f64 / rate)
        })
        .await
    }

    /// Checks that each answer was the expected one.
    pub(super) fn check(&self, paced: &Paced) -> Result<(), Failed> {
        let is_expected = paced.statuses.keys().eq([&self.status]);
        is_expected
            .then_some(())
            .ok_or_else(|| format!("{}: {:?}", self.name, paced.statuses))
    }

    /// Sends each request when it is due, or once its connection is free.
    async fn ask(
        &self,
        count: usize,
        due: impl Fn(usize) -> Instant + Copy + Send + 'static,
    ) -> Result<Paced, Failed> {
        let connections = (0..CONNECTIONS).map(|connection| {
            let (mut wire, requests) = (Wire::new(&self.address), self.requests.clone());
            tokio::spawn(async move {
                let mut paced = Paced::default();
                for at in (connection..count).step_by(CONNECTIONS) {
                    let mut began = due(at);
                    if began > Instant::now() {
                        tokio::time::sleep_until(began.into()).await;
                        // The delay of the timer is no fault of the server's.
                        began = Instant::now();
                    }
                    let status = wire.send(&requests[at % requests.len()]).await?;
                    let took = began.elapsed().as_micros() as u64;
                    paced.latency.saturating_record(took);
                    *paced.statuses.entry(status).or_default() += 1;
                }
                Ok::<_, Failed>(paced)
            })
        });
        let connections: Vec<_> = connections.collect();
        let mut all = Paced::default();
        for connection in connections {
            all.add(connection.await.map_err(|error| error.to_string())??);
        }
        Ok(all)
    }
}
