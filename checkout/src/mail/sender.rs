//! Sends the mails that are due, a bounded number at one time, and records their outcomes.

use super::connection::{MailFailure, MailFailureKind, SmtpConnection};
use super::instruments::{count_failure, count_sent};
use super::letter::Letter;
use super::message::{Sealed, seal};
use super::order_letters::About;
use super::settings::Mailer;
use crate::app::Shop;
use crate::inventory::Refused;
use crate::inventory::mail::{MailKind, MailOutcome, QueuedMail};
use crate::ticket_pdf::tickets_pdf;
use parking_lot::Mutex;
use shared::crypto::random;
use shared::ids::EventId;
use shared::time::Time;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Largest number of mails that are sent at one time, each by a connection of its own.
const SENDING_MAX: usize = 8;
/// Pause while nothing is due.
const IDLE: Duration = Duration::from_millis(200);
/// Time for everything that is done for a mail beside talking to the mail server.
const MARGIN: Duration = Duration::from_secs(15);
/// Time before a mail is tried again. It doubles with each attempt.
const RETRY_FIRST_MS: i64 = 5_000;
const RETRY_MAX_MS: i64 = 15 * 60_000;
/// Time after which a mail is given up.
const GIVE_UP_MS: i64 = 3 * 24 * 3_600_000;
/// Number of attempts that may end without an answer: the second may have made a duplicate, and a
/// third is not made.
const UNANSWERED_MAX: i32 = 2;
/// Pause while the mail server is away. It doubles, up to the longest.
const AWAY_MIN: Duration = Duration::from_millis(200);
const AWAY_MAX: Duration = Duration::from_secs(10);
/// Largest PDF that is attached; beyond that the link to the order has to do.
const PDF_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Pause before an outcome is offered to the store again.
const SETTLE_AGAIN: Duration = Duration::from_millis(500);
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 300;

/// The work of this node.
pub(super) struct Sender {
    pub(super) shop: Arc<Shop>,
    mailer: Arc<Mailer>,
    idle: Mutex<Vec<SmtpConnection>>,
    /// Attempts in a row that found the mail server away.
    away: AtomicU32,
}

/// Reason for which a letter was not written.
pub(super) enum Unwritten {
    /// Something that it needs does not answer.
    NotNow(&'static str),
    /// There is nothing to say, or no one to say it to.
    Needless,
    /// It must not be sent, for this reason.
    Stopped(String),
}

/// Runs until the stop signal. What is being sent then is tracked, and ends by itself.
pub(super) async fn run(shop: &Arc<Shop>, mailer: &Arc<Mailer>) {
    let sender = Arc::new(Sender {
        shop: shop.clone(),
        mailer: mailer.clone(),
        idle: Mutex::default(),
        away: AtomicU32::new(0),
    });
    let permits = Arc::new(Semaphore::new(SENDING_MAX));
    let sending = async { tokio::join!(sender.send_all(&permits), sender.send_lists()) };
    let _ = shop.site.stop.run_until_cancelled(sending).await;
}

impl Sender {
    async fn send_all(self: &Arc<Self>, permits: &Arc<Semaphore>) {
        // The semaphore is never closed.
        while let Ok(permit) = permits.clone().acquire_owned().await {
            let away = self.away.load(Ordering::Relaxed);
            if away > 0 {
                sleep(pause(away)).await;
            }
            // One is enough to learn whether the mail server is back.
            let room = match away {
                0 => 1 + permits.available_permits(),
                _ => 1,
            };
            let room = u32::try_from(room).unwrap_or(1);
            let claimed = self
                .shop
                .inventory
                .mails()
                .claim(false, room, self.lease_ms());
            // While the store is away it says so itself.
            let claimed = claimed.await.unwrap_or_default();
            if claimed.is_empty() {
                sleep(IDLE).await;
            }
            let mut permit = Some(permit);
            for mail in claimed {
                let permit = permit
                    .take()
                    .or_else(|| permits.clone().try_acquire_owned().ok());
                self.begin(mail, permit);
            }
        }
    }

