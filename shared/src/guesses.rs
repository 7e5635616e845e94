//! Comparison of long-lived keys: within the limits on wrong ones, and with a note in the audit log
//! of what was refused.

use crate::audit::Incident;
use crate::context::AppContext;
use crate::failures::Outcome;
use crate::http::problem::Problem;
use serde_json::Value;
use std::hash::Hash;
use std::net::IpAddr;

/// Kind of a long-lived key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Organiser keys and one-time codes.
    Organiser,
    /// The key between the services.
    Service,
}

/// Compares a key that was sent, unless too many were wrong: returns the result of `compare`.
///
/// # Errors
/// 429 after too many wrong keys; then nothing was compared.
pub async fn compare<T>(
    site: &AppContext,
    kind: KeyKind,
    address: Option<IpAddr>,
    guess: impl Hash + Send,
    compare: impl FnOnce() -> Option<T> + Send,
) -> Result<Option<T>, Problem> {
    let now = site.clock.now();
    let (failures, wrong, locked, refused) = match kind {
        KeyKind::Organiser => (
            &site.limits.organiser_keys,
            "key.wrong",
            "key.locked",
            "key.refused",
        ),
        KeyKind::Service => (
            &site.limits.service_key,
            "service-key.wrong",
            "service-key.locked",
            "service-key.refused",
        ),
    };
    let note = |action| {
        let incident = Incident {
            action,
            by: String::new(),
            address,
            about: Value::Null,
        };
        site.audit.note(incident, now);
    };
    match failures.attempt(address, now, guess, compare) {
        Outcome::Right(found) => Ok(Some(found)),
        Outcome::Wrong {
            is_limit_reached,
            failure,
        } => {
            note(wrong);
            let is_limit_of_all_reached = match failure {
                Some(failure) => failures.tell(address, failure, now).await,
                None => false,
            };
            if is_limit_reached || is_limit_of_all_reached {
                note(locked);
            }
            Ok(None)
        }
        Outcome::Refused {
            retry_after_seconds,
        } => {
            note(refused);
            Err(Problem::too_many(retry_after_seconds))
        }
    }
}
