//! A node that is paid through the stand-in of a provider, with fans who have sessions.

use crate::at_provider::{AtProvider, Webhook};
use crate::node::{Node, ORGANISER_KEY};
use crate::pdf::CHINESE;
use crate::teardown::BooksAtEnd;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use checkout::inventory::{
    Hold, LatePayment, NewSession, Order, Reader, Refused, RulesPatch, SessionKey, SessionKeys,
    Wish, layout,
};
use checkout::mail::MailArgs;
use checkout::settings::SeatsArgs;
use checkout::webhooks::WebhookArgs;
use parking_lot::Mutex;
use serde_json::{Value, json};
use shared::http::middleware::with_middleware;
use shared::ids::{EventId, VisitorId};
use shared::time::Clock;
use std::sync::Arc;
use std::time::Duration;
use testkit::{Shared, shared_postgres};
use tower::ServiceExt as _;

/// Price of a seat.
pub(crate) const PRICE: i64 = 4500;

pub(crate) struct ProviderStage {
    pub(crate) node: Node,
    pub(crate) provider: Arc<AtProvider>,
    pub(crate) clock: Clock,
    pub(crate) app: Router,
    pub(crate) event: EventId,
    /// URL of the database; `None` with SQLite, and where a node was open already.
    pub(crate) url: Option<String>,
    pub(crate) fans: Mutex<Vec<Fan>>,
    /// State in which its books must be left; `None` where a node was open already.
    pub(crate) end: Option<BooksAtEnd>,
    servers: Arc<Shared>,
}

/// A fan with a session of their own, and what they hold and order.
#[derive(Clone)]
pub(crate) struct Fan {
    pub(crate) word: String,
    pub(crate) keys: SessionKeys,
    pub(crate) hold: String,
    pub(crate) order: String,
}

/// Returns the settings of a node that is paid through a provider.
fn args(provider: &AtProvider, url: Option<String>, mail: MailArgs) -> SeatsArgs {
    SeatsArgs {
        inventory: url,
        payments: provider.settings(),
        mail,
        webhooks: WebhookArgs {
            webhook_networks: Some("127.0.0.0/8".to_owned()),
        },
        pdf_fonts: Some(CHINESE.to_owned()),
        ..SeatsArgs::default()
    }
}

impl ProviderStage {
    /// Returns one stage for each provider on each engine.
    pub(crate) async fn all() -> Vec<ProviderStage> {
        let mut stages = ProviderStage::stripe().await;
        stages.extend(ProviderStage::razorpay().await);
        stages
    }

    /// Returns one stage for each engine, with Razorpay.
    pub(crate) async fn razorpay() -> Vec<ProviderStage> {
        ProviderStage::both(AtProvider::razorpay().await, AtProvider::razorpay().await).await
    }

    /// Returns one stage for each engine, with Stripe.
    pub(crate) async fn stripe() -> Vec<ProviderStage> {
        ProviderStage::both(AtProvider::stripe().await, AtProvider::stripe().await).await
    }

    async fn both(first: AtProvider, second: AtProvider) -> Vec<ProviderStage> {
        let servers = shared_postgres();
        let url = servers.postgres.url(&servers.postgres.database());
        vec![
            ProviderStage::open(first, None, MailArgs::default(), servers.clone()).await,
            ProviderStage::open(second, Some(url), MailArgs::default(), servers).await,
        ]
    }

    pub(crate) async fn open(
        provider: AtProvider,
        url: Option<String>,
        mail: MailArgs,
        servers: Arc<Shared>,
    ) -> ProviderStage {
        // The stand-in has a clock of its own, so that this one begins at the same time.
        let clock = Clock::manual(Clock::system().now());
        let args = args(&provider, url.clone(), mail);
        let node = Node::open(args, clock.clone()).await;
        let mut stage = ProviderStage::at(node, Arc::new(provider), clock, servers);
        stage.url = url;
        stage.end = Some(BooksAtEnd::Balance);
        stage.set_plan().await;
        stage
    }

