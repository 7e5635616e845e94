//! The inventory: the seats, sessions, holds, orders and payments of all events, on any engine.

use super::block_note::BlockNote;
use super::command::Subject;
use super::commands::{NewOrder, Target, UnitOfWork, show_kept};
use super::engine::{Engine, SWEEP_MAX, decide_with};
use super::event_state::LinkKey;
use super::layout::Layout;
use super::model::*;
use super::plan_change::compare_on_a_thread;
use super::plan_difference::PlanDifference;
use super::purchase::Purchase;
use super::records::{Key, OrderState};
use super::seat_price::ChosenTypes;
use super::silence::Silence;
use crate::instruments::ORDERS_CONFIRMED;
use futures_util::future::{join_all, try_join_all};
use shared::crypto::random_id;
use shared::http::idempotency::Attempt;
use shared::ids::EventId;
use std::ops::Deref;
use std::sync::Arc;

/// The seats, sessions, holds, orders and payments of all events. Every operation is one atomic
/// step, timed by the store's clock, and durable before it returns. With an `Attempt` it happens
/// once, and repetitions get the same answer.
///
/// Derefs to its engine for the operations that need no decision.
#[derive(Clone)]
pub struct Inventory {
    engine: Arc<dyn Engine>,
    /// Provider by which new orders are paid.
    provider: ProviderId,
    silence: Arc<Silence>,
}

impl<E: Engine + 'static> From<Arc<E>> for Inventory {
    fn from(engine: Arc<E>) -> Inventory {
        Inventory {
            engine,
            provider: ProviderId::default(),
            silence: Arc::default(),
        }
    }
}

impl<E: Engine + 'static> From<E> for Inventory {
    fn from(engine: E) -> Inventory {
        Inventory {
            engine: Arc::new(engine),
            provider: ProviderId::default(),
            silence: Arc::default(),
        }
    }
}

impl Deref for Inventory {
    type Target = dyn Engine;

    fn deref(&self) -> &Self::Target {
        &*self.engine
    }
}

impl Inventory {
    /// Returns the inventory with another provider for new orders.
    pub fn paid_by(self, provider: ProviderId) -> Inventory {
        Inventory { provider, ..self }
    }

    /// Notes whether the provider has answered a request. While it does not, lapsed holds are kept
    /// up to their cap: their fans could not pay.
    pub fn note_provider(&self, has_answered: bool) {
        self.silence.note(has_answered);
    }

    /// Opens a session for an admission, once. A second session with the same `jti` is refused;
    /// repeating the request for the same session is not.
    pub async fn open_session(&self, session: NewSession) -> Result<Once<Session>, Refused> {
        let target = Target::Newcomer(session.visitor, session.jti.clone());
        let subject = Subject::new(&session.event.clone(), target);
        self.decide(subject, move |work| work.open_session(&session))
            .await
    }

    /// Returns the session with one of these keys, whether it is over or not.
    pub async fn session(
        &self,
        keys: SessionKeys,
        event: Option<EventId>,
    ) -> Result<Session, Refused> {
        let fits = |key: &SessionKey| event.as_ref().is_none_or(|event| key.event == *event);
        let keys = keys.into_iter().filter(fits).collect();
        first(keys, Refused::NoSession, |key| {
            let subject = Subject::fresh(&key.event, Target::Session(key.hash));
            self.decide(subject, move |work| {
                let row = work.session(&key.hash)?;
                Ok(super::commands::show_session(&key.event, row))
            })
        })
        .await
    }

    /// Ends a session: releases its active holds and reports its end to the waiting room.
    pub async fn end_session(&self, keys: SessionKeys, event: &EventId) -> Result<(), Refused> {
        let key = of_event(&keys, event)?;
        self.decide(Subject::new(event, Target::Session(key)), move |work| {
            work.end_session(&key)
        })
        .await
    }

