//! Composition of both services in one process, for the program and for tests.

pub mod demo;

use async_trait::async_trait;
use checkout::inventory::InLine;
use checkout::jwks::Jwks;
use checkout::waiting_room::{
    EventAnswer, EventFacts, Extension, LogAnswer, Reported, WaitingRoom,
};
use shared::cancellation::Cancellation;
use shared::context::AppContext;
use shared::data_dir::DataFolder;
use shared::http::front::Front;
use shared::http::problem::Problem;
use shared::ids::{Availability, EventId, VisitorId};
use shared::line_contact::{Channel, LineContact, LineOffers};
use shared::line_log::{LOG_ENTRIES_MAX, LogPlace};
use shared::line_mail::{LineMail, LineWaits};
use shared::metrics::Registry;
use shared::settings::Settings;
use shared::time::{Clock, Time};
use shared::token::{Signer, Verifier};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use waiting_room::Extended;
use waiting_room::line::{Claimed, Line, Refused};

/// Both services in one process.
pub struct Fairline {
    /// The waiting room.
    pub room: Arc<waiting_room::Room>,
    /// The checkout.
    pub shop: Arc<checkout::Shop>,
    /// The gate, and all routes.
    pub app: Front,
    /// All metrics.
    pub metrics: Arc<Registry>,
    /// The admin key, if it was generated at this start, to be printed once.
    pub new_organiser_key: Option<String>,
    /// Locks the data folder while the process uses it.
    _folder: DataFolder,
}

/// Composes both services and starts their ticks. Must run inside a tokio runtime.
///
/// # Errors
/// A message for the operator.
pub async fn compose(
    settings: &Settings,
    line: &waiting_room::settings::LineArgs,
    seats: &checkout::settings::SeatsArgs,
    clock: Clock,
    stop: CancellationToken,
) -> Result<Fairline, String> {
    let folder = DataFolder::open(&settings.data)?;
    let (site, new_organiser_key) =
        settings.open_site(&folder, clock, stop, line.pass_secret.as_deref())?;
    let site = Arc::new(site);
    let mut parts = line.open(&folder, site.clone(), None).await?;
    let verifier = || Verifier::from_jwks(&parts.signer.jwks(), &site.public_url);
    let waiting_room = LocalWaitingRoom {
        line: parts.line.clone(),
        signer: parts.signer.clone(),
        verifier: verifier()?,
        site: site.clone(),
    };
    let keys = Jwks::given(verifier()?);
    let shop = seats
        .open(
            &folder,
            site.clone(),
            keys,
            Arc::new(waiting_room),
            Some(parts.service_key.clone()),
        )
        .await?;
    parts.checkout = Some(Arc::new(LocalCheckout(shop.clone())));
    let room = waiting_room::Room::new(parts)?;
    tokio::spawn(waiting_room::ticker::tick_all(room.clone()));
    tokio::spawn(checkout::run(shop.clone()));
    tokio::spawn(shared::sign_outs::follow(
        site.organisers.sign_outs().clone(),
        site.stop.clone(),
    ));
    let mut metrics = Registry::default();
    shared::metrics::register(&mut metrics, &site);
    waiting_room::metrics::register(&mut metrics, &room);
    checkout::metrics::register(&mut metrics, &shop);
    let (line_routes, mut description) = waiting_room::router(room.clone());
    let (shop_routes, more) = checkout::router(shop.clone());
    description.merge(more);
    let app = shared::http::middleware::with_middleware(
        line_routes.merge(shop_routes),
        &site,
        description,
    );
    let app = Front::new(app, waiting_room::gate(room.clone()), &site);
    Ok(Fairline {
        room,
        shop,
        app,
        metrics: Arc::new(metrics),
        new_organiser_key,
        _folder: folder,
    })
}

/// The waiting room as seen by the checkout in the same process.
struct LocalWaitingRoom {
    line: Arc<dyn Line>,
    signer: Arc<Signer>,
    verifier: Verifier,
    site: Arc<AppContext>,
}

impl LocalWaitingRoom {
    /// Returns the time by the line's clock.
    fn now(&self, event: &EventId) -> Time {
        let store = self.line.now(event);
        store.unwrap_or_else(|| self.site.clock.now())
    }
}

#[async_trait]
impl WaitingRoom for LocalWaitingRoom {
    async fn knows(&self, event: &EventId) -> Option<bool> {
        match self.line.stats(event).await {
            Ok(_) => Some(true),
            Err(Refused::NoSuchEvent) => Some(false),
            Err(_) => None,
        }
    }

