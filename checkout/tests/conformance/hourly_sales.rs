//! Sales by the hour: each event of the outbox counts once, whoever counts and whatever fails.

use crate::bench::*;
use checkout::inventory::hourly_sales::{
    CategoryInHour, HOUR_MS, HourlySums, MoneyInHour, SalesHour,
};
use checkout::inventory::outbox::{LEASE_SECONDS, NewPlace, OutboxLease, OutboxRow};
use checkout::inventory::*;
use shared::time::Time;
use std::collections::BTreeMap;

const CONSUMER: &str = "analytics";
/// Fewer than there are, so that the place is moved many times.
const ROWS: u32 = 3;

const STALLS_PRICE: i64 = 4500;
const FLOOR_PRICE: i64 = 2000;

fn euros(amount: i64) -> Money {
    Money {
        amount,
        currency: Currency::EUR,
    }
}

impl Bench {
    pub(crate) async fn hours(&self) -> Vec<SalesHour> {
        let sales = self.seats.hourly_sales();
        let all = sales.sales_between(&self.event, Time(0), Time(i64::MAX));
        all.await.unwrap()
    }

    pub(crate) async fn store(&self, owner: &str, lease: OutboxLease, rows: &[OutboxRow]) -> bool {
        let place = NewPlace {
            consumer: CONSUMER,
            owner,
            shard: lease.shard,
            after: Some(lease.position),
            position: rows.last().unwrap().position,
        };
        let sales = self.seats.hourly_sales();
        sales.add_sales(place, HourlySums::of(rows)).await.unwrap()
    }

    /// Returns what is to be counted next, of each shard that the owner may read.
    pub(crate) async fn next(&self, owner: &str) -> Vec<(OutboxLease, Vec<OutboxRow>)> {
        let outbox = self.seats.outbox();
        let mut next = Vec::new();
        for lease in outbox.lease(CONSUMER, owner).await.unwrap() {
            let rows = outbox
                .read(lease.shard, lease.position, ROWS)
                .await
                .unwrap();
            if !rows.is_empty() {
                next.push((lease, rows));
            }
        }
        next
    }

    /// Counts until there is nothing left, each time as if the answer had been lost once.
    pub(crate) async fn count(&self, owner: &str) {
        loop {
            let next = self.next(owner).await;
            for (lease, rows) in &next {
                assert!(self.store(owner, *lease, rows).await);
                assert!(!self.store(owner, *lease, rows).await, "it counts twice");
            }
            if next.is_empty() {
                return;
            }
        }
    }
}

/// A sale by random steps, and the figures that follow from it.
struct RandomSale<'a> {
    bench: &'a Bench,
    random: u64,
    visitor: u8,
    free: Vec<String>,
    sold: Vec<Order>,
    /// Number of refunds of orders of which a part had gone back already.
    repeated_refunds: u32,
    hours: BTreeMap<Time, SalesHour>,
}

