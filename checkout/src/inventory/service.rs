//! The promises of `Inventory`, written once for both engines: whose rows a request is about, and which decision it asks for.

use super::commands::{Target, UnitOfWork};
use super::event_state::LinkWord;
use super::model::*;
use super::records::{Key, OrderState, PaymentState};
use super::rules::{Rules, RulesPatch};
use super::{Inventory, Layout, SeatMap};
use async_trait::async_trait;
use futures_util::future::join_all;
use shared::http::idempotency::Attempt;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// Lapsed holds and late orders that one sweep looks at.
pub(super) const SWEEP_MAX: usize = 500;
/// A provider that has not answered for this long is asked what became of the payment.
pub(super) const SILENCE_MS: i64 = 15_000;
/// Payments that one sweep finds.
pub(super) const DUE_MAX: i64 = 200;

/// A payment about which the provider must be asked, and its state.
pub(super) type Due = (PaymentRef, PaymentState);

/// A storage engine: runs decisions, one at a time for a visitor, and makes their changes durable before it answers.
pub(super) trait Engine: Send + Sync {
    fn seat_map(&self, event: &EventId) -> Option<Arc<SeatMap>>;
    fn seat_maps(&self) -> Vec<Arc<SeatMap>>;
    fn is_stale(&self, event: &EventId) -> bool;
    fn reached_for(&self, event: &EventId) -> Duration;
    fn now(&self) -> Time;

    /// Runs a decision in the event's writer. It may be run again, when what it was made on turned out to be old.
    fn decide<T: Send + 'static>(
        &self,
        ask: Command,
        decide: impl FnMut(&mut UnitOfWork<'_>) -> Result<T, Refused> + Send + 'static,
    ) -> impl Future<Output = Result<T, Refused>> + Send;

    fn set_seating(
        &self,
        event: &EventId,
        layout: Layout,
    ) -> impl Future<Output = Result<u32, Refused>> + Send;
    fn rules(&self, event: &EventId) -> impl Future<Output = Result<Rules, Refused>> + Send;
    fn set_rules(
        &self,
        event: &EventId,
        patch: RulesPatch,
    ) -> impl Future<Output = Result<(Rules, Rules), Refused>> + Send;
    fn orders(
        &self,
        event: &EventId,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Order>, Refused>> + Send;
    fn sales(&self, event: &EventId) -> impl Future<Output = Result<Sales, Refused>> + Send;
    fn remove(&self, event: &EventId) -> impl Future<Output = Result<(), Refused>> + Send;
    /// Visitors with seats whose time is over, of one event or of all, at most `SWEEP_MAX`.
    fn lapsed(
        &self,
        event: Option<&EventId>,
    ) -> impl Future<Output = Result<Vec<(EventId, VisitorId)>, Refused>> + Send;
    /// Orders whose time to pay is over, at most `SWEEP_MAX`.
    fn late(&self) -> impl Future<Output = Result<Vec<(EventId, String)>, Refused>> + Send;
    /// Returns payments and refunds with an unknown outcome.
    fn due(&self) -> impl Future<Output = Result<Vec<Due>, Refused>> + Send;
    /// Forgets what need not be kept any longer, a bounded number of rows.
    fn prune(&self) -> impl Future<Output = Result<(), Refused>> + Send;
    fn publish(&self) -> impl Future<Output = Result<(), Refused>> + Send;
    fn reports(&self) -> impl Future<Output = Result<Vec<Report>, Refused>> + Send;
    fn reported(&self, reports: Vec<Report>) -> impl Future<Output = Result<(), Refused>> + Send;
    fn shards(&self) -> impl Future<Output = Result<Vec<ShardView>, Refused>> + Send;
    fn move_event(
        &self,
        event: &EventId,
        shard: &str,
    ) -> impl Future<Output = Result<(), Refused>> + Send;
}

/// Rows that a decision needs.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) event: EventId,
    pub(super) whose: Target,
    /// The id of the answer that may be stored already.
    pub(super) attempt: Option<String>,
    /// The hold that it is about: one that ended is not kept in memory, and is read with the rest.
    pub(super) hold: Option<String>,
    /// Memory may be out of date for it: it must be decided on rows that were read for it.
    pub(super) must_load: bool,
}

fn ask(event: &EventId, whose: Target) -> Command {
    Command {
        event: event.clone(),
        whose,
        attempt: None,
        hold: None,
        must_load: false,
    }
}

fn about(hold: &str, ask: Command) -> Command {
    Command {
        hold: Some(hold.to_owned()),
        ..ask
    }
}

