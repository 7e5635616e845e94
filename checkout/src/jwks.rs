//! The public keys of admission tokens, fetched again from the waiting room.

use crate::waiting_room::RemoteWaitingRoom;
use parking_lot::RwLock;
use shared::ids::EventId;
use shared::time::Time;
use shared::token::{Claims, Refused, Verifier};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Shortest time between two fetches of the key set because of unknown keys.
const REFETCH: Duration = Duration::from_secs(30);
/// Pause after a fetch that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Time between two fetches without unknown keys, as its `Cache-Control` says: a key that was
/// published this long before it signs is never refused.
pub const REFRESH: Duration = Duration::from_secs(300);

/// The keys of admission tokens: given once, or fetched from the waiting room.
pub struct Jwks {
    verifier: RwLock<Option<Arc<Verifier>>>,
    source: Option<Source>,
}

struct Source {
    remote: RemoteWaitingRoom,
    issuer: String,
    fetched: Mutex<Fetched>,
}

/// The last attempt, and the last for the sake of an unknown key.
#[derive(Default)]
struct Fetched {
    at: Option<Instant>,
    for_unknown_at: Option<Instant>,
    is_fine: bool,
}

/// Reason for fetching the set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    UnknownKey,
    Age,
}

impl Jwks {
    /// Keys of a waiting room in this process.
    pub fn given(verifier: Verifier) -> Jwks {
        Jwks {
            verifier: RwLock::new(Some(Arc::new(verifier))),
            source: None,
        }
    }

    /// Keys of a waiting room elsewhere, whose tokens name this issuer.
    pub fn fetched(remote: RemoteWaitingRoom, issuer: String) -> Jwks {
        let source = Source {
            remote,
            issuer,
            fetched: Mutex::default(),
        };
        Jwks {
            verifier: RwLock::default(),
            source: Some(source),
        }
    }

    /// Checks a token. An unknown key may be a new one: the set is fetched again, not more often
    /// than twice a minute.
    ///
    /// # Errors
    /// The reason for refusing it.
    pub async fn verify(&self, token: &str, event: &EventId, now: Time) -> Result<Claims, Refused> {
        let known = self.known();
        match known.map(|known| known.verify(token, event, now)) {
            None | Some(Err(Refused::UnknownKey)) => {}
            Some(outcome) => return outcome,
        }
        let is_fine = self.fetch(Why::UnknownKey).await;
        let verifier = self.known().ok_or(Refused::NoKeys)?;
        match verifier.verify(token, event, now) {
            Err(Refused::UnknownKey) if !is_fine => Err(Refused::NoKeys),
            outcome => outcome,
        }
    }

    /// Fetches the set if it was not fetched for a while.
    pub async fn refresh(&self) {
        self.fetch(Why::Age).await;
    }

    fn known(&self) -> Option<Arc<Verifier>> {
        self.verifier.read().clone()
    }

    /// Fetches the set if that is due. Returns whether the last attempt succeeded. One caller
    /// fetches; the others wait for its result.
    async fn fetch(&self, why: Why) -> bool {
        let Some(source) = &self.source else {
            return true;
        };
        let mut fetched = source.fetched.lock().await;
        let (last, pause) = match why {
            _ if !fetched.is_fine => (fetched.at, RETRY),
            Why::UnknownKey => (fetched.for_unknown_at, REFETCH),
            Why::Age => (fetched.at, REFRESH),
        };
        if last.is_some_and(|at| at.elapsed() < pause) {
            return fetched.is_fine;
        }
        fetched.at = Some(Instant::now());
        if why == Why::UnknownKey {
            fetched.for_unknown_at = fetched.at;
        }
        let keys = source.remote.keys().await;
        let verifier = keys.and_then(|keys| Verifier::from_jwks(&keys, &source.issuer).ok());
        fetched.is_fine = verifier.is_some();
        match verifier {
            Some(verifier) => {
                let mut kept = self.verifier.write();
                *kept = Some(Arc::new(verifier));
                tracing::info!("fetched the keys of the waiting room");
            }
            None => tracing::warn!("the keys of the waiting room could not be fetched"),
        }
        fetched.is_fine
    }
}
