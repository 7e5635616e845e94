//! Mail to buyers and to fans in line: tickets of confirmed orders, refunds, cancellations, turns, sent
//! by SMTP from the outbox.
//! The sale never waits for it. `bounces` takes reports on those that came back.
//!
//! `intake` follows the outbox with a place of its own there, and adds a row for each mail in the
//! transaction that moves it. `soon` adds those to fans whose turn comes soon. `sender`
//! takes the rows that are due, which any number of nodes share.

mod address;
mod bounces;
mod change_letter;
mod changes;
mod connection;
mod delivery_report;
mod dkim;
mod instruments;
mod intake;
mod internet_message;
mod letter;
mod line_letters;
mod message;
mod order_letters;
mod order_lists;
mod preview;
mod sender;
mod settings;
mod soon;

pub(crate) use instruments::register;
pub(crate) use intake::CONSUMER;
pub(crate) use order_letters::link_in;
pub(crate) use preview::SampleLetter;
pub use settings::MailArgs;

pub(crate) use settings::Mailer;

use crate::app::Shop;
use address::MailServer;
use connection::{MailFailureKind, SmtpConnection};
use instruments::measure;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// Longest wait at the shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// Checks that mail can be sent, so that a setting that cannot work stops the start. A mail server
/// that is only away does not.
///
/// # Errors
/// A sentence for the operator.
pub(crate) async fn check(mailer: &Mailer) -> Result<(), String> {
    let server: &MailServer = &mailer.server;
    let host = (server.host.as_str(), server.port);
    if lookup_host(host).await.is_err() {
        return Err(format!("FAIRLINE_SMTP: there is no host {}", server.host));
    }
    match SmtpConnection::open(server).await {
        Err(failure) if failure.kind == MailFailureKind::Denied => {
            Err(format!("FAIRLINE_SMTP: {}", failure.why))
        }
        _ => Ok(()),
    }
}

/// Sends mail until the stop signal. Nothing to do where no mail server is set.
pub(crate) async fn run(shop: &Arc<Shop>) {
    if let Some(mailer) = &shop.mail {
        tokio::join!(
            intake::run(shop),
            soon::run(shop),
            sender::run(shop, mailer),
            measure(shop),
            mailer.report(&shop.site.stop)
        );
    }
}

/// Waits, for a bounded time, until the mails that are being sent have their outcome.
pub(crate) async fn drain(shop: &Shop) {
    shop.mailing.close();
    let _ = timeout(DRAIN, shop.mailing.wait()).await;
}
