//! Shows that are cancelled: nothing more is sold, and every order is given back whole, once.

use crate::at_provider::{Card, Operation};
use crate::mails::{stages, text};
use crate::node::{Node, ORGANISER_KEY};
use crate::stage::{Fan, PRICE, ProviderStage};
use axum::http::StatusCode;
use checkout::inventory::{Hold, NewSession, Order, OrderPage, Refused, Wish};
use checkout::settings::SeatsArgs;
use serde_json::{Value, json};
use shared::ids::VisitorId;
use testkit::ApiFault;

const CANCEL: &str = "/api/v1/organiser/events/arena/cancel";
const REASON: &str = "The singer is ill.";

impl ProviderStage {
    async fn cancel(&self, reason: &str) -> (StatusCode, Value) {
        self.post(CANCEL, ORGANISER_KEY, &json!({"reason": reason}))
            .await
    }

    /// Lets the job and the reconciler of a node work, while time goes by.
    async fn end(&self, node: &Node) {
        for _ in 0..12 {
            node.shop.inventory.publish().await.unwrap();
            while node.shop.end_cancelled().await {}
            node.shop.inventory.sweep().await.unwrap();
            node.shop.reconcile_due().await;
            self.clock.advance_ms(20_000);
        }
    }

    async fn progress(&self) -> Value {
        self.get(CANCEL).await
    }

    /// Returns how many events of each of these types the outbox has.
    async fn told_of(&self, types: &[&str]) -> Vec<usize> {
        let outbox = self.node.shop.inventory.outbox();
        let mut counts = vec![0; types.len()];
        for (shard, _) in outbox.newest().await.unwrap() {
            for row in outbox.read(shard, 0, 1000).await.unwrap() {
                for (count, name) in counts.iter_mut().zip(types) {
                    *count += usize::from(row.event_type == *name);
                }
            }
        }
        counts
    }
}

fn figures(progress: &Value) -> [u64; 6] {
    [
        "orders",
        "waiting",
        "refunding",
        "refunded",
        "paying",
        "failed",
    ]
    .map(|name| progress[name].as_u64().unwrap())
}

async fn check_that_six_orders_went_back_once(stage: &ProviderStage) {
    let progress = stage.progress().await;
    assert_eq!(progress["done"], true, "{progress}");
    assert_eq!(figures(&progress), [6, 0, 0, 6, 0, 0]);
    assert_eq!(
        stage.told_of(&["payment.refunded", "order.refunded"]).await,
        [6, 6]
    );
    stage.check_books().await;
}

async fn hold(stage: &ProviderStage, fan: &Fan, seat: &str) -> Result<Hold, Refused> {
    let wish = Wish::Seats(vec![seat.to_owned()]);
    let inventory = &stage.node.shop.inventory;
    let held = inventory.hold(fan.keys.clone(), &stage.event, wish, None);
    held.await.map(|once| once.value)
}

