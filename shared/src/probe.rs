//! Asks a running process how it is, for containers without a shell and for scripts.

use crate::log;
use crate::mistakes::Mistakes;
use crate::process::exit;
use crate::remote::RemoteService;
use crate::settings::{Common, Probe};
use axum::http::Method;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the process that has these settings and prints the answer. Exit code 0: yes; 1: no, or no
/// answer came; 2: the settings are wrong.
pub async fn ask(probe: Probe, common: &Common) -> ExitCode {
    let mut mistakes = Mistakes::default();
    let listener = common.ops_listener(&mut mistakes);
    match mistakes.into_result() {
        Ok(()) => ask_at(probe, listener).await,
        Err(mistakes) => exit("probe", Err(mistakes)),
    }
}

/// As `ask`, of the process with this operations listener.
pub async fn ask_at(probe: Probe, listener: SocketAddr) -> ExitCode {
    let listener = reachable(listener);
    let process = RemoteService::new("process", &format!("http://{listener}"), PATIENCE);
    let path = match probe {
        Probe::Livez => "/livez",
        Probe::Readyz => "/readyz",
    };
    let Some((status, body)) = process.ask(Method::GET, path, "", None).await else {
        log::print_error(format_args!("no answer from {listener}"));
        return ExitCode::FAILURE;
    };
    log::print(String::from_utf8_lossy(&body).trim_end());
    if status.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Returns the address at which a listener of this machine is reached: a listener on all addresses
/// is asked on loopback.
fn reachable(mut listener: SocketAddr) -> SocketAddr {
    if listener.ip().is_unspecified() {
        listener.set_ip(match listener {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    listener
}