fn fresh(event: &EventId, whose: Target) -> Command {
    Command {
        must_load: true,
        ..ask(event, whose)
    }
}

fn once(event: &EventId, whose: Target, attempt: Option<&Attempt>) -> Command {
    Command {
        attempt: attempt.map(|attempt| attempt.id.clone()),
        ..ask(event, whose)
    }
}

/// The session word of this event among those that came.
fn of_event(keys: &SessionKeys, event: &EventId) -> Result<Key, Refused> {
    let own = keys.iter().find(|key| key.event == *event);
    own.map(|key| key.hash).ok_or(Refused::NoSession)
}

/// Asks with each session in turn until one of them is the right one.
async fn first<T, F: Future<Output = Result<T, Refused>>>(
    keys: SessionKeys,
    nothing: Refused,
    mut ask: impl FnMut(SessionKey) -> F,
) -> Result<T, Refused> {
    let mut refused = Refused::NoSession;
    for key in keys {
        match ask(key).await {
            Err(Refused::NoSession) => {}
            Err(other) if other == nothing => refused = other,
            answer => return answer,
        }
    }
    Err(refused)
}

/// Releases lapsed holds, a bounded number, and says how many seats that freed and whether there may be more.
async fn release_lapsed(
    engine: &impl Engine,
    event: Option<&EventId>,
) -> Result<(u32, bool), Refused> {
    let lapsed = engine.lapsed(event).await?;
    let has_more = lapsed.len() >= SWEEP_MAX;
    let each = lapsed.into_iter().map(|(event, visitor)| {
        engine.decide(fresh(&event, Target::Visitor(visitor)), |work| {
            Ok(work.expire_holds())
        })
    });
    Ok((sum(join_all(each).await)?, has_more))
}

async fn release_late(engine: &impl Engine) -> Result<(u32, bool), Refused> {
    let late = engine.late().await?;
    let has_more = late.len() >= SWEEP_MAX;
    let each = late.into_iter().map(|(event, order)| {
        let ask = ask(&event, Target::Order(order.clone()));
        engine.decide(ask, move |work| Ok(work.expire_order(&order)))
    });
    Ok((sum(join_all(each).await)?, has_more))
}

/// How many seats were freed. Where one database is away the others' are; it is a failure when nothing could be done.
fn sum(freed: Vec<Result<u32, Refused>>) -> Result<u32, Refused> {
    let done: Vec<u32> = freed.iter().flatten().copied().collect();
    match freed.into_iter().find_map(Result::err) {
        Some(refused) if done.is_empty() => Err(refused),
        _ => Ok(done.iter().sum()),
    }
}

#[async_trait]
impl<E: Engine> Inventory for E {
    fn now(&self) -> Time {
        Engine::now(self)
    }

    fn seat_map(&self, event: &EventId) -> Option<Arc<SeatMap>> {
        Engine::seat_map(self, event)
    }

    fn seat_maps(&self) -> Vec<Arc<SeatMap>> {
        Engine::seat_maps(self)
    }

    fn is_stale(&self, event: &EventId) -> bool {
        Engine::is_stale(self, event)
    }

    fn reached_for(&self, event: &EventId) -> Duration {
        Engine::reached_for(self, event)
    }

    async fn publish(&self) -> Result<(), Refused> {
        Engine::publish(self).await
    }

    async fn set_seating(&self, event: &EventId, layout: Layout) -> Result<u32, Refused> {
        Engine::set_seating(self, event, layout).await
    }

    async fn rules(&self, event: &EventId) -> Result<Rules, Refused> {
        Engine::rules(self, event).await
    }

    async fn set_rules(
        &self,
        event: &EventId,
        patch: RulesPatch,
    ) -> Result<(Rules, Rules), Refused> {
        Engine::set_rules(self, event, patch).await
    }

    async fn open_session(&self, session: NewSession) -> Result<Once<Session>, Refused> {
        let whose = Target::Newcomer(session.visitor, session.jti.clone());
        let ask = ask(&session.event.clone(), whose);
        self.decide(ask, move |work| work.open_session(&session))
            .await
    }

    async fn session(&self, keys: SessionKeys, event: Option<EventId>) -> Result<Session, Refused> {
        let fits = |key: &SessionKey| event.as_ref().is_none_or(|event| key.event == *event);
        let keys = keys.into_iter().filter(fits).collect();
        first(keys, Refused::NoSession, |key| {
            let ask = fresh(&key.event, Target::Session(key.hash));
            self.decide(ask, move |work| {
                let row = work.session(&key.hash)?;
                Ok(super::commands::show_session(&key.event, row))
            })
        })
        .await
    }

