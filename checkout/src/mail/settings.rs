//! Settings of mail.

use super::address::MailServer;
use super::dkim::DkimKey;
use super::message::{Origin, Sealed};
use lettre::Address;
use lettre::message::Mailbox;
use shared::arguments::filled;
use shared::crypto::Secret;
use shared::http::rate_limit::{AddressLimiter, KeyLimiter, Limited, Limiter, SharedBuckets};
use shared::mistakes::Mistakes;
use shared::time::Time;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Requests for lists of orders that a client address may make in an hour.
const LOOK_UPS_PER_HOUR: u32 = 20;
/// Lists of orders that an address is sent in an hour.
const LISTS_PER_HOUR: u32 = 3;
/// Places for which an address is told of the turn, in an hour.
const LINE_ADDRESSES_PER_HOUR: u32 = 5;
/// Times that the confirmation of one order may be sent again in an hour.
const RESENT_PER_HOUR: u32 = 3;

/// The mail server, who sends, and limits.
pub(crate) struct Mailer {
    pub(crate) server: MailServer,
    pub(super) origin: Origin,
    /// Key with which mails are signed; none where the mail server signs.
    dkim: Option<DkimKey>,
    /// Requests for lists of orders, of a client address.
    pub(crate) look_ups: AddressLimiter,
    /// Requests for the list of one address.
    pub(crate) looked_up: KeyLimiter,
    /// Places in line for which an address is named.
    pub(crate) line_addresses: KeyLimiter,
    /// Confirmations that are sent again, of an order.
    pub(crate) resent: KeyLimiter,
}

impl Mailer {
    fn new(server: MailServer, origin: Origin, dkim: Option<DkimKey>) -> Mailer {
        Mailer {
            server,
            origin,
            dkim,
            look_ups: AddressLimiter::new(Limited::LookUps, |factor| {
                Limiter::per_hour(LOOK_UPS_PER_HOUR.saturating_mul(factor))
            }),
            looked_up: KeyLimiter::new(Limited::Lists, Limiter::per_hour(LISTS_PER_HOUR)),
            line_addresses: KeyLimiter::new(
                Limited::LineAddresses,
                Limiter::per_hour(LINE_ADDRESSES_PER_HOUR),
            ),
            resent: KeyLimiter::new(Limited::Resent, Limiter::per_hour(RESENT_PER_HOUR)),
        }
    }

    /// Signs a mail, if there is a key.
    ///
    /// # Errors
    /// Why it cannot be signed.
    pub(super) fn signed(&self, sealed: Sealed, now: Time) -> Result<Sealed, String> {
        let Some(key) = &self.dkim else {
            return Ok(sealed);
        };
        let content = key.sign(&sealed.content, now)?;
        Ok(Sealed { content, ..sealed })
    }

    /// Counts together with all processes that have the same store and secret.
    pub(crate) fn share_limits<S: SharedBuckets + 'static>(&self, store: &Arc<S>, secret: &Secret) {
        self.look_ups.share(store.clone(), secret.clone());
        self.looked_up.share(store.clone(), secret.clone());
        self.line_addresses.share(store.clone(), secret.clone());
        self.resent.share(store.clone(), secret.clone());
    }

    /// Reports what was counted to the store, until the stop signal.
    pub(super) async fn report(&self, stop: &CancellationToken) {
        tokio::join!(
            self.look_ups.report(stop),
            self.looked_up.report(stop),
            self.line_addresses.report(stop),
            self.resent.report(stop)
        );
    }
}

/// Settings of mail, as written by the operator.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MailArgs {
    /// Mail server that takes mail to buyers and fans: smtp://user@host:587 (TLS by STARTTLS) or
    /// smtps://user@host:465 [default: none, and no mail is sent]
    #[arg(long, env = "FAIRLINE_SMTP", hide_env_values = true, global = true)]
    pub smtp: Option<String>,
    /// Password of the user in FAIRLINE_SMTP
    #[arg(
        long,
        env = "FAIRLINE_SMTP_PASSWORD",
        hide_env_values = true,
        global = true
    )]
    pub smtp_password: Option<String>,
    /// Sender of mail to buyers, such as `Arena Tickets <tickets@arena.example>`; needed with
    /// FAIRLINE_SMTP
    #[arg(long, env = "FAIRLINE_MAIL_FROM", global = true)]
    pub mail_from: Option<String>,
    /// Address that gets reports on mails that cannot be delivered [default: that of the sender]
    #[arg(long, env = "FAIRLINE_MAIL_RETURN_PATH", global = true)]
    pub mail_return_path: Option<String>,
    /// Selector under which the domain of the sender publishes the DKIM key, such as `fairline`
    /// [default: none, and the mail server signs]
    #[arg(long, env = "FAIRLINE_DKIM_SELECTOR", global = true)]
    pub dkim_selector: Option<String>,
    /// Private key with which mails are signed (PEM; RSA of 2048 bits or more, or Ed25519); needed with
    /// FAIRLINE_DKIM_SELECTOR
    #[arg(long, env = "FAIRLINE_DKIM_KEY", hide_env_values = true, global = true)]
    pub dkim_key: Option<String>,
}