    /// Changes the store behind its back, and goes on with a node that has nothing of it in memory.
    pub(crate) async fn change_store(&mut self, sqlite: &str, postgres: &str) {
        match &self.url {
            Some(url) => {
                let (_, database) = url.rsplit_once('/').unwrap();
                self.servers.postgres.run(database, postgres).unwrap();
            }
            None => {
                let path = self.node.home.folder.join("inventory.sqlite");
                let file = rusqlite::Connection::open(path).unwrap();
                file.busy_timeout(Duration::from_secs(10)).unwrap();
                file.execute_batch(sqlite).unwrap();
            }
        }
        let args = args(&self.provider, self.url.clone(), MailArgs::default());
        let (home, clock) = (self.node.home.clone(), self.clock.clone());
        let node = Node::open_at(home, args, clock, |inventory| inventory).await;
        self.node = node.unwrap();
        let (routes, description) = checkout::router(self.node.shop.clone());
        self.app = with_middleware(routes, &self.node.shop.site, description);
    }

    /// Returns a stage with a node that is open already.
    pub(crate) fn at(
        node: Node,
        provider: Arc<AtProvider>,
        clock: Clock,
        servers: Arc<Shared>,
    ) -> ProviderStage {
        let (routes, description) = checkout::router(node.shop.clone());
        ProviderStage {
            app: with_middleware(routes, &node.shop.site, description),
            node,
            provider,
            clock,
            event: EventId::parse("arena").unwrap(),
            url: None,
            fans: Mutex::default(),
            end: None,
            servers,
        }
    }

    /// Sets the plan of the event: a row of six seats.
    pub(crate) async fn set_plan(&self) {
        let plan = br#"{"categories": [{"id": "c", "name": "C", "price": 4500}],
            "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 6}]}"#;
        let inventory = &self.node.shop.inventory;
        let plan = layout::parse(plan).unwrap();
        inventory.set_seating(&self.event, plan).await.unwrap();
    }

    /// Lets another fan in.
    pub(crate) async fn fan(&self) -> Fan {
        let number = self.fans.lock().len() as u64 + 1;
        let (word, keys) = self.let_in(number).await;
        Fan {
            word,
            keys,
            hold: String::new(),
            order: String::new(),
        }
    }

    /// Opens the session of a fan, and returns its word and its key.
    pub(crate) async fn let_in(&self, number: u64) -> (String, SessionKeys) {
        let word = format!("ses_arena_of-{number}");
        let hash = shared::crypto::sha256(word.as_bytes());
        let session = NewSession {
            key: hash,
            event: self.event.clone(),
            visitor: VisitorId(u128::from(number)),
            number,
            jti: format!("j{number}"),
            token: String::new(),
            expires_at: self.clock.now().plus_seconds(3600),
            is_reported: true,
        };
        let inventory = &self.node.shop.inventory;
        inventory.open_session(session).await.unwrap();
        let event = self.event.clone();
        (word, vec![SessionKey { event, hash }])
    }

    /// Has another fan hold these seats. Returns the fan's key and the id of the hold.
    pub(crate) async fn hold(&self, seats: &[&str]) -> (SessionKeys, String) {
        let (keys, hold) = self.try_hold(seats).await.unwrap();
        (keys, hold.id.to_string())
    }

    /// Has another fan try to hold these seats.
    pub(crate) async fn try_hold(&self, seats: &[&str]) -> Result<(SessionKeys, Hold), Refused> {
        let fan = self.fan().await;
        let wish = Wish::Seats(seats.iter().map(|seat| (*seat).to_owned()).collect());
        let inventory = &self.node.shop.inventory;
        let held = inventory
            .hold(fan.keys.clone(), &self.event, wish, None)
            .await;
        self.fans.lock().push(fan.clone());
        Ok((fan.keys, held?.value))
    }

    /// Releases what has lapsed.
    pub(crate) async fn sweep(&self) {
        self.node.shop.inventory.sweep().await.unwrap();
    }

    /// Has another fan order these seats.
    pub(crate) async fn order(&self, seats: &[&str]) -> Value {
        let (status, order) = self.order_by(&[], seats, &json!({})).await;
        assert_eq!(status, StatusCode::CREATED, "{order}");
        order
    }

    /// Sets what late money buys.
    pub(crate) async fn set_late_payment(&self, policy: LatePayment) {
        let rules = RulesPatch {
            late_payment: Some(policy),
            ..RulesPatch::default()
        };
        let inventory = &self.node.shop.inventory;
        inventory.set_rules(&self.event, rules).await.unwrap();
    }

    /// Changes selling rules.
    pub(crate) async fn set_rules(&self, patch: Value) {
        let patch = serde_json::from_value(patch).unwrap();
        let inventory = &self.node.shop.inventory;
        inventory.set_rules(&self.event, patch).await.unwrap();
    }

