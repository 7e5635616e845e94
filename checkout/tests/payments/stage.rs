//! A node that is paid through the stand-in of a provider, with fans who have sessions.

use crate::at_provider::{AtProvider, Card, Webhook};
use crate::node::{Node, ORGANISER_KEY};
use crate::pdf::CHINESE;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use checkout::inventory::{
    LatePayment, NewSession, Order, OrderPage, Reader, RulesPatch, SessionKey, SessionKeys, Wish,
    layout,
};
use checkout::mail::MailArgs;
use checkout::payment::{ReconcileArgs, reconcile};
use checkout::settings::SeatsArgs;
use parking_lot::Mutex;
use serde_json::{Value, json};
use shared::http::middleware::with_middleware;
use shared::ids::{EventId, VisitorId};
use shared::time::{Clock, Time};
use std::process::ExitCode;
use std::sync::Arc;
use testkit::{Shared, shared_postgres};
use tower::ServiceExt as _;

/// Price of a seat.
pub(crate) const PRICE: i64 = 4500;

pub(crate) struct ProviderStage {
    pub(crate) node: Node,
    pub(crate) provider: AtProvider,
    pub(crate) clock: Clock,
    pub(crate) app: Router,
    pub(crate) event: EventId,
    /// URL of the database; `None` with SQLite.
    pub(crate) url: Option<String>,
    fans: Mutex<Vec<Fan>>,
    _servers: Arc<Shared>,
}

/// A fan with a session of their own, and what they hold and order.
#[derive(Clone)]
pub(crate) struct Fan {
    pub(crate) word: String,
    pub(crate) keys: SessionKeys,
    hold: String,
    order: String,
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
        let args = SeatsArgs {
            inventory: url.clone(),
            payments: provider.settings(),
            mail,
            pdf_fonts: Some(CHINESE.to_owned()),
            ..SeatsArgs::default()
        };
        let node = Node::open(args, clock.clone()).await;
        let event = EventId::parse("arena").unwrap();
        let plan = br#"{"categories": [{"id": "c", "name": "C", "price": 4500}],
            "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 6}]}"#;
        let inventory = &node.shop.inventory;
        let plan = layout::parse(plan).unwrap();
        inventory.set_seating(&event, plan).await.unwrap();
        let (routes, description) = checkout::router(node.shop.clone());
        ProviderStage {
            app: with_middleware(routes, &node.shop.site, description),
            node,
            provider,
            clock,
            event,
            url,
            fans: Mutex::default(),
            _servers: servers,
        }
    }

    /// Lets another fan in.
    pub(crate) async fn fan(&self) -> Fan {
        let number = self.fans.lock().len() as u64 + 1;
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
        let keys = vec![SessionKey {
            event: self.event.clone(),
            hash,
        }];
        Fan {
            word,
            keys,
            hold: String::new(),
            order: String::new(),
        }
    }

    /// Has another fan order these seats.
    pub(crate) async fn order(&self, seats: &[&str]) -> Value {
        let mut fan = self.fan().await;
        let wish = Wish::Seats(seats.iter().map(|seat| (*seat).to_owned()).collect());
        let inventory = &self.node.shop.inventory;
        let held = inventory.hold(fan.keys.clone(), &self.event, wish, None);
        fan.hold = held.await.unwrap().value.id.to_string();
        let body = json!({"hold": fan.hold, "buyer": {"name": "Ada", "email": "ada@example.org"}});
        let (status, order) = self.post("/api/v1/orders", &fan.word, &body).await;
        assert_eq!(status, StatusCode::CREATED, "{order}");
        fan.order = order["id"].as_str().unwrap().to_owned();
        self.fans.lock().push(fan);
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
        let order = self.order(seats).await;
        let told = self.told(&order).await;
        self.provider.pay(&told, Card::Good).unwrap();
        self.deliver().await;
        self.settle_all().await;
        self.see(&order).await
    }

    /// Returns what the fan's browser is told to pay an order with, which may come only after a
    /// while.
    pub(crate) async fn told(&self, order: &Value) -> String {
        let payment = &order["payment"];
        let told = match &self.provider {
            AtProvider::Stripe(_) => payment["client_secret"].as_str(),
            AtProvider::Razorpay(_) => payment["order_id"].as_str(),
        };
        if let Some(told) = told.filter(|told| !told.is_empty()) {
            return told.to_owned();
        }
        self.settle_all().await;
        let payment = self.see(order).await.payment;
        match &self.provider {
            AtProvider::Stripe(_) => payment.client_secret,
            AtProvider::Razorpay(_) => payment.order_id.unwrap(),
        }
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

    async fn send(
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

    async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
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

    /// Checks that each order's money is the price of its tickets with their fees and taxes and those
    /// of the order, and the provider's books are ours, to the cent.
    pub(crate) async fn check_books(&self) {
        let inventory = &self.node.shop.inventory;
        let (mut booked, mut worth) = (0, 0);
        for order in inventory
            .orders(&self.event, &OrderPage::newest(100))
            .await
            .unwrap()
        {
            booked += order.tickets.as_ref().map_or(0, Vec::len) as i64;
            let refunded = order.refunded.map_or(0, |refunded| refunded.amount);
            if order.state == "confirmed" {
                assert_eq!(order.total.amount - refunded, price(&order), "{order:?}");
                worth += price(&order);
            }
            if order.state == "refunded" && is_kept(&order) {
                assert_eq!(order.total.amount - refunded, of_order(&order), "{order:?}");
                worth += of_order(&order);
            }
        }
        let (from, to) = (Time(0), Time(self.clock.now().0 + 86_400_000));
        let payments = inventory.payments(from, to).await.unwrap();
        let kept = payments
            .iter()
            .map(|payment| payment.captured - payment.refunded);
        assert_eq!(kept.sum::<i64>(), worth, "{payments:?}");
        let [_, _, seats] = self.counts().await;
        assert_eq!(i64::from(seats), booked);
        assert_eq!(self.reconcile().await, ExitCode::SUCCESS, "{payments:?}");
    }

    /// Compares with the provider's list.
    pub(crate) async fn reconcile(&self) -> ExitCode {
        let args = ReconcileArgs {
            from: "2020-01-01T00:00:00Z".into(),
            to: "2100-01-01T00:00:00Z".into(),
        };
        let shop = &self.node.shop;
        reconcile(&shop.inventory, &shop.providers, &args).await
    }
}

/// Returns what the tickets of an order cost with all that they and the order bear.
fn price(order: &Order) -> i64 {
    let tickets = order.tickets.iter().flatten();
    let price = |seat: &str| {
        let category = &order
            .seats
            .iter()
            .find(|one| *one.id == *seat)
            .unwrap()
            .category;
        let own = order
            .lines
            .iter()
            .filter(|line| line.category.as_ref() == Some(category));
        let added = own.filter(|line| !line.included);
        added.map(|line| line.unit.amount).sum::<i64>()
    };
    tickets.map(|ticket| price(&ticket.seat)).sum::<i64>() + of_order(order)
}

/// Returns the fees of an order, with the taxes on them.
fn of_order(order: &Order) -> i64 {
    let lines = order.lines.iter();
    let own = lines.filter(|line| line.category.is_none() && !line.included);
    own.map(|line| line.amount.amount).sum()
}

/// Returns whether something of an order that was refunded was kept.
fn is_kept(order: &Order) -> bool {
    order
        .refunded
        .is_some_and(|refunded| refunded.amount < order.total.amount)
}
