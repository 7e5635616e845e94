//! A connection to the mail server. It is lettre's, command by command: whether a mail may be sent
//! again depends on whether its content had been sent when the connection broke off.

use super::address::{Encryption, MailServer};
use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use std::error::Error as _;
use std::io;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Time for which a connection is kept without a mail. Servers close idle ones after minutes.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// A mail, or a connection, that the mail server did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MailFailure {
    pub(super) kind: MailFailureKind,
    /// Why, for the organiser. Holds no credentials.
    pub(super) why: String,
}

/// Consequence of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MailFailureKind {
    /// The mail server does not answer, or takes nothing for the moment.
    Away,
    /// It refuses this client: its login, or its lack of one; or its certificate is not trusted.
    Denied,
    /// It does not take this mail now (4xx).
    Deferred,
    /// It will never take this mail (5xx).
    Rejected,
    /// It was sent the content of this mail, and did not say whether it has it.
    Unanswered,
}

impl MailFailureKind {
    /// All kinds.
    pub(super) const ALL: [MailFailureKind; 5] = [
        MailFailureKind::Away,
        MailFailureKind::Denied,
        MailFailureKind::Deferred,
        MailFailureKind::Rejected,
        MailFailureKind::Unanswered,
    ];

    /// Returns the name in metrics and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            MailFailureKind::Away => "away",
            MailFailureKind::Denied => "denied",
            MailFailureKind::Deferred => "deferred",
            MailFailureKind::Rejected => "rejected",
            MailFailureKind::Unanswered => "unanswered",
        }
    }
}

impl MailFailure {
    pub(super) fn new(kind: MailFailureKind, why: impl Into<String>) -> MailFailure {
        let why = why.into();
        MailFailure { kind, why }
    }

    /// Returns the failure of a connection.
    fn of_connection(error: &Error) -> MailFailure {
        let is_denied = error.is_client() || error.is_permanent() || has_bad_certificate(error);
        let kind = match is_denied {
            true => MailFailureKind::Denied,
            false => MailFailureKind::Away,
        };
        MailFailure::new(kind, words(error))
    }

    /// Returns the failure of a mail whose content was not sent.
    fn of_mail(error: &Error) -> MailFailure {
        let kind = match () {
            () if error.is_permanent() => MailFailureKind::Rejected,
            () if error.is_transient() => MailFailureKind::Deferred,
            () => MailFailureKind::Away,
        };
        MailFailure::new(kind, words(error))
    }

    /// Returns the failure of a mail whose content was sent.
    fn of_content(error: &Error) -> MailFailure {
        let failure = MailFailure::of_mail(error);
        match failure.kind {
            MailFailureKind::Away => MailFailure::new(MailFailureKind::Unanswered, failure.why),
            _ => failure,
        }
    }
}

/// An open connection, logged in.
pub(super) struct SmtpConnection {
    connection: AsyncSmtpConnection,
    patience: Duration,
    used_at: Instant,
}

impl SmtpConnection {
    /// Connects and logs in, within the server's patience.
    ///
    /// # Errors
    /// The server is away, or refuses this client.
    pub(super) async fn open(server: &MailServer) -> Result<SmtpConnection, MailFailure> {
        let connecting = timeout(server.patience, connect(server)).await;
        let connected =
            connecting.unwrap_or_else(|_| Err(late(MailFailureKind::Away, server.patience)));
        Ok(SmtpConnection {
            connection: connected?,
            patience: server.patience,
            used_at: Instant::now(),
        })
    }

