//! Mails that came back: the row of the mail says so, and the address gets no further mails about orders.
//! A report counts only if the mail that it names was sent by us to the recipient that it names.

use super::connection::without_addresses;
use super::delivery_report::{DeliveryReport, FailedRecipient};
use super::instruments::count_bounced;
use super::message::address_of;
use super::sender::bounded;
use crate::app::Shop;
use crate::inventory::mail::{Bounce, MailKind, MailState, NewMail, StoredMail};
use crate::inventory::{InLine, Refused, comparable};
use shared::crypto::{decode, encode};
use shared::ids::EventId;
use shared::time::Time;

/// Longest id of a mail.
const ID_BYTES_MAX: usize = 200;

/// Recipient of a mail, as known now.
enum MailRecipient {
    /// The buyer of an order, with the address.
    Buyer(String),
    /// A fan in line, with the address and when it was left.
    Fan(InLine, String, Time),
}

impl Shop {
    /// Records a report of a mail server (RFC 3464). Returns the mail that came back, unless it is not
    /// known, was not sent to a recipient of the report, or has come back before.
    ///
    /// # Errors
    /// The inner one is the end of a sentence: what the report lacks.
    pub(crate) async fn take_delivery_report(
        &self,
        text: &[u8],
    ) -> Result<Result<Option<NewMail>, &'static str>, Refused> {
        let report = match DeliveryReport::read(text) {
            Ok(report) => report,
            Err(why) => return Ok(Err(why)),
        };
        let Some(ProvenId { id, mac }) = report.mail.as_deref().and_then(ProvenId::read) else {
            return Ok(Ok(None));
        };
        let Some(stored) = self.inventory.mails().find(id).await? else {
            return Ok(Ok(None));
        };
        let has_bounced = self.bounce(&stored, &mac, &report.failed).await?;
        if has_bounced {
            count_bounced(stored.mail.kind);
        }
        Ok(Ok(has_bounced.then_some(stored.mail)))
    }

    /// Returns the name of a mail in its `Message-ID`, without the domain: its id, and the proof that it was sent to
    /// this address. It is the same for every attempt, and another once an organiser sends the mail again.
    pub fn message_id(&self, id: &str, created_at: Time, address: &str) -> String {
        let mac = self.site.mail_secret.sign(&signed(id, created_at, address));
        format!("{id}.{}", encode(&mac))
    }

    /// Records that a mail came back, if its recipient is among these.
    async fn bounce(
        &self,
        StoredMail { mail, state }: &StoredMail,
        mac: &[u8],
        failed: &[FailedRecipient],
    ) -> Result<bool, Refused> {
        let Some(recipient) = self.recipient(mail).await? else {
            return Ok(false);
        };
        let (MailRecipient::Buyer(address) | MailRecipient::Fan(_, address, _)) = &recipient;
        let signed = signed(&mail.id, mail.created_at, address);
        if !self.site.mail_secret.verify(&signed, mac) {
            return Ok(false);
        }
        let Some(hash) = self.address_hash(address) else {
            return Ok(false);
        };
        let is_it = |named: &String| self.address_hash(named).as_deref() == Some(&*hash);
        let failed = failed.iter().find(|one| one.addresses.iter().any(is_it));
        match (failed, recipient) {
            (None, _) => Ok(false),
            (Some(failed), MailRecipient::Fan(place, _, created_at)) => {
                let counts = failed.is_gone && *state == MailState::Sent;
                if counts {
                    let mails = self.inventory.line_mails();
                    mails.remove(&place, created_at).await?;
                }
                Ok(counts)
            }
            (Some(failed), MailRecipient::Buyer(address)) => {
                let bounce = Bounce {
                    stopped: if failed.is_gone { hash } else { String::new() },
                    reason: in_words(&failed.reason, &address),
                };
                self.inventory.mails().bounce(&mail.id, &bounce).await
            }
        }
    }

    /// Returns the recipient of a mail; none of a list of orders, of which nothing is kept.
    async fn recipient(&self, mail: &NewMail) -> Result<Option<MailRecipient>, Refused> {
        match mail.kind {
            MailKind::Orders => Ok(None),
            MailKind::Soon | MailKind::Turn => {
                let Some(place) = InLine::of(mail) else {
                    return Ok(None);
                };
                let row = self.inventory.line_mails().find(&place).await?;
                Ok(row.map(|row| MailRecipient::Fan(place, row.mail.email, row.created_at)))
            }
            MailKind::Confirmed | MailKind::Refunded | MailKind::Cancelled | MailKind::Changed => {
                Ok(self.buyer_address(mail).await?.map(MailRecipient::Buyer))
            }
        }
    }

    /// Returns the address of the buyer whose order a mail is about.
    async fn buyer_address(&self, mail: &NewMail) -> Result<Option<String>, Refused> {
        let Ok(event) = EventId::parse(&mail.event) else {
            return Ok(None);
        };
        match self.inventory.order_details(&event, &mail.order).await {
            Ok(details) => Ok(details.order.buyer.map(|buyer| buyer.email)),
            Err(Refused::NoSuchOrder | Refused::NoSuchEvent) => Ok(None),
            Err(refused) => Err(refused),
        }
    }

    /// Lets mails be sent again to the buyer whose order a mail is about, though one came back.
    pub(crate) async fn resume_mails_of(&self, mail: &NewMail) -> Result<(), Refused> {
        match self.buyer_address(mail).await? {
            Some(address) => self.resume_mails_to(&address).await,
            None => Ok(()),
        }
    }

    /// Lets mails be sent again to an address, though one came back, and forgets that.
    pub(crate) async fn resume_mails_to(&self, address: &str) -> Result<(), Refused> {
        match self.address_hash(address) {
            Some(hash) => self.inventory.mails().resume(&hash).await,
            None => Ok(()),
        }
    }

    /// Returns why no mail about an order is sent to an address, if an earlier one came back.
    pub(super) async fn stopped(&self, address: &str) -> Result<Option<String>, Refused> {
        let Some(hash) = self.address_hash(address) else {
            return Ok(None);
        };
        let reason = self.inventory.mails().stopped(&hash).await?;
        let why = |reason| format!("not sent, as an earlier mail to this address {reason}");
        Ok(reason.map(why))
    }

    /// Returns the keyed hash of an address, whatever its capitals; none if the text is not an address.
    fn address_hash(&self, address: &str) -> Option<String> {
        let address = address_of(address.trim())?.to_string().to_lowercase();
        let hashed = format!("bounced\n{address}");
        Some(encode(&self.site.mail_secret.sign(hashed.as_bytes())))
    }
}