    /// Sends a mail in a task of its own, which goes on after the stop signal.
    fn begin(self: &Arc<Self>, mail: QueuedMail, permit: Option<OwnedSemaphorePermit>) {
        let sender = self.clone();
        self.shop.mailing.spawn(async move {
            let _permit = permit;
            let outcome = sender.deliver(&mail).await;
            let outcome = sender.end_line_mail(&mail, outcome).await;
            sender.settle(&mail, outcome).await;
        });
    }

    /// Returns the time after which a mail that was taken counts as not sent.
    fn lease_ms(&self) -> i64 {
        let whole = 3 * self.mailer.server.patience + MARGIN;
        i64::try_from(whole.as_millis()).unwrap_or(i64::MAX)
    }

    async fn deliver(&self, mail: &QueuedMail) -> MailOutcome {
        if mail.mail.kind == MailKind::Changed && mail.mail.order.is_empty() {
            return self.tell_buyers(mail).await;
        }
        match self.letter(mail).await {
            Ok(letter) => self.post(mail, &letter).await,
            Err(Unwritten::NotNow(why)) => self.later(mail, mail.unanswered, why.to_owned()),
            Err(Unwritten::Needless) => MailOutcome::Dropped,
            Err(Unwritten::Stopped(why)) => failed(mail, why),
        }
    }

    /// Seals a letter and hands it over.
    pub(super) async fn post(&self, mail: &QueuedMail, letter: &Letter) -> MailOutcome {
        let now = self.now();
        let (row, (address, _)) = (&mail.mail, &letter.to);
        let id = self.shop.message_id(&row.id, row.created_at, address);
        let sealed = seal(&self.mailer.origin, letter, &id, now);
        let sealed = match sealed.and_then(|sealed| self.mailer.signed(sealed, now)) {
            Ok(sealed) => sealed,
            Err(why) => return failed(mail, why),
        };
        match self.hand_over(&sealed).await {
            Ok(()) => {
                count_sent(mail.mail.kind);
                MailOutcome::Sent
            }
            Err(failure) => {
                count_failure(failure.kind);
                self.outcome_of(mail, failure.kind, bounded(&failure.why))
            }
        }
    }

    fn outcome_of(&self, mail: &QueuedMail, kind: MailFailureKind, why: String) -> MailOutcome {
        match kind {
            MailFailureKind::Rejected => failed(mail, why),
            MailFailureKind::Unanswered if mail.unanswered + 1 >= UNANSWERED_MAX => {
                let why = format!("{why}, twice; the mail may have arrived");
                failed(mail, why)
            }
            MailFailureKind::Unanswered => self.later(mail, mail.unanswered + 1, why),
            MailFailureKind::Away | MailFailureKind::Denied | MailFailureKind::Deferred => {
                self.later(mail, mail.unanswered, why)
            }
        }
    }

    pub(super) fn later(&self, mail: &QueuedMail, unanswered: i32, reason: String) -> MailOutcome {
        let now = self.now();
        if now.0 - mail.mail.created_at.0 > GIVE_UP_MS {
            return failed(mail, format!("given up after three days: {reason}"));
        }
        let doublings = (mail.attempts - 1).clamp(0, 20);
        let wait = (RETRY_FIRST_MS << doublings).min(RETRY_MAX_MS);
        MailOutcome::Later {
            at: Time(now.0 + wait),
            unanswered,
            reason,
        }
    }

    /// Writes the letter of a mail, about its order as it is now.
    async fn letter(&self, mail: &QueuedMail) -> Result<Letter, Unwritten> {
        let mail = &mail.mail;
        match mail.kind {
            MailKind::Turn => return self.turn_letter(mail).await,
            MailKind::Soon => return self.soon_letter(mail).await,
            _ => {}
        }
        let event = EventId::parse(&mail.event).map_err(|_| Unwritten::Needless)?;
        let details = self.shop.inventory.order_details(&event, &mail.order).await;
        let order = match details {
            Ok(details) => details.order,
            Err(Refused::NoSuchOrder | Refused::NoSuchEvent) => return Err(Unwritten::Needless),
            Err(_) => return Err(Unwritten::NotNow("the store does not answer")),
        };
        let facts = self.facts_for(mail, &event).await;
        let facts = facts.ok_or(Unwritten::NotNow("the waiting room does not answer"))?;
        let about = About {
            order: &order,
            event: &facts,
            language: facts.language_of(&order),
            site: &self.shop.site.public_url,
            sender: &self.mailer.origin.sender,
        };
        let mut letter = about.letter(mail).ok_or(Unwritten::Needless)?;
        match self.shop.stopped(&letter.to.0).await {
            Ok(None) => {}
            Ok(Some(why)) => return Err(Unwritten::Stopped(why)),
            Err(_) => return Err(Unwritten::NotNow("the store does not answer")),
        }
        if mail.kind == MailKind::Confirmed {
            let drawn = tickets_pdf(&self.shop.fonts, order, facts).await.ok();
            letter.tickets_pdf = drawn.filter(|pdf| pdf.len() <= PDF_BYTES_MAX);
        }
        Ok(letter)
    }