/// Checks that from the moment of the answer nothing is held, ordered, or let in, and that fans are told.
async fn check_that_nothing_goes_on(stage: &ProviderStage, fan: &Fan, held: &Hold, sold: &Order) {
    let inventory = &stage.node.shop.inventory;
    let code = &sold.tickets.as_ref().unwrap()[0].code;
    let refused = Refused::EventCancelled(REASON.to_owned());
    assert_eq!(hold(stage, fan, "s-A-4").await.unwrap_err(), refused);
    let body = json!({"hold": held.id, "buyer": {"name": "Ada", "email": "ada@example.org"}});
    let (status, problem) = stage.post("/api/v1/orders", &fan.word, &body).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(
        (&problem["type"], &problem["detail"]),
        (&json!("/problems/event-cancelled"), &json!(REASON))
    );
    let newcomer = NewSession {
        key: [9; 32],
        event: stage.event.clone(),
        visitor: VisitorId(99),
        number: 99,
        jti: "late".to_owned(),
        token: String::new(),
        expires_at: stage.clock.now().plus_seconds(600),
        is_reported: true,
    };
    let opened = inventory.open_session(newcomer).await;
    assert_eq!(opened.unwrap_err(), refused);
    let path = "/api/v1/organiser/events/arena/tickets/check";
    let (_, problem) = stage
        .post(path, ORGANISER_KEY, &json!({"code": code}))
        .await;
    assert_eq!(problem["type"], "/problems/event-cancelled");
    let layout = stage.get("/api/v1/events/arena/seating").await;
    assert_eq!(layout["cancelled"]["reason"], REASON);
    let seen = stage.see_order(&sold.id).await;
    assert_eq!(seen.event_cancelled.unwrap().reason, REASON);
    assert_eq!(seen.tickets, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_show_sells_nothing_more_and_gives_everything_back_with_the_fees() {
    for stage in ProviderStage::all().await {
        let fees = json!({"order_fee_refund": "never",
            "fees": [{"name": "Booking fee", "per": "order", "amount": 199}]});
        stage.set_rules(fees).await;
        let whole = stage.buy(&["s-A-1", "s-A-2"]).await;
        let parted = stage.buy(&["s-A-3", "s-A-4"]).await;
        stage.refund(&parted.id, Some(&["s-A-4"])).await;
        let unpaid = stage.order(&["s-A-5"]).await;
        let told = stage.told(&unpaid).await;
        let fan = stage.fan().await;
        let held = hold(&stage, &fan, "s-A-6").await.unwrap();
        assert_eq!(figures(&stage.progress().await), [2, 2, 0, 0, 1, 0]);
        assert_eq!(stage.progress().await["cancelled"], Value::Null);

        let (status, progress) = stage.cancel(REASON).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{progress}");
        assert_eq!(progress["cancelled"]["reason"], REASON);
        assert_eq!(
            (&progress["done"], &progress["held"]),
            (&json!(false), &json!(2))
        );
        let outstanding = &progress["money"][0]["outstanding"]["amount"];
        assert_eq!(outstanding, 3 * PRICE + 2 * 199);
        // Again, with another reason: the first one stays.
        let (status, again) = stage.cancel("Another reason").await;
        assert_eq!(
            (status, &again["cancelled"]),
            (StatusCode::ACCEPTED, &progress["cancelled"])
        );

        check_that_nothing_goes_on(&stage, &fan, &held, &whole).await;

        // The fan pays before the payment is given up: the money is let go.
        let _ = stage.provider.pay(&told, Card::Good);
        stage.deliver().await;
        stage.end(&stage.node).await;
        stage.deliver().await;
        stage.end(&stage.node).await;
        let progress = stage.progress().await;
        assert_eq!(progress["done"], true, "{progress}");
        assert_eq!(figures(&progress), [2, 0, 0, 2, 0, 0]);
        let money = &progress["money"][0];
        assert_eq!(money["refunded"]["amount"], 4 * PRICE + 2 * 199);
        assert_eq!(money["outstanding"]["amount"], 0);
        assert_eq!(stage.counts().await, [6, 0, 0]);
        assert_eq!(
            stage.provider.taken(),
            2,
            "the order that was not paid took nothing"
        );
        assert_eq!(stage.see(&unpaid).await.state, "cancelled");
        let types = [
            "event.cancelled",
            "event.on_sale",
            "order.refunded",
            "payment.refunded",
        ];
        assert_eq!(stage.told_of(&types).await, [1, 0, 2, 3]);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_provider_is_away_refunds_wait_and_each_is_made_once_when_it_is_back() {
    for stage in ProviderStage::all().await {
        for seat in 1..=6 {
            stage.buy(&[&format!("s-A-{seat}")]).await;
        }
        // One refund is made though its answer is lost; then the provider is away for a while.
        stage.provider.fail(Operation::Refund, ApiFault::AnswerLost);
        for _ in 0..40 {
            stage.provider.fail(Operation::Refund, ApiFault::TooMany);
        }
        stage.cancel(REASON).await;
        stage.node.shop.inventory.publish().await.unwrap();
        for _ in 0..4 {
            while stage.node.shop.end_cancelled().await {}
        }
        let progress = stage.progress().await;
        assert_eq!(progress["done"], false, "{progress}");
        assert_ne!(progress["money"][0]["outstanding"]["amount"], 0);
        stage.provider.heal();
        stage.end(&stage.node).await;
        check_that_six_orders_went_back_once(&stage).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_provider_refuses_to_give_back_needs_a_look_and_stops_no_other_order() {
    for stage in ProviderStage::all().await {
        let mut bought = Vec::new();
        for seat in 1..=3 {
            bought.push(stage.buy(&[&format!("s-A-{seat}")]).await);
        }
        stage.provider.fail(Operation::Refund, ApiFault::Refused);
        stage.cancel(REASON).await;
        stage.end(&stage.node).await;
        let progress = stage.progress().await;
        assert_eq!(figures(&progress), [3, 0, 0, 2, 0, 1], "{progress}");
        assert_eq!(progress["failures"][0]["reason"], "not_refunded");
        assert_eq!(progress["done"], false);
        assert_eq!(progress["money"][0]["outstanding"]["amount"], PRICE);
        // The money cannot be kept.
        let ways = &progress["failures"][0]["settlements"];
        assert_eq!(*ways, json!(["ask_again"]));
        let (status, _) = stage
            .settle(
                &progress["failures"][0],
                "settle",
                &json!({"how": "ask_again"}),
            )
            .await;
        assert_eq!(status, StatusCode::OK);
        stage.end(&stage.node).await;
        assert_eq!(stage.progress().await["done"], true);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_finishes_what_a_node_that_died_had_begun() {
    for stage in ProviderStage::all().await {
        for seat in 1..=6 {
            stage.buy(&[&format!("s-A-{seat}")]).await;
        }
        let inventory = &stage.node.shop.inventory;
        let orders = inventory
            .orders(&stage.event, &OrderPage::newest(10))
            .await
            .unwrap();
        stage.cancel(REASON).await;
        // The node died after it had begun one refund and before the provider was asked, and after
        // another was made and before that was recorded.
        for order in &orders[..2] {
            inventory
                .begin_refund(&stage.event, &order.id)
                .await
                .unwrap();
        }
        stage.provider.fail(Operation::Refund, ApiFault::AnswerLost);
        stage.clock.advance_ms(20_000);
        stage.node.shop.reconcile_due().await;
        let other = match &stage.url {
            Some(url) => {
                let args = SeatsArgs {
                    inventory: Some(url.clone()),
                    payments: stage.provider.settings(),
                    ..SeatsArgs::default()
                };
                Some(Node::open(args, stage.clock.clone()).await)
            }
            // No other process has the file: the same one begins anew.
            None => None,
        };
        stage.end(other.as_ref().unwrap_or(&stage.node)).await;
        check_that_six_orders_went_back_once(&stage).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_end_a_show_at_one_time_give_nothing_back_twice() {
    for stage in ProviderStage::all().await {
        let Some(url) = &stage.url else { continue };
        for seat in 1..=6 {
            stage.buy(&[&format!("s-A-{seat}")]).await;
        }
        let args = SeatsArgs {
            inventory: Some(url.clone()),
            payments: stage.provider.settings(),
            ..SeatsArgs::default()
        };
        let other = Node::open(args, stage.clock.clone()).await;
        stage.cancel(REASON).await;
        tokio::join!(stage.end(&stage.node), stage.end(&other));
        check_that_six_orders_went_back_once(&stage).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reason_is_asked_for_and_an_order_that_cost_nothing_ends_without_the_provider() {
    for stage in ProviderStage::stripe().await {
        for reason in ["", "   ", "two\nlines", &"x".repeat(301)] {
            let (status, problem) = stage.cancel(reason).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{reason:?}");
            assert_eq!(problem["errors"][0]["field"], "reason");
        }
        stage.set_price(0).await;
        let free = stage.order(&["s-A-1"]).await;
        assert_eq!(free["state"], "confirmed");
        stage.cancel(REASON).await;
        for _ in 0..40 {
            stage.provider.fail(Operation::Refund, ApiFault::TooMany);
        }
        stage.end(&stage.node).await;
        assert_eq!(stage.see(&free).await.state, "refunded");
        let progress = stage.progress().await;
        assert_eq!(
            (&progress["done"], &progress["money"]),
            (&json!(true), &json!([]))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_is_told_by_mail_that_the_show_was_cancelled_why_and_what_goes_back() {
    for (stage, server) in stages().await {
        stage.buy(&["s-A-1"]).await;
        server.until(1).await;
        stage.cancel(REASON).await;
        let received = server.until(2).await;
        let subject = "Subject: Cancelled: A night <in> the arena";
        assert!(
            received[1].content.contains(subject),
            "{}",
            received[1].content
        );
        let text = text(&received[1]);
        for line in [
            "This show was cancelled. The singer is ill.",
            "45.00 EUR goes back the way you paid.",
        ] {
            assert!(text.contains(line), "{text}");
        }
        stage.node.stop.cancel();
    }
}