/// Name of a mail in a report.
struct ProvenId<'a> {
    id: &'a str,
    mac: Vec<u8>,
}

impl ProvenId<'_> {
    fn read(name: &str) -> Option<ProvenId<'_>> {
        let (id, mac) = name.rsplit_once('.')?;
        // Postgres takes no NUL.
        let is_id = id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
        let mac = decode(mac).filter(|_| is_id)?;
        Some(ProvenId { id, mac })
    }
}

/// Returns the text that proves to whom a mail was sent.
fn signed(id: &str, created_at: Time, address: &str) -> Vec<u8> {
    format!("message\n{id}\n{}\n{}", created_at.0, comparable(address)).into_bytes()
}

/// Returns the answer of a mail server as the reason, without the address of the recipient.
fn in_words(answer: &str, address: &str) -> String {
    let answer = without_addresses(answer);
    let (name, _) = address.rsplit_once('@').unwrap_or((address, ""));
    let is_end = |c: char| !(c.is_alphanumeric() || "._%+-".contains(c));
    let words = answer.split_inclusive(is_end).map(|part| {
        let word = part.trim_end_matches(is_end);
        match word.eq_ignore_ascii_case(name) {
            true => format!("…{}", &part[word.len()..]),
            false => part.to_owned(),
        }
    });
    let answer: String = words.collect();
    match answer.is_empty() {
        true => "came back without a reason".to_owned(),
        false => bounded(&format!("came back: {answer}")),
    }
}
