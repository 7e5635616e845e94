//! The process dies before any change of the store, and before any request to the provider or after
//! the provider has acted on it: at that instant nothing has happened that is not on record, after a
//! restart the books balance, and the fan who comes back ends where they would have.

use crate::at_provider::{AtProvider, Card, Webhook};
use crate::mortal::{Death, Mortal};
use crate::node::{Home, Node};
use crate::stage::ProviderStage;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use checkout::inventory::Inventory;
use checkout::settings::SeatsArgs;
use parking_lot::Mutex;
use serde_json::{Value, json};
use shared::time::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use testkit::{LastRequest, Shared, shared_postgres};
use tokio::runtime::{Builder, Runtime};

/// Most operations that a story has; more are a loop without an end.
const OPERATIONS_MAX: usize = 300;

/// Time for which seats are kept, and longer than that.
const CAP_SECONDS: u32 = 3600;
const PAST_CAP_MS: i64 = 3_700_000;

/// Most times that a fan waits for what the browser pays with.
const WAITS_MAX: usize = 5;

/// A course of events between a fan, the checkout, its provider and an organiser.
#[derive(Clone, Copy, Debug)]
enum Story {
    /// Two seats are bought; one is refunded, and then the other.
    Refunded,
    /// A card is declined, and another pays.
    Declined,
    /// The fan pays and lets the seats go before the checkout hears of it.
    LetGo,
    /// The fan pays, and the time to pay runs out before the checkout hears of it.
    Expired,
}

/// The point at which the process dies.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// Before the change of the store after so many; leases do not count.
    Store(usize),
    /// Before the request to the provider after so many.
    Request(usize),
    /// After the provider has acted on that request, and before its answer arrives.
    Answer(usize),
}

/// Everything that outlives a process: stores, the provider, and what fans remember.
struct World {
    provider: Arc<AtProvider>,
    home: Arc<Home>,
    /// Database, unless it is a file of the folder.
    database: Option<String>,
    clock: Clock,
    servers: Arc<Shared>,
    /// Webhooks that the provider has not had taken yet.
    untold: Mutex<Vec<Webhook>>,
    /// The order, once the fan was told of it.
    order: Mutex<Option<Value>>,
    /// Path of its hold.
    hold: Mutex<String>,
    /// Number of times that the fan has paid.
    paid: AtomicUsize,
    /// The story and its end, for messages.
    point: String,
}

impl World {
    fn new(
        provider: AtProvider,
        servers: &Arc<Shared>,
        is_on_postgres: bool,
        point: String,
    ) -> Arc<World> {
        let postgres = &servers.postgres;
        Arc::new(World {
            provider: Arc::new(provider),
            home: Arc::new(Home::new()),
            database: is_on_postgres.then(|| postgres.database()),
            clock: Clock::manual(Clock::system().now()),
            servers: servers.clone(),
            untold: Mutex::default(),
            order: Mutex::default(),
            hold: Mutex::default(),
            paid: AtomicUsize::new(0),
            point,
        })
    }

    /// Starts a process.
    async fn start(&self, death: Arc<Death>) -> ProviderStage {
        let args = SeatsArgs {
            inventory: self
                .database
                .as_ref()
                .map(|name| self.servers.postgres.url(name)),
            payments: self.provider.settings(),
            ..SeatsArgs::default()
        };
        let around = |living: Inventory| {
            let mortal = Arc::new(Mortal { living, death });
            Inventory::from(mortal).paid_by(self.provider.id())
        };
        let node = Node::open_at(self.home.clone(), args, self.clock.clone(), around).await;
        let (provider, clock) = (self.provider.clone(), self.clock.clone());
        let stage = ProviderStage::at(node.unwrap(), provider, clock, self.servers.clone());
        if stage.node.shop.inventory.seat_map(&stage.event).is_none() {
            stage.set_plan().await;
            // Nothing expires by itself.
            stage
                .set_rules(json!({"hold_seconds": CAP_SECONDS, "hold_max_seconds": CAP_SECONDS}))
                .await;
        }
        stage
    }

    /// Ends the connections of processes that are gone, as their system does.
    fn hang_up(&self) {
        let all = "select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()";
        if let Some(database) = &self.database {
            self.servers.postgres.run(database, all).unwrap();
        }
    }

