//! Every promise of the trait as one step of the writer.

use super::Sqlite;
use crate::inventory::words::*;
use crate::inventory::{Board, Inventory, Layout};
use async_trait::async_trait;
use shared::idempotency::Attempt;
use shared::words::EventId;
use std::sync::{Arc, PoisonError};

#[async_trait]
impl Inventory for Sqlite {
    async fn set_seating(&self, event: &EventId, layout: Layout) -> Result<u32, Refused> {
        let event = event.clone();
        self.step(move |store, _| store.set_seating(&event, layout))
            .await
    }

    fn board(&self, event: &EventId) -> Option<Arc<Board>> {
        self.boards
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(event)
            .cloned()
    }

    fn boards(&self) -> Vec<Arc<Board>> {
        self.boards
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    async fn rules(&self, event: &EventId) -> Result<Rules, Refused> {
        let event = event.clone();
        self.step(move |store, _| {
            Ok(Ok(store
                .houses
                .get(&event)
                .map(|house| house.rules.clone())
                .unwrap_or_default()))
        })
        .await
    }

    async fn set_rules(
        &self,
        event: &EventId,
        patch: RulesPatch,
    ) -> Result<(Rules, Rules), Refused> {
        let event = event.clone();
        self.step(move |store, _| store.set_rules(&event, patch))
            .await
    }

    async fn open_session(&self, session: NewSession) -> Result<Once<Session>, Refused> {
        self.step(move |store, _| store.open_session(session)).await
    }

    async fn session(&self, keys: Keys, event: Option<EventId>) -> Result<Session, Refused> {
        self.step(move |store, _| store.session(&keys, event.as_ref()))
            .await
    }

    async fn end_session(&self, keys: Keys, event: &EventId) -> Result<(), Refused> {
        let event = event.clone();
        self.step(move |store, _| store.end_session(&keys, &event))
            .await
    }

    async fn hold(
        &self,
        keys: Keys,
        event: &EventId,
        wish: Wish,
        attempt: Option<Attempt>,
    ) -> Result<Once<Hold>, Refused> {
        let event = event.clone();
        self.step(move |store, now| store.hold(&keys, &event, wish, attempt.as_ref(), now))
            .await
    }

    async fn show_hold(&self, keys: Keys, hold: &str) -> Result<Hold, Refused> {
        let hold = hold.to_owned();
        self.step(move |store, _| Ok(store.find_hold(&keys, &hold)?.map(|(_, hold)| hold)))
            .await
    }

    async fn release(&self, keys: Keys, hold: &str) -> Result<(), Refused> {
        let hold = hold.to_owned();
        self.step(move |store, _| store.release(&keys, &hold)).await
    }

    async fn order(
        &self,
        keys: Keys,
        hold: &str,
        buyer: Buyer,
        attempt: Option<Attempt>,
    ) -> Result<Once<Order>, Refused> {
        let hold = hold.to_owned();
        self.step(move |store, now| store.order(&keys, &hold, buyer, attempt.as_ref(), now))
            .await
    }

    async fn show_order(&self, reader: Reader, order: &str) -> Result<Order, Refused> {
        let order = order.to_owned();
        self.step(move |store, _| store.show_order(&reader, &order))
            .await
    }

    async fn begin_payment(
        &self,
        keys: Keys,
        payment: &str,
        attempt: Option<Attempt>,
    ) -> Result<Begun, Refused> {
        let payment = payment.to_owned();
        self.step(move |store, now| store.begin_payment(&keys, &payment, attempt.as_ref(), now))
            .await
    }

    async fn settle(
        &self,
        payment: &PaymentRef,
        verdict: Verdict,
        attempt: Option<Attempt>,
    ) -> Result<Order, Refused> {
        let payment = payment.clone();
        self.step(move |store, now| store.settle(&payment, verdict, attempt.as_ref(), now))
            .await
    }

    async fn begin_refund(&self, event: &EventId, order: &str) -> Result<PaymentRef, Refused> {
        let (event, order) = (event.clone(), order.to_owned());
        self.step(move |store, _| store.begin_refund(&event, &order))
            .await
    }

    async fn refunded(&self, payment: &PaymentRef) -> Result<Order, Refused> {
        let payment = payment.clone();
        self.step(move |store, _| store.refunded(&payment)).await
    }

    async fn orders(&self, event: &EventId, limit: u32) -> Result<Vec<Order>, Refused> {
        let event = event.clone();
        self.step(move |store, _| store.orders(&event, limit)).await
    }

    async fn sales(&self, event: &EventId) -> Result<Sales, Refused> {
        let event = event.clone();
        self.step(move |store, _| store.sales(&event)).await
    }

    async fn block(
        &self,
        event: &EventId,
        seats: Vec<String>,
        change: Block,
    ) -> Result<(), Refused> {
        let event = event.clone();
        self.step(move |store, _| store.block(&event, &seats, change))
            .await
    }

    async fn sweep(&self) -> Result<Swept, Refused> {
        self.step(|store, now| store.sweep(now)).await
    }

    async fn reports(&self) -> Result<Vec<Report>, Refused> {
        self.step(|store, _| store.reports()).await
    }

    async fn reported(&self, report: &Report) -> Result<(), Refused> {
        let report = report.clone();
        self.step(move |store, _| store.reported(&report)).await
    }

    async fn remove(&self, event: &EventId) -> Result<(), Refused> {
        let event = event.clone();
        self.step(move |store, _| store.remove(&event)).await
    }
}