    async fn end_session(&self, keys: SessionKeys, event: &EventId) -> Result<(), Refused> {
        let key = of_event(&keys, event)?;
        self.decide(ask(event, Target::Session(key)), move |work| {
            work.end_session(&key)
        })
        .await
    }

    async fn hold(
        &self,
        keys: SessionKeys,
        event: &EventId,
        wish: Wish,
        attempt: Option<Attempt>,
    ) -> Result<Once<Hold>, Refused> {
        let key = of_event(&keys, event)?;
        let mut has_tried = false;
        loop {
            let ask = once(event, Target::Session(key), attempt.as_ref());
            let (wish, attempt) = (wish.clone(), attempt.clone());
            let held = self.decide(ask, move |work| {
                match work.hold(&key, &wish, attempt.as_ref()) {
                    // Perhaps lapsed holds are in the way: others may take their seats without waiting for the sweep.
                    Err(refused @ (Refused::SeatsTaken(_) | Refused::NotEnoughSeats))
                        if !has_tried && work.event_state.has_lapsed(work.now) =>
                    {
                        Ok(Err(refused))
                    }
                    answer => answer.map(Ok),
                }
            });
            match held.await? {
                Ok(hold) => return Ok(hold),
                Err(refused) => {
                    // Boxed, as it is large and rare.
                    let released = Box::pin(release_lapsed(self, Some(event))).await?;
                    if released.0 == 0 {
                        return Err(refused);
                    }
                    has_tried = true;
                }
            }
        }
    }

    async fn show_hold(&self, keys: SessionKeys, hold: &str) -> Result<Hold, Refused> {
        first(keys, Refused::NoSuchHold, |key| {
            let hold = hold.to_owned();
            let ask = about(&hold, fresh(&key.event, Target::Session(key.hash)));
            self.decide(ask, move |work| work.show_hold(&key.hash, &hold))
        })
        .await
    }

    async fn release(&self, keys: SessionKeys, hold: &str) -> Result<(), Refused> {
        first(keys, Refused::NoSuchHold, |key| {
            let hold = hold.to_owned();
            let ask = about(&hold, ask(&key.event, Target::Session(key.hash)));
            self.decide(ask, move |work| work.release(&key.hash, &hold))
        })
        .await
    }

    async fn order(
        &self,
        keys: SessionKeys,
        hold: &str,
        buyer: Buyer,
        attempt: Option<Attempt>,
    ) -> Result<Once<Order>, Refused> {
        first(keys, Refused::NoSuchHold, |key| {
            let (hold, buyer, attempt) = (hold.to_owned(), buyer.clone(), attempt.clone());
            let ask = once(&key.event, Target::Session(key.hash), attempt.as_ref());
            let ask = about(&hold, ask);
            self.decide(ask, move |work| {
                work.order(&key.hash, &hold, &buyer, attempt.as_ref())
            })
        })
        .await
    }

    async fn show_order(&self, reader: Reader, order: &str) -> Result<Order, Refused> {
        let order = order.to_owned();
        match reader {
            Reader::Link(word) => {
                let word = LinkWord::parse(&word).ok_or(Refused::NoSession)?;
                let ask = fresh(&word.event, Target::Order(order.clone()));
                let found = self.decide(ask, move |work| {
                    if !work.event_state.opens(&word, &order) {
                        return Err(Refused::NoSession);
                    }
                    let row = work.visit.order(&order);
                    Ok(row.map(|row| work.event_state.show(row)))
                });
                match found.await {
                    Ok(order) => order.ok_or(Refused::NoSuchOrder),
                    // There is no such event: a word of it opens nothing.
                    Err(Refused::NoSuchOrder) => Err(Refused::NoSession),
                    Err(other) => Err(other),
                }
            }
            Reader::Session(keys) => {
                first(keys, Refused::NoSuchOrder, |key| {
                    let order = order.clone();
                    let ask = fresh(&key.event, Target::Session(key.hash));
                    self.decide(ask, move |work| {
                        work.session(&key.hash)?;
                        let row = work.visit.order(&order).ok_or(Refused::NoSuchOrder)?;
                        Ok(work.event_state.show(row))
                    })
                })
                .await
            }
        }
    }

