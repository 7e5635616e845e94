//! Payments while the store refuses the provider's verdict: it is kept until the store accepts it.

use crate::books::balanced;
use crate::node::{Node, ORGANISER_KEY, WORD};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use checkout::Shop;
use checkout::inventory::{
    Begun, Buyer, NewSession, Order, Reader, SessionKey, Verdict, Wish, layout,
};
use checkout::settings::SeatsArgs;
use serde_json::Value;
use shared::http::middleware::with_middleware;
use shared::ids::{EventId, VisitorId};
use shared::time::{Clock, Time};
use std::sync::Arc;
use std::thread::panicking;
use std::time::{Duration, Instant};
use testkit::{Shared, shared_postgres};
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tower::ServiceExt as _;

const PATIENCE: Duration = Duration::from_secs(60);

async fn order(shop: &Shop, keys: &checkout::inventory::SessionKeys, seat: &str) -> Order {
    let wish = Wish::Seats(vec![seat.to_owned()]);
    let event = &keys[0].event;
    let hold = shop.inventory.hold(keys.clone(), event, wish, None).await;
    let buyer = Buyer {
        name: "Ada".into(),
        email: "ada@example.org".into(),
    };
    let hold = hold.unwrap().value.id;
    let order = shop.inventory.order(keys.clone(), &hold, buyer, None).await;
    order.unwrap().value
}

/// A node whose store can be made to refuse that a payment was captured, and an order.
struct Stage {
    node: Node,
    app: Router,
    clock: Clock,
    order: Order,
    keys: checkout::inventory::SessionKeys,
    database: Option<String>,
    servers: Arc<Shared>,
}

/// Returns the settings of a node on SQLite, or on the Postgres with this URL.
fn on(inventory: Option<String>) -> SeatsArgs {
    SeatsArgs {
        inventory,
        ..SeatsArgs::default()
    }
}

impl Stage {
    async fn open(database: Option<String>, servers: Arc<Shared>) -> Stage {
        let clock = Clock::manual(Time(1_800_000_000_000));
        let url = database.as_ref().map(|name| servers.postgres.url(name));
        let node = Node::open(on(url), clock.clone()).await;
        let shop = &node.shop;
        let event = EventId::parse("arena").unwrap();
        let plan = br#"{"categories": [{"id": "c", "name": "C", "price": 4500}],
            "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 6}]}"#;
        let plan = layout::parse(plan).unwrap();
        shop.inventory.set_seating(&event, plan).await.unwrap();
        let hash = shared::crypto::sha256(WORD.as_bytes());
        let session = NewSession {
            key: hash,
            event: event.clone(),
            visitor: VisitorId(1),
            number: 1,
            jti: "j".into(),
            token: String::new(),
            expires_at: clock.now().plus_seconds(3600),
            is_reported: true,
        };
        shop.inventory.open_session(session).await.unwrap();
        let keys = vec![SessionKey {
            event: event.clone(),
            hash,
        }];
        let order = order(shop, &keys, "s-A-1").await;
        let (routes, description) = checkout::router(shop.clone());
        Stage {
            app: with_middleware(routes, &shop.site, description),
            order,
            keys,
            node,
            clock,
            database,
            servers,
        }
    }

    /// Returns one stage for each engine.
    async fn both() -> Vec<Stage> {
        let servers = shared_postgres();
        let database = servers.postgres.database();
        vec![
            Stage::open(None, servers.clone()).await,
            Stage::open(Some(database), servers).await,
        ]
    }

    fn by_hand(&self, sqlite: &str, postgres: &str) {
        match &self.database {
            Some(name) => {
                self.servers.postgres.run(name, postgres).unwrap();
            }
            None => {
                let path = self.node.home.folder.join("inventory.sqlite");
                let file = rusqlite::Connection::open(path).unwrap();
                file.busy_timeout(Duration::from_secs(10)).unwrap();
                file.execute_batch(sqlite).unwrap();
            }
        }
    }