    /// Delivers what the provider has to tell, again and again until it is taken.
    async fn deliver(&self, stage: &ProviderStage) {
        self.untold.lock().extend(self.provider.take_events());
        let webhooks = self.untold.lock().clone();
        for webhook in webhooks {
            if stage.webhook(&webhook).await == StatusCode::NO_CONTENT {
                let id = webhook.inbox_id();
                self.untold.lock().retain(|untold| untold.inbox_id() != id);
            }
        }
    }

    /// Lets everything come to rest, though steps that went wrong are taken again ever later.
    async fn rest(&self, stage: &ProviderStage) {
        for _ in 0..2 {
            self.deliver(stage).await;
            stage.settle_all().await;
        }
    }

    /// Checks the state of the order.
    async fn expect(&self, stage: &ProviderStage, state: &str) {
        let order = self.order(stage).await;
        assert_eq!(order["state"], state, "{} {order}", self.point);
    }

    /// Returns the fan's order, which is made if the fan knows of none.
    async fn order(&self, stage: &ProviderStage) -> Value {
        let known = self.order.lock().clone();
        if let Some(order) = known {
            let path = format!("/api/v1/orders/{}", order["id"].as_str().unwrap());
            let (status, order) = once(stage, "GET", &path, &json!({})).await;
            assert_eq!(status, StatusCode::OK, "{order}");
            return order;
        }
        stage.let_in(1).await;
        let seats = json!({"seats": ["s-A-1", "s-A-2"]});
        let (status, hold) = once(stage, "POST", "/api/v1/events/arena/holds", &seats).await;
        assert_eq!(status, StatusCode::CREATED, "{hold}");
        *self.hold.lock() = format!("/api/v1/holds/{}", hold["id"].as_str().unwrap());
        let buyer = json!({"name": "Ada", "email": "ada@example.org"});
        let wanted = json!({"hold": hold["id"], "buyer": buyer});
        let (status, order) = once(stage, "POST", "/api/v1/orders", &wanted).await;
        assert_eq!(status, StatusCode::CREATED, "{order}");
        *self.order.lock() = Some(order.clone());
        order
    }

    /// Pays for the order with a card, unless the fan has come as far before.
    async fn pay(&self, stage: &ProviderStage, times: usize, card: Card) {
        if self.paid.load(Relaxed) >= times {
            return;
        }
        let mut told = String::new();
        for _ in 0..WAITS_MAX {
            told = self.provider.told(&self.order(stage).await["payment"]);
            if !told.is_empty() {
                break;
            }
            stage.settle_all().await;
        }
        let _ = self.provider.pay(&told, card);
        self.paid.store(times, Relaxed);
    }

    async fn tell(&self, stage: &ProviderStage, story: Story) {
        self.order(stage).await;
        match story {
            Story::Refunded => {
                self.pay(stage, 1, Card::Good).await;
                self.rest(stage).await;
                self.refund(stage, Some(&["s-A-1"])).await;
                self.refund(stage, None).await;
                self.expect(stage, "refunded").await;
            }
            Story::Declined => {
                self.pay(stage, 1, Card::NoFunds).await;
                self.rest(stage).await;
                self.pay(stage, 2, Card::Good).await;
                self.rest(stage).await;
                self.expect(stage, "confirmed").await;
            }
            Story::LetGo => {
                self.pay(stage, 1, Card::Good).await;
                let path = self.hold.lock().clone();
                once(stage, "DELETE", &path, &json!({})).await;
                self.rest(stage).await;
                // The provider may have told of the money before the fan came back.
                let state = self.order(stage).await["state"].clone();
                let is_over = state == "cancelled" || state == "confirmed";
                assert!(is_over, "{} {state}", self.point);
            }
            Story::Expired => {
                self.pay(stage, 1, Card::Good).await;
                self.clock.advance_ms(PAST_CAP_MS);
                stage.sweep().await;
                self.rest(stage).await;
                let state = self.order(stage).await["state"].clone();
                let is_over = state == "expired" || state == "confirmed";
                assert!(is_over, "{} {state}", self.point);
            }
        }
        stage.check_books().await;
    }