    async fn describe(&self, event: &EventId) -> EventAnswer {
        match self.line.view(event).await {
            Ok(view) => EventAnswer::Event(Box::new(EventFacts {
                name: view.settings.name.clone(),
                details: view.settings.details.clone(),
            })),
            Err(Refused::NoSuchEvent) => EventAnswer::Unknown,
            Err(_) => EventAnswer::Unanswered,
        }
    }

    async fn start(&self, event: &EventId, token: &str) -> Reported {
        let Ok(claims) = self.verifier.verify(token, event, self.now(event)) else {
            return Reported::Lapsed;
        };
        match self.line.claim(event, claims.sub, claims.number).await {
            Ok(Claimed::Until(_)) => Reported::Taken,
            Ok(Claimed::Lapsed) | Err(Refused::NoSuchEvent) => Reported::Lapsed,
            Err(_) => Reported::Unanswered,
        }
    }

    async fn extend(&self, event: &EventId, token: &str) -> Extension {
        let Ok(claims) = self.verifier.verify(token, event, self.now(event)) else {
            return Extension::Lapsed;
        };
        match waiting_room::extend(&*self.line, event, &claims).await {
            Ok(Extended::Until(claims)) => Extension::By(self.signer.sign(&claims)),
            Ok(Extended::NotExtendable) => Extension::NotExtendable,
            Ok(Extended::Lapsed) | Err(Refused::NoSuchEvent) => Extension::Lapsed,
            Err(_) => Extension::Unanswered,
        }
    }

    async fn finish(&self, event: &EventId, token: &str) -> Reported {
        // The slot of an expired token has lapsed already.
        let Ok(claims) = self.verifier.verify(token, event, self.now(event)) else {
            return Reported::Lapsed;
        };
        reported(self.line.finish(event, claims.sub, claims.number).await)
    }

    async fn report(&self, event: &EventId, seats: Availability) -> Reported {
        reported(self.line.report(event, seats).await)
    }

    async fn cancel(&self, event: &EventId, cancellation: &Cancellation) -> Reported {
        reported(waiting_room::cancel(&*self.line, event, cancellation).await)
    }

    async fn log(&self, event: &EventId, place: &LogPlace) -> LogAnswer {
        match self.line.decisions(event, place, LOG_ENTRIES_MAX).await {
            Ok(page) => LogAnswer::Page(page),
            Err(Refused::NoSuchEvent) => LogAnswer::Unknown,
            Err(_) => LogAnswer::Unanswered,
        }
    }

    async fn waits(&self, event: &EventId, visitors: Vec<VisitorId>) -> Option<LineWaits> {
        waiting_room::waits(&*self.line, event, &visitors)
            .await
            .ok()
    }
}

fn reported(outcome: Result<(), Refused>) -> Reported {
    match outcome {
        Ok(()) => Reported::Taken,
        Err(Refused::NoSuchEvent) => Reported::Lapsed,
        Err(_) => Reported::Unanswered,
    }
}

/// The checkout as seen by the waiting room in the same process.
struct LocalCheckout(Arc<checkout::Shop>);

#[async_trait]
impl waiting_room::Checkout for LocalCheckout {
    async fn delete_event(&self, event: &EventId) -> Result<bool, Problem> {
        match self.0.inventory.remove(event).await {
            Ok(()) => Ok(true),
            Err(checkout::inventory::Refused::NoSuchEvent) => Ok(false),
            Err(refused) => Err(refused.into()),
        }
    }

    async fn sends_mail(&self) -> Option<bool> {
        Some(self.0.sends_mail())
    }

    async fn keep_mail(
        &self,
        event: &EventId,
        visitor: VisitorId,
        mail: &LineMail,
    ) -> Result<(), Problem> {
        self.0
            .keep_line_mail(&InLine::new(event, visitor), mail)
            .await
    }

    async fn forget_mail(&self, event: &EventId, visitor: VisitorId) -> Result<(), Problem> {
        self.0.forget_line_mail(&InLine::new(event, visitor)).await
    }

    async fn line_offers(&self) -> Option<LineOffers> {
        Some(self.0.line_offers())
    }

    async fn keep_contact(
        &self,
        event: &EventId,
        visitor: VisitorId,
        contact: &LineContact,
    ) -> Result<(), Problem> {
        let place = InLine::new(event, visitor);
        self.0.keep_line_contact(&place, contact).await
    }

    async fn forget_contact(
        &self,
        event: &EventId,
        visitor: VisitorId,
        channel: Channel,
    ) -> Result<(), Problem> {
        let place = InLine::new(event, visitor);
        self.0.forget_line_contact(&place, channel).await
    }
}