    async fn own_orders(&self, keys: SessionKeys) -> Result<Vec<Order>, Refused> {
        let each = keys.into_iter().map(|key| {
            let ask = fresh(&key.event, Target::Session(key.hash));
            self.decide(ask, move |work| {
                work.session(&key.hash)?;
                let rows = work.visit.orders.iter();
                Ok(rows
                    .map(|row| work.event_state.show(row))
                    .collect::<Vec<_>>())
            })
        });
        let mut orders = Vec::new();
        let mut has_session = false;
        for found in join_all(each).await {
            match found {
                Ok(found) => {
                    has_session = true;
                    orders.extend(found);
                }
                Err(Refused::NoSession | Refused::NoSuchEvent) => {}
                Err(other) => return Err(other),
            }
        }
        orders.sort_by_key(|order| std::cmp::Reverse(order.created_at));
        has_session.then_some(orders).ok_or(Refused::NoSession)
    }

    async fn begin_payment(
        &self,
        keys: SessionKeys,
        payment: &str,
        attempt: Option<Attempt>,
    ) -> Result<Begun, Refused> {
        first(keys, Refused::NoSuchPayment, |key| {
            let (payment, attempt) = (payment.to_owned(), attempt.clone());
            let ask = once(&key.event, Target::Session(key.hash), attempt.as_ref());
            self.decide(ask, move |work| {
                work.begin_payment(&key.hash, &payment, attempt.as_ref())
            })
        })
        .await
    }

    async fn settle(
        &self,
        payment: &PaymentRef,
        verdict: Verdict,
        attempt: Option<Attempt>,
    ) -> Result<Order, Refused> {
        let payment = payment.clone();
        // The answer is written over the mark of this same attempt, so that it need not be read.
        let ask = ask(&payment.event, Target::Order(payment.order.clone()));
        let order = self.decide(ask, move |work| {
            let order = work.settle(&payment, &verdict, attempt.as_ref())?;
            let mut changes = work.changes.orders.iter();
            let is_new = changes.any(|change| change.to == OrderState::Confirmed);
            Ok((order, is_new, work.now))
        });
        let (order, is_new, now) = order.await?;
        if is_new {
            metrics::counter!("fairline_orders_confirmed_total").increment(1);
            let waited_ms = now.0 - order.created_at.0;
            metrics::histogram!("fairline_order_seconds").record(waited_ms as f64 / 1000.0);
        }
        Ok(order)
    }

    async fn begin_refund(&self, event: &EventId, order: &str) -> Result<PaymentRef, Refused> {
        let order = order.to_owned();
        self.decide(ask(event, Target::Order(order.clone())), move |work| {
            work.begin_refund(&order)
        })
        .await
    }

    async fn refunded(&self, payment: &PaymentRef) -> Result<Order, Refused> {
        let payment = payment.clone();
        let ask = ask(&payment.event, Target::Order(payment.order.clone()));
        self.decide(ask, move |work| work.refunded(&payment)).await
    }

    async fn orders(&self, event: &EventId, limit: u32) -> Result<Vec<Order>, Refused> {
        Engine::orders(self, event, limit).await
    }

    async fn sales(&self, event: &EventId) -> Result<Sales, Refused> {
        Engine::sales(self, event).await
    }

    async fn block(
        &self,
        event: &EventId,
        seats: Vec<String>,
        change: Block,
    ) -> Result<(), Refused> {
        self.decide(ask(event, Target::Nobody), move |work| {
            work.block(&seats, change)
        })
        .await
    }

    async fn sweep(&self) -> Result<Swept, Refused> {
        let (holds, has_more_holds) = release_lapsed(self, None).await?;
        let (orders, has_more_orders) = release_late(self).await?;
        let mut swept = Swept {
            seats_released: holds + orders,
            // Only what made room is worth another look at once.
            has_more: holds + orders > 0 && (has_more_holds || has_more_orders),
            ..Swept::default()
        };
        for (payment, state) in self.due().await? {
            match state {
                PaymentState::Refunding => swept.refunds.push(payment),
                _ => swept.due.push(payment),
            }
        }
        self.prune().await?;
        Ok(swept)
    }

    async fn reports(&self) -> Result<Vec<Report>, Refused> {
        Engine::reports(self).await
    }

    async fn reported(&self, reports: Vec<Report>) -> Result<(), Refused> {
        Engine::reported(self, reports).await
    }

    async fn remove(&self, event: &EventId) -> Result<(), Refused> {
        Engine::remove(self, event).await
    }

    async fn shards(&self) -> Result<Vec<ShardView>, Refused> {
        Engine::shards(self).await
    }

    async fn move_event(&self, event: &EventId, shard: &str) -> Result<(), Refused> {
        Engine::move_event(self, event, shard).await
    }
}
