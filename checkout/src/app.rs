//! Shared state of the checkout's handlers.

use crate::accepted_orders::AcceptedOrders;
use crate::cancellation::Endings;
use crate::inventory::Inventory;
use crate::jwks::Jwks;
use crate::known_events::KnownEvents;
use crate::mail::Mailer;
use crate::payment::Providers;
use crate::payment::declines::Declines;
use crate::payment::unsettled::Unsettled;
use crate::pdf::Fonts;
use crate::relay::LastRefusal;
use crate::retention::Retention;
use crate::sms::SmsGateway;
use crate::waiting_room::{EventFacts, WaitingRoom};
use crate::web_push::Pusher;
use axum::extract::FromRef;
use brokers::Address;
use parking_lot::Mutex;
use shared::context::AppContext;
use shared::ids::EventId;
use shared::outbound::Outbound;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

/// State shared by the handlers of the checkout.
pub struct Shop {
    /// Context shared by all handlers of the process.
    pub site: Arc<AppContext>,
    /// The seats, holds and orders.
    pub inventory: Inventory,
    /// The payment providers.
    pub providers: Providers,
    /// Public keys that verify admission tokens.
    pub keys: Jwks,
    /// Receiver of the reports on starts, finishes and seats.
    pub waiting_room: Arc<dyn WaitingRoom>,
    /// Key with which a waiting room in another process may remove an event, and leave addresses of
    /// fans; `None` without any.
    pub service_key: Option<String>,
    /// How long personal data is kept.
    pub retention: Retention,
    /// Payments whose verdict is known to this process alone.
    pub unsettled: Unsettled,
    /// Orders that are accepted and not made yet.
    pub accepted: AcceptedOrders,
    /// Declined cards by client address.
    pub declines: Declines,
    /// Message broker to which events are published.
    pub(crate) events: Option<Arc<Address>>,
    /// The relay, which ends a round that it has begun.
    pub(crate) relay: TaskTracker,
    /// Last attempt of the relay that the message broker did not take.
    pub(crate) last_refusal: Mutex<Option<LastRefusal>>,
    /// Mail server by which mail is sent to buyers.
    pub(crate) mail: Option<Arc<Mailer>>,
    /// Key by which push services of browsers know this site.
    pub(crate) pusher: Option<Arc<Pusher>>,
    /// Gateway of text messages.
    pub(crate) sms: Option<Arc<SmsGateway>>,
    /// Fonts of PDFs.
    pub(crate) fonts: Arc<Fonts>,
    /// Events that were asked for lately.
    pub(crate) known_events: KnownEvents,
    /// Mails that are being sent.
    pub(crate) mailing: TaskTracker,
    /// Client of webhooks and push services.
    pub outbound: Outbound,
    /// Deliveries to webhooks and to fans in line that are under way.
    pub(crate) delivering: TaskTracker,
    /// Notified when there is something to report.
    pub to_report: Notify,
    /// Cancelled shows whose sale is being ended.
    pub(crate) endings: Endings,
    /// Notified when a show was cancelled.
    pub(crate) to_end: Notify,
    /// Notified when a payment is to be cancelled.
    pub to_reconcile: Notify,
}

impl Shop {
    /// Returns an event as mails and tickets present it; none if the waiting room does not answer.
    pub(crate) async fn event_facts(&self, event: &EventId) -> Option<Arc<EventFacts>> {
        self.known_events.get(&*self.waiting_room, event).await
    }

    /// Returns an event as it is at this moment; none if the waiting room does not answer.
    pub(crate) async fn event_facts_now(&self, event: &EventId) -> Option<Arc<EventFacts>> {
        self.known_events.ask(&*self.waiting_room, event).await
    }
}

/// Router state that holds the shop.
#[derive(Clone)]
pub(crate) struct App(pub(crate) Arc<Shop>);

impl FromRef<App> for Arc<Shop> {
    fn from_ref(app: &App) -> Arc<Shop> {
        app.0.clone()
    }
}

impl FromRef<App> for Arc<AppContext> {
    fn from_ref(app: &App) -> Arc<AppContext> {
        app.0.site.clone()
    }
}
