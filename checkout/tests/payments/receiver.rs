//! A system to which webhooks are posted, which answers as it is told to.

use crate::stage::ProviderStage;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use shared::crypto::{Secret, decode_base64, encode_base64};
use std::future::pending;
use std::sync::Arc;

pub(crate) const WEBHOOKS: &str = "/api/v1/organiser/webhooks";

/// A request that it got.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    headers: HeaderMap,
    pub(crate) body: String,
    /// The status by which it was answered.
    pub(crate) status: u16,
}

/// The answer to a request; 0: none, ever.
type Answer = Box<dyn Fn(&Posted) -> (u16, &'static [(&'static str, &'static str)]) + Send + Sync>;

pub(crate) struct Receiver {
    pub(crate) url: String,
    posted: Mutex<Vec<Posted>>,
    answer: Mutex<Answer>,
}

impl Posted {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn event_type(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Returns the place among the signatures of the one by a secret.
    pub(crate) fn signed_by(&self, secret: &str) -> Option<usize> {
        let key = decode_base64(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let signed = format!(
            "{}.{}.{}",
            self.id(),
            self.header("webhook-timestamp"),
            self.body
        );
        let mac = Secret::of_another_system(&key).sign(signed.as_bytes());
        let wanted = format!("v1,{}", encode_base64(&mac));
        let mut signatures = self.header("webhook-signature").split(' ');
        signatures.position(|signature| signature == wanted)
    }
}

impl Receiver {
    pub(crate) async fn start() -> Arc<Receiver> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Arc::new(Receiver {
            url: format!("http://{}/hooks?key=hidden", listener.local_addr().unwrap()),
            posted: Mutex::default(),
            answer: Mutex::new(Box::new(|_| (200, &[]))),
        });
        let app = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    /// Answers all requests from now on so.
    pub(crate) fn answers(
        &self,
        answer: impl Fn(&Posted) -> (u16, &'static [(&'static str, &'static str)])
        + Send
        + Sync
        + 'static,
    ) {
        *self.answer.lock() = Box::new(answer);
    }

    /// Returns what it got.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().clone()
    }

    /// Returns what it got and took, by type.
    pub(crate) fn taken(&self) -> Vec<String> {
        let posted = self.posted().into_iter();
        let taken = posted.filter(|it| it.status == 200);
        taken.map(|it| it.event_type()).collect()
    }
}

async fn take(State(receiver): State<Arc<Receiver>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 100_000).await.unwrap();
    let mut posted = Posted {
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
        status: 0,
    };
    let (status, headers) = (receiver.answer.lock())(&posted);
    posted.status = status;
    receiver.posted.lock().push(posted);
    if status == 0 {
        pending::<()>().await;
    }
    let mut answer = Response::new(Body::from(format!("answer\n{status}")));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        answer.headers_mut().insert(*name, value.parse().unwrap());
    }
    answer
}

impl ProviderStage {
    /// Returns one stage for each engine, whose nodes run.
    pub(crate) async fn posting() -> Vec<ProviderStage> {
        let stages = ProviderStage::stripe().await;
        for stage in &stages {
            tokio::spawn(checkout::run(stage.node.shop.clone()));
        }
        stages
    }

    /// Has events posted to a receiver; returns the webhook's id and its secret.
    pub(crate) async fn post_to(&self, receiver: &Receiver, more: Value) -> (String, String) {
        let mut new = json!({"name": "Loyalty", "url": receiver.url});
        for (name, value) in more.as_object().unwrap() {
            new[name] = value.clone();
        }
        let (status, made) = self.post(WEBHOOKS, crate::node::ORGANISER_KEY, &new).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        (word(&made["webhook"]["id"]), word(&made["secret"]))
    }

    /// Returns the deliveries to a webhook, the newest first.
    pub(crate) async fn deliveries(&self, webhook: &str) -> Vec<Value> {
        let list = self
            .get(&format!("{WEBHOOKS}/{webhook}/deliveries?limit=100"))
            .await;
        list["deliveries"].as_array().unwrap().clone()
    }

    /// Returns the types of an order's events that are about orders and payments, as they happened.
    pub(crate) async fn stored_types(&self, order: &str) -> Vec<String> {
        let outbox = self.node.shop.inventory.outbox();
        let mut types = Vec::new();
        for (shard, _) in outbox.newest().await.unwrap() {
            let rows = outbox.read(shard, 0, 1_000).await.unwrap().into_iter();
            let of_order = rows.filter(|row| row.aggregate_id == order);
            types.extend(of_order.map(|row| row.event_type));
        }
        types.retain(|name| !name.starts_with("ticket."));
        types
    }

    /// Returns the only webhook.
    pub(crate) async fn only_webhook(&self) -> Value {
        self.get(WEBHOOKS).await["webhooks"][0].clone()
    }
}