    /// Returns whether the server has probably not closed it yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.used_at.elapsed() < IDLE_MAX
    }

    /// Hands a mail over. The connection is of no use after a failure.
    ///
    /// # Errors
    /// The mail server does not have it, or did not say.
    pub(super) async fn send(
        &mut self,
        envelope: &Envelope,
        mail: &[u8],
    ) -> Result<(), MailFailure> {
        let patience = self.patience;
        let named = timeout(patience, self.name(envelope)).await;
        named.unwrap_or_else(|_| Err(late(MailFailureKind::Away, patience)))?;
        match timeout(patience, self.connection.message(mail)).await {
            Ok(Ok(_)) => {
                self.used_at = Instant::now();
                Ok(())
            }
            Ok(Err(error)) => Err(MailFailure::of_content(&error)),
            Err(_) => Err(late(MailFailureKind::Unanswered, patience)),
        }
    }

    /// Names sender and recipient.
    async fn name(&mut self, envelope: &Envelope) -> Result<(), MailFailure> {
        let mut parameters = Vec::new();
        let mut addresses = envelope.from().into_iter().chain(envelope.to());
        if addresses.any(|address| !address.to_string().is_ascii()) {
            let info = self.connection.server_info();
            if !info.supports_feature(Extension::SmtpUtfEight) {
                let why = "the mail server takes no addresses with letters beyond ASCII (SMTPUTF8)";
                return Err(MailFailure::new(MailFailureKind::Rejected, why));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let failed = |error: Error| MailFailure::of_mail(&error);
        let from = Mail::new(envelope.from().cloned(), parameters);
        self.connection.command(from).await.map_err(failed)?;
        for to in envelope.to() {
            let to = Rcpt::new(to.clone(), Vec::new());
            self.connection.command(to).await.map_err(failed)?;
        }
        self.connection.command(Data).await.map_err(failed)?;
        Ok(())
    }

    /// Ends the connection as the protocol has it, within a second.
    pub(super) async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.connection.quit()).await;
    }
}

async fn connect(server: &MailServer) -> Result<AsyncSmtpConnection, MailFailure> {
    let failed = |error: Error| MailFailure::of_connection(&error);
    let (tls, start_tls) = match &server.encryption {
        Encryption::None => (None, None),
        Encryption::StartTls(parameters) => (None, Some(parameters.clone())),
        Encryption::Tls(parameters) => (Some(parameters.clone()), None),
    };
    let address = (server.host.as_str(), server.port);
    let hello = ClientId::default();
    let connecting = AsyncSmtpConnection::connect_tokio1(address, None, &hello, tls, None);
    let mut connection = connecting.await.map_err(failed)?;
    if let Some(parameters) = start_tls {
        if !connection.can_starttls() {
            let why = "the mail server offers no TLS (STARTTLS): use smtps://, or tls=off in a private network";
            return Err(MailFailure::new(MailFailureKind::Denied, why));
        }
        connection
            .starttls(parameters, &hello)
            .await
            .map_err(failed)?;
    }
    if let Some(login) = &server.login {
        let mechanisms = [Mechanism::Plain, Mechanism::Login];
        connection.auth(&mechanisms, login).await.map_err(failed)?;
    }
    Ok(connection)
}

fn late(kind: MailFailureKind, patience: Duration) -> MailFailure {
    let seconds = patience.as_secs();
    MailFailure::new(
        kind,
        format!("the mail server did not answer within {seconds} seconds"),
    )
}

/// Returns what the server said, or what happened to the connection.
fn words(error: &Error) -> String {
    let source = error.source().map(ToString::to_string);
    match (error.status(), source) {
        (Some(code), said) => {
            let said = without_addresses(&said.unwrap_or_default());
            format!("the mail server answers {code} {said}")
        }
        (None, Some(source)) => format!("the connection to the mail server failed: {source}"),
        (None, None) => format!("the connection to the mail server failed: {error}"),
    }
}

/// Returns an answer without the addresses that mail servers repeat, in whatever spelling.
pub(super) fn without_addresses(answer: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || "<>()[]\"',;".contains(c);
    let words = answer.split_inclusive(is_end).map(|part| {
        let word = part.trim_end_matches(is_end);
        let end = &part[word.len()..];
        match word.contains('@') {
            true => format!("the address{end}"),
            false => part.to_owned(),
        }
    });
    words.collect()
}

/// Returns whether TLS failed as the certificate is not trusted.
fn has_bad_certificate(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        let io = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let tls = io.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if tls.is_some_and(|tls| matches!(tls, rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        source = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_mail_server_is_shown_without_addresses() {
        for (answer, shown) in [
            (
                "5.1.1 <Ann@Example.com>: no such user",
                "5.1.1 <the address>: no such user",
            ),
            ("ann@xn--mnchen-3ya.example is full", "the address is full"),
            (
                "greylisted: \"a\",ann@b.example",
                "greylisted: \"a\",the address",
            ),
            (
                "to=<ann@b.example> ann@b.example.",
                "to=<the address> the address",
            ),
            ("5.7.1 try later", "5.7.1 try later"),
            ("", ""),
        ] {
            assert_eq!(without_addresses(answer), shown);
        }
    }
}
