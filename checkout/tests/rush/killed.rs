//! Postgres is killed repeatedly during a rush on two nodes.

use crate::crowd::{buy, event, hall, keys};
use checkout::inventory::{Inventory, Order, OrderPage, Postgres, Reader};

use shared::time::Clock;
use std::collections::HashSet;
use std::time::Duration;

const ROUNDS: u32 = 20;
const FANS: u32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_that_was_acknowledged_is_there_however_often_postgres_is_killed() {
    let mut server = testkit::Postgres::start();
    let url = server.url(&server.database());
    let nodes: Vec<Inventory> = vec![
        Inventory::from(Postgres::open(&url, Clock::system()).await.unwrap()),
        Inventory::from(Postgres::open(&url, Clock::system()).await.unwrap()),
    ];
    nodes[0].set_seating(&event(), hall(2010)).await.unwrap();
    let invoicing = serde_json::json!({"invoicing": {"seller": "Arena Ltd", "series": "ARENA"}});
    let invoicing = serde_json::from_value(invoicing).unwrap();
    nodes[0].set_rules(&event(), invoicing).await.unwrap();
    let mut bought: Vec<(u32, Order)> = Vec::new();
    let mut under_way = 0;
    for round in 0..ROUNDS {
        let buying: Vec<_> = (0..FANS)
            .map(|at| {
                let node = nodes[(at % 2) as usize].clone();
                let fan = round * FANS + at;
                tokio::spawn(async move { (fan, buy(&node, fan).await) })
            })
            .collect();
        let millis = u64::from(u16::from_be_bytes(shared::crypto::random()) % 40);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        under_way += buying.iter().filter(|buying| !buying.is_finished()).count();
        server.kill();
        server.start_again();
        for buying in buying {
            if let (fan, Ok(order)) = buying.await.unwrap() {
                bought.push((fan, order));
            }
        }
        answer_again(&nodes).await;
    }
    assert!(
        !bought.is_empty() && under_way > 0,
        "it was killed in the rush: {} bought, {under_way} under way",
        bought.len()
    );
    let node = Inventory::from(Postgres::open(&url, Clock::system()).await.unwrap());
    let mut sold = HashSet::new();
    for (fan, order) in &bought {
        let found = node
            .show_order(Reader::Session(keys(*fan)), &order.id)
            .await
            .unwrap();
        assert_eq!(&found, order);
        for ticket in found.tickets.unwrap() {
            assert!(
                sold.insert(ticket.seat.clone()),
                "{} was sold twice",
                ticket.seat
            );
        }
    }
    let sales = node.sales(&event()).await.unwrap();
    assert!(sales.booked as usize >= sold.len());
    assert_eq!(
        sales.orders["confirmed"] * 2,
        sales.booked,
        "no order without its seats"
    );
    assert_eq!(sales.revenue.amount, i64::from(sales.booked) * 10);
    every_order_has_an_invoice(&node, sales.orders["confirmed"]).await;
}

/// Checks that each of so many orders has an invoice, and that the numbers have no gap.
async fn every_order_has_an_invoice(node: &Inventory, orders: u32) {
    let mut numbers = Vec::new();
    for order in node
        .orders(&event(), &OrderPage::newest(1000))
        .await
        .unwrap()
    {
        for invoice in node.invoices(&event(), &order.id).await.unwrap() {
            assert_eq!(order.state, "confirmed");
            numbers.push(invoice.number);
        }
    }
    numbers.sort();
    let all = 1..=orders;
    let wanted: Vec<String> = all.map(|at| format!("ARENA-I-{at:06}")).collect();
    assert_eq!(numbers, wanted, "an invoice for each order, without a gap");
}

/// Waits until both nodes sell again.
async fn answer_again(nodes: &[Inventory]) {
    for node in nodes {
        let from = std::time::Instant::now();
        loop {
            let _ = node.publish().await;
            if node.rules(&event()).await.is_ok()
                && node.own_orders(keys(u32::MAX)).await
                    != Err(shared::group_commit::Unavailable.into())
            {
                break;
            }
            assert!(
                from.elapsed() < Duration::from_secs(20),
                "a node does not find its database again"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