    /// Hands a mail over. A connection that was kept may have been closed by the server, which is no
    /// failure.
    async fn hand_over(&self, mail: &Sealed) -> Result<(), MailFailure> {
        let kept = self.idle.lock().pop();
        if let Some(mut kept) = kept.filter(SmtpConnection::is_fresh) {
            match kept.send(&mail.envelope, &mail.content).await {
                Err(failure) if failure.kind == MailFailureKind::Away => {}
                sent => return self.note(sent, kept).await,
            }
        }
        match SmtpConnection::open(&self.mailer.server).await {
            Ok(mut opened) => {
                let sent = opened.send(&mail.envelope, &mail.content).await;
                self.note(sent, opened).await
            }
            Err(failure) => {
                self.note_trouble(Some(&failure));
                Err(failure)
            }
        }
    }

    /// Keeps the connection of a mail that was sent.
    async fn note(
        &self,
        sent: Result<(), MailFailure>,
        connection: SmtpConnection,
    ) -> Result<(), MailFailure> {
        match &sent {
            Ok(()) => self.idle.lock().push(connection),
            Err(_) => connection.close().await,
        }
        let away = sent.as_ref().err();
        self.note_trouble(away.filter(|failure| failure.kind == MailFailureKind::Away));
        sent
    }

    /// Tells the operator when no mail can be sent, and when it can again.
    fn note_trouble(&self, failure: Option<&MailFailure>) {
        let mut trouble = self.shop.site.health.mail_trouble.lock();
        match failure {
            Some(failure) => {
                self.away.fetch_add(1, Ordering::Relaxed);
                let why = &failure.why;
                if trouble.is_none() {
                    let kind = failure.kind.name();
                    tracing::warn!(kind, why, "mails wait until they can be sent");
                }
                *trouble = Some(format!("mails are not sent, and wait: {why}"));
            }
            None => {
                self.away.store(0, Ordering::Relaxed);
                if trouble.take().is_some() {
                    tracing::info!("mails are sent again");
                }
            }
        }
    }

    /// Records an outcome, also where the store is away for a while: an unrecorded mail is sent again.
    pub(super) async fn settle(&self, mail: &QueuedMail, outcome: MailOutcome) {
        let tries = self.lease_ms() / i64::try_from(SETTLE_AGAIN.as_millis()).unwrap_or(1);
        for _ in 0..tries {
            let settled = self.shop.inventory.mails().settle(mail, outcome.clone());
            if settled.await.is_ok() {
                return;
            }
            sleep(SETTLE_AGAIN).await;
        }
    }

    pub(super) fn now(&self) -> Time {
        self.shop.inventory.now()
    }
}

fn failed(mail: &QueuedMail, reason: String) -> MailOutcome {
    let (id, order, kind) = (&mail.mail.id, &mail.mail.order, mail.mail.kind.as_str());
    tracing::error!(id, order, kind, reason, "mail given up");
    MailOutcome::Failed { reason }
}

/// Returns half to all of the pause after so many failures, so that nodes do not come back in step.
fn pause(failures: u32) -> Duration {
    let [byte] = random::<1>();
    let pause = AWAY_MIN.saturating_mul(1 << failures.min(10)).min(AWAY_MAX);
    pause.mul_f64(0.5 + f64::from(byte) / 512.0)
}

/// Returns a reason on one line, of bounded length.
pub(super) fn bounded(reason: &str) -> String {
    let line = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(REASON_CHARS_MAX).collect()
}