    /// Refunds seats of the order, or all that is left.
    async fn refund(&self, stage: &ProviderStage, seats: Option<&[&str]>) {
        let order = self.order(stage).await;
        let id = order["id"].as_str().unwrap();
        stage.refund(id, seats).await;
        self.rest(stage).await;
    }
}

/// Sends a request of the fan, or the same once more.
async fn once(
    stage: &ProviderStage,
    method: &str,
    path: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1")
        .header("authorization", "Bearer ses_arena_of-1")
        .header("content-type", "application/json");
    let request = match method {
        "POST" => request.header("idempotency-key", path),
        _ => request,
    };
    let body = if method == "POST" {
        body.to_string()
    } else {
        String::new()
    };
    stage.ask(request.body(Body::from(body)).unwrap()).await
}

/// Runs a process that tells a story until it has ended or the process dies. Returns whether it died.
async fn live(world: &Arc<World>, story: Story, point: Point) -> bool {
    let runtime = process();
    let death = Arc::new(Death::default());
    let silence = match point {
        Point::Request(after) => world.provider.fall_silent(after, LastRequest::Undone),
        Point::Answer(after) => world.provider.fall_silent(after, LastRequest::Done),
        Point::Store(_) => Arc::default(),
    };
    let (of, telling) = (death.clone(), world.clone());
    let told = runtime.spawn(async move {
        let stage = telling.start(of.clone()).await;
        if let Point::Store(operations) = point {
            of.come_after(operations);
        }
        telling.tell(&stage, story).await;
    });
    let died = tokio::select! {
        ended = told => { ended.unwrap(); false }
        () = death.come.notified() => true,
        () = silence.notified() => true,
    };
    runtime.shutdown_background();
    world.hang_up();
    world.provider.heal();
    died
}

fn process() -> Runtime {
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().unwrap()
}

/// Has a process die at a point, and another go on. Returns whether the first one died.
async fn die(world: Arc<World>, story: Story, point: Point) -> bool {
    if !live(&world, story, point).await {
        return false;
    }
    let stage = world.start(Arc::default()).await;
    stage.check_instant().await;
    world.rest(&stage).await;
    stage.check_books().await;
    world.tell(&stage, story).await;
    stage.check_instant().await;
    let [_, held, _] = stage.counts().await;
    assert_eq!(held, 0, "{}", world.point);
    stage.node.stop.cancel();
    drop(stage);
    world.hang_up();
    true
}

/// Has the process die at every point of a story: before each change of each store, and before and
/// after each request to each provider.
async fn die_everywhere(story: Story) {
    for is_on_postgres in [false, true] {
        die_at_each(story, true, is_on_postgres, Point::Store).await;
        die_at_each(story, true, is_on_postgres, Point::Request).await;
    }
    // Calls of the store are the same with each provider, and requests on each engine.
    die_at_each(story, true, false, Point::Answer).await;
    die_at_each(story, false, false, Point::Request).await;
    die_at_each(story, false, false, Point::Answer).await;
}

async fn die_at_each(story: Story, is_stripe: bool, is_on_postgres: bool, of: fn(usize) -> Point) {
    let servers = shared_postgres();
    let mut deaths = 0;
    loop {
        let provider = if is_stripe {
            AtProvider::stripe().await
        } else {
            AtProvider::razorpay().await
        };
        let name = provider.name();
        let point = of(deaths);
        let told = format!("{story:?} {name} {point:?}, on Postgres: {is_on_postgres}");
        let world = World::new(provider, &servers, is_on_postgres, told);
        if !die(world, story, point).await {
            break;
        }
        deaths += 1;
        assert!(deaths < OPERATIONS_MAX, "the story does not end");
    }
    assert!(deaths > 2, "{story:?} {deaths}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_the_process_dies_over_an_order_that_is_refunded_later_the_books_balance() {
    die_everywhere(Story::Refunded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_the_process_dies_over_a_card_that_is_declined_the_books_balance() {
    die_everywhere(Story::Declined).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_the_process_dies_over_seats_that_are_let_go_the_books_balance() {
    die_everywhere(Story::LetGo).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_the_process_dies_over_an_order_that_expires_the_books_balance() {
    die_everywhere(Story::Expired).await;
}
