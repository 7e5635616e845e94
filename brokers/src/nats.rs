//! Connections to NATS.

use crate::{Address, CONNECT, Failure, FailureKind, Host, Login};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, ServerAddr};

/// Largest number of messages whose acknowledgement is waited for.
pub const IN_FLIGHT_MAX: usize = 10_000;

/// Connects, and logs in.
///
/// # Errors
/// Why there is no connection.
pub async fn connect(address: &Address) -> Result<Client, Failure> {
    let scheme = if address.tls.is_some() { "tls" } else { "nats" };
    let server = |Host { name, port }: &Host| match name.contains(':') {
        true => format!("{scheme}://[{name}]:{port}").parse::<ServerAddr>(),
        false => format!("{scheme}://{name}:{port}").parse(),
    };
    let servers: Result<Vec<ServerAddr>, _> = address.hosts.iter().map(server).collect();
    let servers = servers.map_err(|error| Failure::new(FailureKind::Denied, error))?;
    let mut options = ConnectOptions::new()
        .name("fairline")
        .connection_timeout(CONNECT)
        .client_capacity(IN_FLIGHT_MAX);
    if let Some(tls) = &address.tls {
        options = options.require_tls(true).tls_client_config((**tls).clone());
    }
    options = match &address.login {
        Some(Login { user, password }) => match password {
            Some(password) => options.user_and_password(user.clone(), password.clone()),
            None => options.token(user.clone()),
        },
        None => options,
    };
    options.connect(servers).await.map_err(|error| {
        let kind = match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                FailureKind::Denied
            }
            ConnectErrorKind::Tls => FailureKind::Denied,
            _ if error.to_string().contains("invalid peer certificate") => FailureKind::Denied,
            _ => FailureKind::Away,
        };
        Failure::new(kind, format!("NATS: {error}"))
    })
}

/// Returns why streams cannot be asked for: a server without JetStream does not answer at all.
pub fn no_jetstream(error: &str) -> Failure {
    let is_absent = ["no responders", "jetstream not enabled", "10039", "10076"]
        .iter()
        .any(|sign| error.to_lowercase().contains(sign));
    match is_absent {
        true => Failure::new(
            FailureKind::Denied,
            "NATS has no JetStream: start it with -js, and let the account use it",
        ),
        false => Failure::new(FailureKind::Away, format!("NATS: {error}")),
    }
}