impl<'a> RandomSale<'a> {
    fn of(bench: &'a Bench, seed: u64) -> RandomSale<'a> {
        let rows = ["st-A-", "st-B-"].map(|row| (1..=6).map(move |n| format!("{row}{n}")));
        let floor = (1..=4).map(|n| format!("fl-{n}"));
        RandomSale {
            bench,
            random: seed,
            visitor: 0,
            free: rows.into_iter().flatten().chain(floor).collect(),
            sold: Vec::new(),
            repeated_refunds: 0,
            hours: BTreeMap::new(),
        }
    }

    /// Returns a number below another (Knuth's linear congruential generator).
    fn below(&mut self, end: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % end
    }

    /// The figures of this hour.
    fn hour(&mut self) -> &mut SalesHour {
        let now = self.bench.clock.now().0;
        let hour = Time(now - now % HOUR_MS);
        self.hours.entry(hour).or_insert_with(|| SalesHour {
            hour,
            ..SalesHour::default()
        })
    }

    fn money(&mut self) -> &mut MoneyInHour {
        let hour = self.hour();
        if hour.money.is_empty() {
            hour.money.push(MoneyInHour {
                gross: euros(0),
                refunded: euros(0),
                charged_back: euros(0),
            });
        }
        &mut hour.money[0]
    }

    async fn fan(&mut self) -> SessionKeys {
        self.visitor += 1;
        self.bench.fan(self.visitor).await
    }

    async fn step(&mut self) {
        self.bench.clock.advance_ms(13 * 60_000);
        match self.below(12) {
            0..=3 => self.buy().await,
            4 => self.refund(false).await,
            5..=7 => self.refund(true).await,
            8 => self.give_up().await,
            9 => self.let_hold_lapse().await,
            10 => self.let_order_lapse().await,
            _ => self.bench.count("one").await,
        }
    }

    async fn buy(&mut self) {
        let quantity = 1 + self.below(3);
        if self.free.len() < quantity {
            return;
        }
        let mut seats = Vec::new();
        for _ in 0..quantity {
            let at = self.below(self.free.len());
            seats.push(self.free.swap_remove(at));
        }
        let fan = self.fan().await;
        let names: Vec<&str> = seats.iter().map(String::as_str).collect();
        let order = self.bench.buy(&fan, &names).await;
        for seat in &seats {
            let (category, price) = match seat.starts_with("fl") {
                true => ("floor", FLOOR_PRICE),
                false => ("stalls", STALLS_PRICE),
            };
            self.money().gross.amount += price;
            let hour = self.hour();
            hour.tickets_sold += 1;
            let mut known = hour.categories.iter_mut();
            if let Some(known) = known.find(|it| it.category == category) {
                known.tickets_sold += 1;
                known.prices.amount += price;
            } else {
                hour.categories.push(CategoryInHour {
                    category: category.to_owned(),
                    tickets_sold: 1,
                    prices: euros(price),
                });
                hour.categories.sort_by(|a, b| a.category.cmp(&b.category));
            }
        }
        self.hour().orders_confirmed += 1;
        self.sold.push(order);
    }

    /// Gives the money of an order back, or that of one of its seats.
    async fn refund(&mut self, is_part: bool) {
        if self.sold.is_empty() {
            return;
        }
        let at = self.below(self.sold.len());
        let order = self.sold[at].clone();
        self.repeated_refunds += u32::from(order.refunded.is_some());
        let tickets = order.tickets.clone().unwrap();
        let seats: Vec<&str> = tickets.iter().map(|ticket| &*ticket.seat).collect();
        let part = is_part.then_some(&seats[..1]);
        let (amount, order) = self.bench.refund(&order, part).await;
        let ended = part.unwrap_or(&seats);
        self.free
            .extend(ended.iter().map(|seat| (*seat).to_owned()));
        self.money().refunded.amount += amount;
        let hour = self.hour();
        hour.tickets_voided += ended.len() as i64;
        if ended.len() == seats.len() {
            hour.orders_refunded += 1;
            self.sold.swap_remove(at);
        } else {
            self.sold[at] = order;
        }
    }

    async fn hold(&mut self) -> Option<(SessionKeys, Hold)> {
        let fan = self.fan().await;
        let seat = self.free.first()?.clone();
        let hold = self.bench.hold(&fan, named(&[&seat])).await.unwrap();
        Some((fan, hold))
    }

    async fn give_up(&mut self) {
        if let Some((fan, hold)) = self.hold().await {
            self.bench.order(&fan, &hold).await.unwrap();
            self.bench.seats.release(fan, &hold.id).await.unwrap();
            self.hour().orders_cancelled += 1;
        }
    }

    async fn let_hold_lapse(&mut self) {
        if self.hold().await.is_some() {
            self.bench.sweep_after(120 + SLACK_SECONDS).await;
            self.hour().holds_expired += 1;
        }
    }

    async fn let_order_lapse(&mut self) {
        if let Some((fan, hold)) = self.hold().await {
            self.bench.order(&fan, &hold).await.unwrap();
            self.bench.sweep_after(700).await;
            self.hour().orders_expired += 1;
        }
    }
}

#[tokio::test]
async fn after_a_random_sale_the_figures_are_those_of_a_recount_hour_by_hour() {
    for bench in halls().await {
        let mut sale = RandomSale::of(&bench, 20_261_128);
        for _ in 0..80 {
            sale.step().await;
        }
        bench.count("one").await;
        let hours = bench.hours().await;
        assert!(hours.len() > 5 && sale.repeated_refunds > 0);
        let expected: Vec<SalesHour> = sale.hours.into_values().collect();
        assert_eq!(hours, expected);
        // The stored orders say the same.
        let page = OrderPage::newest(500);
        let orders = bench.seats.orders(&bench.event, &page).await.unwrap();
        let sum = |of: fn(&SalesHour) -> i64| hours.iter().map(of).sum::<i64>();
        let in_state = |states: &[&str]| {
            let counted = orders
                .iter()
                .filter(|it| states.contains(&it.state.as_str()));
            counted.count() as i64
        };
        assert_eq!(
            sum(|it| it.orders_confirmed),
            in_state(&["confirmed", "refunded"])
        );
        for (of, state) in [
            (sum(|it| it.orders_refunded), "refunded"),
            (sum(|it| it.orders_cancelled), "cancelled"),
            (sum(|it| it.orders_expired), "expired"),
        ] {
            assert_eq!(of, in_state(&[state]), "{state}");
            assert!(of > 0, "{state}");
        }
        let tickets = orders.iter().flat_map(|it| it.tickets.iter().flatten());
        let valid = sum(|it| it.tickets_sold) - sum(|it| it.tickets_voided);
        assert_eq!(valid, tickets.count() as i64);
        let money = hours.iter().flat_map(|it| &it.money);
        let kept: i64 = money.map(|it| it.gross.amount - it.refunded.amount).sum();
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!(kept, sales.revenue.amount);
        assert!(sum(|it| it.holds_expired) > 0 && valid > 0);
    }
}

#[tokio::test]
async fn what_a_node_read_before_it_was_killed_is_counted_once_by_another() {
    for mut bench in halls().await {
        let ada = bench.fan(1).await;
        bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let read = bench.next("one").await;
        bench.reopen().await;
        bench.clock.advance_ms(i64::from(LEASE_SECONDS) * 1000);
        bench.count("two").await;
        let hours = bench.hours().await;
        assert_eq!((hours.len(), hours[0].orders_confirmed), (1, 1));
        assert_eq!(hours[0].tickets_sold, 2);
        // The first was only slow.
        for (lease, rows) in &read {
            assert!(!bench.store("one", *lease, rows).await);
        }
        assert_eq!(bench.hours().await, hours);
        assert_eq!(
            bench.seats.outbox().state(CONSUMER).await.unwrap().unsent,
            0
        );
    }
}

#[tokio::test]
async fn nodes_that_count_at_one_time_miss_nothing_and_count_nothing_twice() {
    for (here, there) in pairs().await {
        here.seats.outbox().lease(CONSUMER, "one").await.unwrap();
        for visitor in 1..=12 {
            let (fan, seat) = (here.fan(visitor).await, format!("st-A-{visitor}"));
            let seat = match visitor {
                1..=6 => seat,
                _ => format!("st-B-{}", visitor - 6),
            };
            here.buy(&fan, &[&seat]).await;
            tokio::join!(here.count("one"), there.count("two"));
        }
        // Each has given half of the shards to the other by now.
        tokio::join!(here.count("one"), there.count("two"));
        let hours = there.hours().await;
        assert_eq!(hours.len(), 1);
        let sold = (hours[0].orders_confirmed, hours[0].tickets_sold);
        assert_eq!(sold, (12, 12));
        assert_eq!(hours[0].money[0].gross, euros(12 * STALLS_PRICE));
    }
}

#[tokio::test]
async fn an_event_that_is_gone_leaves_no_figures() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        bench.sweep_after(120 + SLACK_SECONDS).await;
        bench.count("one").await;
        assert_eq!(bench.hours().await[0].holds_expired, 1);
        bench.seats.remove(&bench.event).await.unwrap();
        assert_eq!(bench.hours().await, []);
    }
}