impl MailArgs {
    /// Reads the settings, and records every mistake. None if no mail server is set.
    pub(crate) fn read(&self, mistakes: &mut Mistakes) -> Option<Mailer> {
        let (password, from) = (
            filled(self.smtp_password.as_deref()),
            filled(self.mail_from.as_deref()),
        );
        let return_path = filled(self.mail_return_path.as_deref());
        let (selector, key) = (
            filled(self.dkim_selector.as_deref()),
            filled(self.dkim_key.as_deref()),
        );
        let Some(url) = filled(self.smtp.as_deref()) else {
            for (name, value) in [
                ("SMTP_PASSWORD", &password),
                ("MAIL_FROM", &from),
                ("MAIL_RETURN_PATH", &return_path),
                ("DKIM_SELECTOR", &selector),
                ("DKIM_KEY", &key),
            ] {
                if value.is_some() {
                    mistakes.add(format!("FAIRLINE_{name}: needs FAIRLINE_SMTP"));
                }
            }
            return None;
        };
        let server = MailServer::parse(url, password);
        let server = mistakes.take("FAIRLINE_SMTP", server);
        let from = from.ok_or_else(|| "needed with FAIRLINE_SMTP".to_owned());
        let sender = from.and_then(|from| {
            let why = |_| "an address such as tickets@arena.example, or Arena Tickets <tickets@arena.example>";
            from.parse::<Mailbox>().map_err(why).map_err(str::to_owned)
        });
        let sender = mistakes.take("FAIRLINE_MAIL_FROM", sender);
        let return_path = return_path.map(|path| {
            let read = path.parse::<Address>();
            let read = read.map_err(|_| "an address such as bounces@arena.example".to_owned());
            mistakes.take("FAIRLINE_MAIL_RETURN_PATH", read)
        });
        let (server, sender) = server.zip(sender)?;
        let return_path = return_path.unwrap_or_else(|| Some(sender.email.clone()))?;
        let dkim = match (selector, key) {
            (None, None) => None,
            (Some(selector), Some(key)) => {
                let read = DkimKey::read(selector, key, sender.email.domain());
                let read =
                    read.map_err(|(name, why)| mistakes.add(format!("FAIRLINE_{name}: {why}")));
                Some(read.ok()?)
            }
            (Some(_), None) => {
                mistakes.add("FAIRLINE_DKIM_KEY: needed with FAIRLINE_DKIM_SELECTOR".to_owned());
                return None;
            }
            (None, Some(_)) => {
                mistakes.add("FAIRLINE_DKIM_SELECTOR: needed with FAIRLINE_DKIM_KEY".to_owned());
                return None;
            }
        };
        let origin = Origin {
            sender,
            return_path,
        };
        Some(Mailer::new(server, origin, dkim))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(smtp: &str, password: &str, from: &str) -> Vec<String> {
        let args = MailArgs {
            smtp: Some(smtp.into()),
            smtp_password: Some(password.into()),
            mail_from: Some(from.into()),
            ..MailArgs::default()
        };
        let mut mistakes = Mistakes::default();
        let server = args.read(&mut mistakes);
        assert_eq!(server.is_some(), mistakes.0.is_empty() && !smtp.is_empty());
        mistakes.0
    }

    #[test]
    fn each_mistake_is_named_and_none_shows_a_password() {
        let from = "Arena <tickets@arena.example>";
        for (smtp, password, from, name) in [
            ("http://host", "", from, "SMTP"),
            ("smtp://", "", from, "SMTP"),
            ("smtp://host/path", "", from, "SMTP"),
            ("smtp://host#x", "", from, "SMTP"),
            ("smtp://user@host", "", from, "SMTP"),
            ("smtp://host", "secret", from, "SMTP"),
            ("smtp://user:secret@host", "secret", from, "SMTP"),
            ("smtp://host?tls=maybe", "", from, "SMTP"),
            ("smtps://host?tls=off", "", from, "SMTP"),
            ("smtp://host?what=1", "", from, "SMTP"),
            ("smtp://host?timeout_seconds=0", "", from, "SMTP"),
            ("smtp://host?timeout_seconds=301", "", from, "SMTP"),
            ("smtp://host?sslrootcert=/nowhere.pem", "", from, "SMTP"),
            ("smtp://host", "", "", "MAIL_FROM"),
            ("smtp://host", "", "Arena", "MAIL_FROM"),
            (
                "smtp://host",
                "",
                "a@b.example\r\nBcc: c@d.example",
                "MAIL_FROM",
            ),
            ("", "secret", "", "SMTP_PASSWORD"),
            ("", "", from, "MAIL_FROM"),
        ] {
            let mistakes = mistakes(smtp, password, from);
            assert_eq!(mistakes.len(), 1, "{smtp} {from}: {mistakes:?}");
            assert!(
                mistakes[0].starts_with(&format!("FAIRLINE_{name}: ")),
                "{mistakes:?}"
            );
            assert!(!mistakes[0].contains("secret"), "{mistakes:?}");
        }
        for smtp in [
            "smtp://host",
            "smtp://127.0.0.1:25",
            "smtps://user:pass%40word@mail.example:465",
            "smtp://mailpit:1025?tls=off",
            "smtp://localhost?tls=on",
            "smtp://host?timeout_seconds=5",
        ] {
            assert!(mistakes(smtp, "", from).is_empty(), "{smtp}");
        }
        let args = MailArgs {
            smtp: Some("smtp://host".into()),
            mail_from: Some(from.into()),
            mail_return_path: Some("Bounces <b@arena.example>".into()),
            ..MailArgs::default()
        };
        let mut wrong = Mistakes::default();
        assert!(args.read(&mut wrong).is_none());
        assert!(
            wrong.0[0].starts_with("FAIRLINE_MAIL_RETURN_PATH: an address"),
            "{:?}",
            wrong.0
        );
        assert!(mistakes("smtp://user@host", "secret", from).is_empty());
        assert!(mistakes("", "", "").is_empty());
    }
}