    /// Asks for a change of selling rules.
    pub(crate) async fn patch_rules(&self, patch: &Value) -> (StatusCode, Value) {
        let path = "/api/v1/organiser/events/arena/checkout";
        self.send("PATCH", path, ORGANISER_KEY, patch).await
    }

    /// Corrects the buyer of the order at this path as an organiser.
    pub(crate) async fn change_buyer(&self, order: &str, patch: &Value) -> (StatusCode, Value) {
        self.send("PATCH", order, ORGANISER_KEY, patch).await
    }

    /// Sets a plan with another price.
    pub(crate) async fn set_price(&self, price: i64) -> (StatusCode, Value) {
        let plan = json!({"categories": [{"id": "c", "name": "C", "price": price}],
            "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 6}]});
        let path = "/api/v1/organiser/events/arena/seating";
        self.send("PUT", path, ORGANISER_KEY, &plan).await
    }

    /// Puts a plan to a path below that of the events.
    pub(crate) async fn put_plan(&self, path: &str, plan: &Value) -> (StatusCode, Value) {
        let path = format!("/api/v1/organiser/events/{path}");
        self.send("PUT", &path, ORGANISER_KEY, plan).await
    }

    fn fan_of(&self, order: &str) -> Fan {
        let fans = self.fans.lock();
        fans.iter().find(|fan| fan.order == order).unwrap().clone()
    }

    /// Orders a seat and pays it; the provider's webhooks arrive.
    pub(crate) async fn buy(&self, seats: &[&str]) -> Order {
        let order = self.buy_at_once(seats).await;
        self.settle_all().await;
        self.see_order(&order.id).await
    }

    /// As `buy`, at a provider that tells everything at once: no time goes by.
    pub(crate) async fn buy_at_once(&self, seats: &[&str]) -> Order {
        let order = self.order(seats).await;
        self.pay_for(&order).await
    }

    /// Returns what the fan's browser is told to pay an order with, which may come only after a
    /// while.
    pub(crate) async fn told(&self, order: &Value) -> String {
        let told = self.provider.told(&order["payment"]);
        if !told.is_empty() {
            return told;
        }
        self.settle_all().await;
        let payment = self.see(order).await.payment;
        self.provider.told(&json!(payment))
    }

    /// Sends what a browser was given by Razorpay, as the fan of this order.
    pub(crate) async fn return_to(&self, order: &Value, body: &Value) -> (StatusCode, Value) {
        let id = order["payment"]["id"].as_str().unwrap();
        let fan = self.fan_of(order["id"].as_str().unwrap());
        let path = format!("/api/v1/payments/razorpay/{id}");
        self.post(&path, &fan.word, body).await
    }

    /// Lets time go by, and the reconciler work, until what goes wrong has gone wrong often enough.
    pub(crate) async fn settle_all(&self) {
        for _ in 0..4 {
            self.clock.advance_ms(20_000);
            self.node.shop.reconcile_due().await;
        }
    }

    pub(crate) async fn see(&self, order: &Value) -> Order {
        self.see_order(order["id"].as_str().unwrap()).await
    }

    pub(crate) async fn see_order(&self, order: &str) -> Order {
        let reader = Reader::Session(self.fan_of(order).keys);
        let inventory = &self.node.shop.inventory;
        inventory.show_order(reader, order).await.unwrap()
    }

    /// Delivers all events in their order, each until it is taken.
    pub(crate) async fn deliver(&self) {
        for event in self.provider.take_events() {
            let mut status = self.webhook(&event).await;
            if status == StatusCode::SERVICE_UNAVAILABLE {
                status = self.webhook(&event).await;
            }
            assert_eq!(status, StatusCode::NO_CONTENT, "{event:?}");
        }
    }

    pub(crate) async fn webhook(&self, event: &Webhook) -> StatusCode {
        let signature = event.signature_at(self.seconds());
        self.send_webhook(event, &signature).await
    }

    /// Returns the time in seconds.
    pub(crate) fn seconds(&self) -> u64 {
        u64::try_from(self.clock.now().seconds()).unwrap()
    }

    pub(crate) async fn send_webhook(&self, event: &Webhook, signature: &str) -> StatusCode {
        let (path, header) = event.route();
        let request = Request::post(path)
            .header("host", "127.0.0.1")
            .header(header, signature)
            .header("content-type", "application/json")
            .body(Body::from(event.body().to_owned()));
        let answer = self.app.clone().oneshot(request.unwrap()).await;
        answer.unwrap().status()
    }

    /// Refunds an order: these seats, or all.
    pub(crate) async fn refund(&self, order: &str, seats: Option<&[&str]>) -> (StatusCode, Value) {
        let path = format!("/api/v1/organiser/events/arena/orders/{order}/refund");
        let body = seats.map_or(json!({}), |seats| json!({"seats": seats}));
        self.post(&path, ORGANISER_KEY, &body).await
    }

    /// Has the fan of an order let its seats go.
    pub(crate) async fn release(&self, order: &Value) {
        let fan = self.fan_of(order["id"].as_str().unwrap());
        let inventory = &self.node.shop.inventory;
        inventory.release(fan.keys, &fan.hold).await.unwrap();
    }

    /// Lets the time to pay run out.
    pub(crate) async fn expire(&self) {
        self.clock.advance_ms(601_000);
        self.node.shop.inventory.sweep().await.unwrap();
    }

    /// Returns the payments that need a look.
    pub(crate) async fn reviews(&self) -> Value {
        self.get("/api/v1/organiser/reviews").await
    }

    /// Settles a payment that needs a look, as its path says.
    pub(crate) async fn settle(
        &self,
        review: &Value,
        how: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let of = |name: &str| review[name].as_str().unwrap().to_owned();
        let (order, payment) = (of("order"), of("payment"));
        let path =
            format!("/api/v1/organiser/events/arena/orders/{order}/payments/{payment}/{how}");
        self.post(&path, ORGANISER_KEY, body).await
    }

    /// Returns an order as organisers see it, with everything about its money.
    pub(crate) async fn details(&self, order: &str) -> Value {
        let path = format!("/api/v1/organiser/events/arena/orders/{order}");
        self.get(&path).await
    }

    /// Has a door check a ticket.
    pub(crate) async fn check_ticket(&self, code: &str) -> StatusCode {
        let path = "/api/v1/organiser/events/arena/tickets/check";
        let (status, _) = self.post(path, ORGANISER_KEY, &json!({"code": code})).await;
        status
    }

    /// Returns the number of tickets that a door without a connection takes for valid.
    pub(crate) async fn listed_tickets(&self) -> usize {
        let path = "/api/v1/organiser/events/arena/door-bundle";
        let bundle = self.get(path).await;
        let tickets = bundle["tickets"].as_array().unwrap().iter();
        tickets.filter(|ticket| ticket["void"] == false).count()
    }

    /// Asks for a document as the fan of an order.
    pub(crate) async fn get_as_fan(&self, order: &str, path: &str) -> (StatusCode, Vec<u8>) {
        let word = self.fan_of(order).word;
        self.get_bytes(path, &word).await
    }

    /// Asks for a document as an organiser.
    pub(crate) async fn get_as_organiser(&self, path: &str) -> (StatusCode, Vec<u8>) {
        self.get_bytes(path, ORGANISER_KEY).await
    }

    /// Posts nothing as an organiser.
    pub(crate) async fn post_as_organiser(&self, path: &str) -> (StatusCode, Value) {
        self.post(path, ORGANISER_KEY, &json!({})).await
    }

    pub(crate) async fn get_bytes(&self, path: &str, word: &str) -> (StatusCode, Vec<u8>) {
        let request = Request::get(path)
            .header("host", "127.0.0.1")
            .header("authorization", format!("Bearer {word}"));
        let request = request.body(Body::empty()).unwrap();
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1_000_000).await.unwrap();
        (status, body.to_vec())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = Request::get(path)
            .header("host", "127.0.0.1")
            .header("authorization", format!("Bearer {ORGANISER_KEY}"));
        let (status, body) = self.ask(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, word: &str, body: &Value) -> (StatusCode, Value) {
        self.send("POST", path, word, body).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        word: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1")
            .header("authorization", format!("Bearer {word}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()));
        self.ask(request.unwrap()).await
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 100_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Returns the numbers of available, held and booked seats.
    pub(crate) async fn counts(&self) -> [u32; 3] {
        let sales = self.node.shop.inventory.sales(&self.event).await.unwrap();
        [sales.available, sales.held, sales.booked]
    }
}