    /// Holds all of the seats or none. Seats of lapsed holds may be taken.
    pub async fn hold(
        &self,
        keys: SessionKeys,
        event: &EventId,
        wish: Wish,
        attempt: Option<Attempt>,
    ) -> Result<Once<Hold>, Refused> {
        let key = of_event(&keys, event)?;
        let mut has_tried = false;
        loop {
            let subject = Subject::new(event, Target::Session(key)).once(attempt.as_ref());
            let (wish, attempt) = (wish.clone(), attempt.clone());
            let held = self.decide(subject, move |work| {
                match work.hold(&key, &wish, attempt.as_ref()) {
                    // Perhaps lapsed holds are in the way: others may take their seats without
                    // waiting for the sweep.
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
                    let released = Box::pin(self.release_lapsed(Some(event))).await?;
                    if released.seats == 0 {
                        return Err(refused);
                    }
                    has_tried = true;
                }
            }
        }
    }

    /// Returns those of these sessions whose visitors hold seats that are not paid for.
    pub async fn holding(
        &self,
        event: &EventId,
        sessions: Vec<[u8; 32]>,
    ) -> Result<Vec<[u8; 32]>, Refused> {
        let each = sessions.into_iter().map(async |session| {
            let subject = Subject::fresh(event, Target::Session(session));
            let holding = self.decide(subject, |work| {
                Ok(work.records.unpaid_holds().next().is_some())
            });
            match holding.await {
                Ok(false) | Err(Refused::NoSession | Refused::NoSuchEvent) => Ok(None),
                Ok(true) => Ok(Some(session)),
                Err(refused) => Err(refused),
            }
        });
        let holding: Vec<Option<[u8; 32]>> = try_join_all(each).await?;
        Ok(holding.into_iter().flatten().collect())
    }

    /// Returns a hold of the session's visitor.
    pub async fn show_hold(&self, keys: SessionKeys, hold: &str) -> Result<Hold, Refused> {
        let are_kept_longer = self.silence.is_long();
        first(keys, Refused::NoSuchHold, |key| {
            let hold = hold.to_owned();
            let subject = Subject::fresh(&key.event, Target::Session(key.hash)).with_hold(&hold);
            self.decide(subject, move |work| {
                work.show_hold(&key.hash, &hold, are_kept_longer)
            })
        })
        .await
    }

    /// Returns a hold as an order of it with these ticket types would cost. It changes nothing.
    pub async fn price_hold(
        &self,
        keys: SessionKeys,
        hold: &str,
        chosen: &ChosenTypes,
    ) -> Result<Hold, Refused> {
        first(keys, Refused::NoSuchHold, |key| {
            let (hold, chosen) = (hold.to_owned(), chosen.clone());
            let subject = Subject::fresh(&key.event, Target::Session(key.hash)).with_hold(&hold);
            self.decide(subject, move |work| {
                work.price_hold(&key.hash, &hold, &chosen)
            })
        })
        .await
    }

    /// Returns the holds, of the visitor with one of these sessions, whose seats are not paid for;
    /// oldest first.
    pub async fn own_holds(
        &self,
        keys: SessionKeys,
        event: &EventId,
    ) -> Result<Vec<Hold>, Refused> {
        let key = of_event(&keys, event)?;
        let subject = Subject::fresh(event, Target::Session(key));
        let are_kept_longer = self.silence.is_long();
        self.decide(subject, move |work| {
            work.session(&key)?;
            let holds = work.records.unpaid_holds();
            let shown = holds.map(|row| show_kept(work.event_state, row, are_kept_longer));
            Ok(shown.collect())
        })
        .await
    }

    /// Releases the seats of a hold. An order that is not being paid is cancelled first. Releasing
    /// twice is not an error.
    pub async fn release(&self, keys: SessionKeys, hold: &str) -> Result<(), Refused> {
        first(keys, Refused::NoSuchHold, |key| {
            let hold = hold.to_owned();
            let subject = Subject::new(&key.event, Target::Session(key.hash)).with_hold(&hold);
            self.decide(subject, move |work| work.release(&key.hash, &hold))
        })
        .await
    }

    /// Converts an active hold into an order and freezes its seats for the payment. An order that
    /// costs nothing is confirmed at once.
    pub async fn order(
        &self,
        keys: SessionKeys,
        hold: &str,
        buyer: Buyer,
        attempt: Option<Attempt>,
    ) -> Result<Once<Order>, Refused> {
        let purchase = Purchase::of(hold, buyer);
        self.order_as(&random_id("ord_"), keys, &purchase, attempt)
            .await
    }

    /// Makes an order with an id that the caller chose: one that no other hold's order has.
    pub async fn order_as(
        &self,
        id: &str,
        keys: SessionKeys,
        purchase: &Purchase,
        attempt: Option<Attempt>,
    ) -> Result<Once<Order>, Refused> {
        let provider = self.provider;
        first(keys, Refused::NoSuchHold, |key| {
            let id = id.to_owned();
            let (purchase, attempt) = (purchase.clone(), attempt.clone());
            let subject =
                Subject::new(&key.event, Target::Session(key.hash)).once(attempt.as_ref());
            let subject = subject.with_hold(&purchase.hold);
            self.decide(subject, move |work| {
                let new = NewOrder {
                    id: &id,
                    purchase: &purchase,
                    provider,
                };
                work.order(&key.hash, &new, attempt.as_ref())
            })
        })
        .await
        .inspect(|order| {
            if order.value.state == OrderState::Confirmed.as_str() && !order.is_replayed {
                ORDERS_CONFIRMED.inc();
            }
        })
    }

    /// Returns an order.
    pub async fn show_order(&self, reader: Reader, order: &str) -> Result<Order, Refused> {
        let order = order.to_owned();
        match reader {
            Reader::Link(key) => {
                let key = LinkKey::parse(&key).ok_or(Refused::NoSession)?;
                let subject = Subject::fresh(&key.event, Target::Order(order.clone()));
                let found = self.decide(subject, move |work| {
                    if !work.event_state.opens(&key, &order) {
                        return Err(Refused::NoSession);
                    }
                    let row = work.records.order(&order);
                    Ok(row.map(|row| work.event_state.show(row)))
                });
                match found.await {
                    Ok(order) => order.ok_or(Refused::NoSuchOrder),
                    // There is no such event, so its key opens nothing.
                    Err(Refused::NoSuchOrder) => Err(Refused::NoSession),
                    Err(other) => Err(other),
                }
            }
            Reader::Session(keys) => {
                first(keys, Refused::NoSuchOrder, |key| {
                    let order = order.clone();
                    let subject = Subject::fresh(&key.event, Target::Session(key.hash));
                    self.decide(subject, move |work| {
                        work.session(&key.hash)?;
                        let row = work.records.order(&order).ok_or(Refused::NoSuchOrder)?;
                        Ok(work.event_state.show(row))
                    })
                })
                .await
            }
        }
    }

    /// Returns the orders of the visitors with these sessions, newest first, across the events of
    /// the sessions.
    pub async fn own_orders(&self, keys: SessionKeys) -> Result<Vec<Order>, Refused> {
        let each = keys.into_iter().map(|key| {
            let subject = Subject::fresh(&key.event, Target::Session(key.hash));
            self.decide(subject, move |work| {
                work.session(&key.hash)?;
                let rows = work.records.orders.iter();
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

    /// Withdraws available seats from sale, or puts blocked ones back; all of them or none. With a
    /// note, blocked ones get that instead of theirs.
    pub async fn block(
        &self,
        event: &EventId,
        seats: Vec<String>,
        change: Block,
        note: Option<BlockNote>,
    ) -> Result<(), Refused> {
        self.decide(Subject::new(event, Target::Event), move |work| {
            work.block(&seats, change, note.as_ref())
        })
        .await
    }

    /// Returns how a plan differs from the one that the event has, if it has one, as far as this node
    /// knows by now. No sale waits for it.
    ///
    /// # Errors
    /// `Invalid` with all faults of the change.
    pub async fn plan_difference(
        &self,
        event: &EventId,
        layout: &Layout,
    ) -> Result<Option<PlanDifference>, Refused> {
        let Some(seat_map) = self.seat_map(event) else {
            return Ok(None);
        };
        let change = compare_on_a_thread(&seat_map, Arc::new(layout.clone())).await?;
        Ok(Some(change.difference))
    }

    /// Performs one bounded step of the work caused by time: releases lapsed holds and orders.
    pub async fn sweep(&self) -> Result<Swept, Refused> {
        let holds = self.release_lapsed(None).await?;
        let orders = self.release_late().await?;
        let freed = holds.seats + orders.seats;
        self.prune().await?;
        Ok(Swept {
            seats_released: freed,
            // Only what made room is worth another look at once.
            has_more: freed > 0 && (holds.has_more || orders.has_more),
        })
    }

    /// Has a decision made, and waits for its answer.
    pub(super) async fn decide<T: Send + 'static>(
        &self,
        subject: Subject,
        decide: impl FnMut(&mut UnitOfWork<'_>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        decide_with(&*self.engine, subject, decide).await
    }

    /// Releases lapsed holds, a bounded number. Returns the number of seats that were freed and
    /// whether there may be more.
    async fn release_lapsed(&self, event: Option<&EventId>) -> Result<Released, Refused> {
        let lapsed = self.lapsed(event).await?;
        let has_more = lapsed.len() >= SWEEP_MAX;
        let are_kept_longer = self.silence.is_long();
        let each = lapsed.into_iter().map(|lapsed| {
            let subject = Subject::fresh(&lapsed.event, Target::Visitor(lapsed.visitor));
            self.decide(subject, move |work| Ok(work.expire_holds(are_kept_longer)))
        });
        let seats = sum(join_all(each).await)?;
        Ok(Released { seats, has_more })
    }

    /// Cancels orders that were not paid in time, a bounded number.
    async fn release_late(&self) -> Result<Released, Refused> {
        let late = self.late().await?;
        let has_more = late.len() >= SWEEP_MAX;
        let each = late.into_iter().map(|order| {
            let subject = Subject::new(&order.event, Target::Order(order.id.clone()));
            self.decide(subject, move |work| Ok(work.expire_order(&order.id)))
        });
        let seats = sum(join_all(each).await)?;
        Ok(Released { seats, has_more })
    }
}

/// Seats that a sweep made available again, and whether there may be more.
struct Released {
    seats: u32,
    has_more: bool,
}

/// Returns the session key of this event among those of the request.
fn of_event(keys: &SessionKeys, event: &EventId) -> Result<Key, Refused> {
    let own = keys.iter().find(|key| key.event == *event);
    own.map(|key| key.hash).ok_or(Refused::NoSession)
}

/// Tries each session in turn until one of them is the right one.
pub(super) async fn first<T, F: Future<Output = Result<T, Refused>>>(
    keys: SessionKeys,
    nothing: Refused,
    mut attempt: impl FnMut(SessionKey) -> F,
) -> Result<T, Refused> {
    let mut refused = Refused::NoSession;
    for key in keys {
        match attempt(key).await {
            Err(Refused::NoSession) => {}
            Err(other) if other == nothing => refused = other,
            answer => return answer,
        }
    }
    Err(refused)
}

/// Adds up the freed seats. Where one database cannot be reached the others' count; it is a failure
/// when nothing could be done.
fn sum(freed: Vec<Result<u32, Refused>>) -> Result<u32, Refused> {
    let done: Vec<u32> = freed.iter().flatten().copied().collect();
    match freed.into_iter().find_map(Result::err) {
        Some(refused) if done.is_empty() => Err(refused),
        _ => Ok(done.iter().sum()),
    }
}