    /// Makes the store report a full disk whenever a payment is captured at once.
    fn refuse(&self) {
        self.by_hand(
            "create trigger full before update on payment when new.state = 'captured' and new.settles_at is null
                begin select raise(fail, 'disk full'); end",
            "create function public.refuse() returns trigger language plpgsql as
                $$ begin raise exception using errcode = '53100'; end $$;
             create trigger full_disk before update on fairline.payment for each row
                when (new.state = 'captured' and new.settles_at is null) execute function public.refuse()",
        );
    }

    fn accept(&self) {
        self.by_hand(
            "drop trigger full",
            "drop trigger full_disk on fairline.payment",
        );
    }

    async fn pay(&self) -> (StatusCode, Value) {
        let path = format!("/api/v1/payments/simulated/{}", self.order.payment.id);
        let request = Request::post(path)
            .header("host", "127.0.0.1")
            .header("authorization", format!("Bearer {WORD}"))
            .header("content-type", "application/json")
            .header("idempotency-key", "pay-once")
            .body(Body::from(r#"{"card": "4242424242424242"}"#));
        self.ask(request.unwrap()).await
    }

    async fn refund(&self) -> (StatusCode, Value) {
        let path = format!(
            "/api/v1/organiser/events/arena/orders/{}/refund",
            self.order.id
        );
        let request = Request::post(path)
            .header("host", "127.0.0.1")
            .header("authorization", format!("Bearer {ORGANISER_KEY}"))
            .body(Body::empty());
        self.ask(request.unwrap()).await
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 100_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn state(&self) -> String {
        state(&self.node, &self.keys, &self.order).await
    }

    /// An order whose money is promised in so many seconds.
    async fn promised(&self, seat: &str, seconds: u32) -> Order {
        let inventory = &self.node.shop.inventory;
        let order = order(&self.node.shop, &self.keys, seat).await;
        let id = &order.payment.id;
        let begun = inventory.begin_payment(self.keys.clone(), id, None).await;
        let Ok(Begun::Ask(payment)) = begun else {
            panic!("the payment should begin")
        };
        let promise = Verdict::Pending(self.clock.now().plus_seconds(seconds));
        inventory.settle(&payment, promise, None).await.unwrap()
    }
}

impl Drop for Stage {
    /// Checks that each order's money is the price of its tickets.
    fn drop(&mut self) {
        if panicking() {
            return;
        }
        let (inventory, event) = (&self.node.shop.inventory, &self.keys[0].event);
        let books = balanced(inventory, event);
        block_in_place(|| Handle::current().block_on(books)).unwrap();
    }
}

async fn state(node: &Node, keys: &checkout::inventory::SessionKeys, order: &Order) -> String {
    let reader = Reader::Session(keys.clone());
    let order = node.shop.inventory.show_order(reader, &order.id).await;
    order.unwrap().state
}

/// Returns whether the answer is still pending: the first request is still running, or a database
/// with a full disk counts as unreachable.
fn is_not_yet(status: StatusCode, problem: &Value) -> bool {
    status == StatusCode::SERVICE_UNAVAILABLE || problem["type"] == "/problems/still-running"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_that_the_store_refuses_is_kept_until_it_takes_it_and_the_request_answered_then() {
    for stage in Stage::both().await {
        tokio::spawn(checkout::run(stage.node.shop.clone()));
        stage.refuse();
        let (status, _) = stage.pay().await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        // Longer than a provider may take to answer. The sweep does not ask for the verdict, as it
        // is known here.
        stage.clock.advance_ms(60_000);
        stage.node.shop.inventory.sweep().await.unwrap();
        let (status, problem) = stage.pay().await;
        assert!(is_not_yet(status, &problem), "{status} {problem}");
        stage.accept();
        let accepted_at = Instant::now();
        let order = loop {
            assert!(accepted_at.elapsed() < PATIENCE, "never answered");
            match stage.pay().await {
                (StatusCode::OK, order) => break order,
                (status, problem) => assert!(is_not_yet(status, &problem), "{status} {problem}"),
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(order["state"], "confirmed");
        assert_eq!(stage.state().await, "confirmed");
        stage.node.stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_about_to_go_settles_what_it_was_told_first() {
    for stage in Stage::both().await {
        stage.refuse();
        let (status, _) = stage.pay().await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        stage.node.stop.cancel();
        stage.accept();
        stage.node.shop.drain().await;
        assert_eq!(stage.state().await, "confirmed");
    }
}

/// Returns a stage whose browser hung up right after it had asked for the payment. On a busy machine
/// the answer may be there at once, and there is none to hang up on: then it is another stage's turn.
async fn hung_up(engine: usize) -> Stage {
    for _ in 0..20 {
        let stage = Stage::both().await.into_iter().nth(engine).unwrap();
        let is_answered = tokio::select! {
            biased;
            _ = stage.pay() => true,
            () = std::future::ready(()) => false,
        };
        if !is_answered {
            return stage;
        }
    }
    panic!("it is always answered at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_goes_on_though_the_browser_hangs_up_before_it_is_marked() {
    for engine in 0..2 {
        let stage = hung_up(engine).await;
        let hung_up_at = Instant::now();
        while stage.state().await != "confirmed" {
            assert!(hung_up_at.elapsed() < PATIENCE, "never asked");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_reaches_the_store_since_a_moment_leaves_a_silent_payment_to_who_holds_its_yes()
{
    let servers = shared_postgres();
    let database = servers.postgres.database();
    let url = servers.postgres.url(&database);
    let stage = Stage::open(Some(database), servers).await;
    let promised = [
        stage.promised("s-A-2", 50).await,
        stage.promised("s-A-3", 100).await,
    ];
    stage.refuse();
    let (status, _) = stage.pay().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let other = Node::open(on(Some(url)), stage.clock.clone()).await;
    tokio::spawn(checkout::run(other.shop.clone()));
    // It settles one and, with another sweep, the next: the payment was due at the first.
    for promised in &promised {
        stage.clock.advance_ms(60_000);
        let from = Instant::now();
        while state(&other, &stage.keys, promised).await != "confirmed" {
            assert!(from.elapsed() < PATIENCE, "never swept");
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(state(&other, &stage.keys, &stage.order).await, "paying");
    stage.node.stop.cancel();
    stage.accept();
    stage.node.shop.drain().await;
    assert_eq!(stage.state().await, "confirmed");
    other.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_is_finished_later_is_in_the_audit_log() {
    for stage in Stage::both().await {
        assert_eq!(stage.pay().await.0, StatusCode::OK);
        stage.by_hand(
            "create trigger full before update on payment when new.state = 'refunded'
                begin select raise(fail, 'disk full'); end",
            "create function public.refuse() returns trigger language plpgsql as
                $$ begin raise exception 'not now'; end $$;
             create trigger full_disk before update on fairline.payment for each row
                when (new.state = 'refunded') execute function public.refuse()",
        );
        let (status, _) = stage.refund().await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let newest = stage.node.shop.site.audit.newest(1).await;
        assert_eq!(newest[0].action, "order.refund");
        assert_eq!(newest[0].from["order"], *stage.order.id);
        assert_eq!(stage.state().await, "refunding");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_for_an_order_that_is_gone_is_in_the_audit_log() {
    for stage in Stage::both().await {
        stage.refuse();
        let (status, _) = stage.pay().await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        stage.by_hand(
            "delete from payment; delete from orders; delete from hold",
            "truncate fairline.payment, fairline.orders, fairline.hold",
        );
        stage.node.stop.cancel();
        stage.accept();
        stage.node.shop.drain().await;
        let newest = stage.node.shop.site.audit.newest(1).await;
        assert_eq!(newest.len(), 1);
        assert_eq!(newest[0].action, "payment.give-back");
        assert_eq!(newest[0].from["payment"], *stage.order.payment.id);
    }
}