/// The documented statements that have all be counted anew: for Postgres, then for SQLite.
pub(crate) fn recount() -> [&'static str; 2] {
    let document = include_str!("../../../docs/operations.md");
    let (_, section) = document
        .split_once("## Counting the hourly sales anew")
        .unwrap();
    let mut blocks = section.split("```sql").skip(1);
    [(); 2].map(|()| blocks.next().unwrap().split_once("```").unwrap().0)
}

#[tokio::test]
async fn what_is_kept_is_counted_anew_as_documented_and_older_hours_stay() {
    for bench in halls().await {
        let outbox = bench.seats.outbox();
        let ada = bench.fan(1).await;
        bench.buy(&ada, &["st-A-1"]).await;
        bench.count("one").await;
        bench.clock.advance_ms(2 * HOUR_MS);
        while outbox.purge(HOUR_MS, &[CONSUMER]).await.unwrap() {}
        let ben = bench.fan(2).await;
        bench.buy(&ben, &["st-A-2", "fl-1"]).await;
        bench.count("one").await;
        let hours = bench.hours().await;
        assert_eq!((hours.len(), hours[1].tickets_sold), (2, 2));
        // A sum that is wrong, and a node that has read before and goes on after.
        let wrong = "update sales_hour set value = value + 1";
        bench.change_store(&wrong.replace("sales_hour", "fairline.sales_hour"), wrong);
        let cleo = bench.fan(3).await;
        bench.buy(&cleo, &["st-A-3"]).await;
        let read = bench.next("one").await;
        assert!(!read.is_empty());
        let [postgres, sqlite] = recount();
        bench.change_store(postgres, sqlite);
        for (lease, rows) in &read {
            // Of a shard in which nothing was counted before, the place is the same.
            assert_eq!(bench.store("one", *lease, rows).await, lease.position == 0);
        }
        bench.count("one").await;
        let again = bench.hours().await;
        assert_eq!(again.len(), 2);
        assert_eq!(again[0].orders_confirmed, hours[0].orders_confirmed + 1);
        assert_eq!((again[1].orders_confirmed, again[1].tickets_sold), (2, 3));
        assert_eq!(
            again[1].money[0].gross,
            euros(2 * STALLS_PRICE + FLOOR_PRICE)
        );
        assert_eq!(again[1].categories.len(), 2);
    }
}

#[tokio::test]
async fn old_events_stay_until_they_are_counted() {
    for bench in halls().await {
        let outbox = bench.seats.outbox();
        let ada = bench.fan(1).await;
        bench.buy(&ada, &["st-A-1"]).await;
        outbox.lease(CONSUMER, "one").await.unwrap();
        bench.clock.advance_ms(HOUR_MS);
        while outbox.purge(1, &[CONSUMER]).await.unwrap() {}
        bench.count("one").await;
        assert_eq!(bench.hours().await[0].tickets_sold, 1);
        while outbox.purge(1, &[CONSUMER]).await.unwrap() {}
        assert_eq!(bench.events().await, []);
    }
}
