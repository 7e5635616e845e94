//! Signs of a proxy in front that does not fit the settings: each is logged once, and listed for
//! organisers with the setting to change.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// Longest example of a sign, in characters.
const SEEN_CHARS_MAX: usize = 200;
/// Number of requests in a row with too few addresses that show that too many proxies are trusted.
/// Single ones may have come past one of the proxies.
pub(super) const SHORT_MIN: u32 = 20;

/// Kind of a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignKind {
    /// `X-Forwarded-For` arrives and is not believed.
    ForwardedNotTrusted,
    /// The address that is believed is that of another proxy.
    TooFewHops,
    /// Most requests have fewer addresses than proxies are trusted.
    TooManyHops,
    /// No address stands where it is expected.
    NoAddress,
    /// `X-Forwarded-Proto` is not the scheme of the public URL.
    OtherScheme,
    /// Pages are opened by a name that is not allowed.
    OtherName,
    /// Handshakes of WebSockets arrive without the headers that make them one.
    LostUpgrade,
}

impl SignKind {
    const ALL: [SignKind; 7] = [
        SignKind::ForwardedNotTrusted,
        SignKind::TooFewHops,
        SignKind::TooManyHops,
        SignKind::NoAddress,
        SignKind::OtherScheme,
        SignKind::OtherName,
        SignKind::LostUpgrade,
    ];

    /// Returns what was noticed and what to change, as a sentence.
    fn text(self) -> &'static str {
        match self {
            SignKind::ForwardedNotTrusted => {
                "X-Forwarded-For arrives and is not believed: if a proxy in front writes it, set FAIRLINE_TRUSTED_HOPS to the number of proxies, or all fans share the limits of one address"
            }
            SignKind::TooFewHops => {
                "X-Forwarded-For names a private address where the client's should be, and more addresses before it: if that is a proxy of yours, raise FAIRLINE_TRUSTED_HOPS"
            }
            SignKind::TooManyHops => {
                "X-Forwarded-For has fewer addresses than FAIRLINE_TRUSTED_HOPS, in many requests in a row: lower it to the number of your proxies, or clients that send the header choose the address that they count as"
            }
            SignKind::NoAddress => {
                "X-Forwarded-For names no address where FAIRLINE_TRUSTED_HOPS says that it stands: such requests are under no limit per address"
            }
            SignKind::OtherScheme => {
                "X-Forwarded-Proto says otherwise than FAIRLINE_PUBLIC_URL: set it to the address that browsers use, or their joins and sockets are refused"
            }
            SignKind::OtherName => {
                "a page of ours was opened by a name that is not allowed, so its requests are refused: set FAIRLINE_PUBLIC_URL to it, or add it to FAIRLINE_ALLOWED_ORIGINS"
            }
            SignKind::LostUpgrade => {
                "a WebSocket handshake came without Connection: upgrade and Upgrade: websocket: the proxy in front must pass both on; pages poll until it does"
            }
        }
    }

    /// Returns the setting to change; none where it is one of the proxy.
    fn setting(self) -> Option<&'static str> {
        match self {
            SignKind::ForwardedNotTrusted
            | SignKind::TooFewHops
            | SignKind::TooManyHops
            | SignKind::NoAddress => Some("FAIRLINE_TRUSTED_HOPS"),
            SignKind::OtherScheme => Some("FAIRLINE_PUBLIC_URL"),
            SignKind::OtherName => Some("FAIRLINE_ALLOWED_ORIGINS"),
            SignKind::LostUpgrade => None,
        }
    }
}

/// A sign that was noticed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ProxySign {
    kind: SignKind,
    /// The sign and the remedy, as a sentence.
    #[schema(value_type = String)]
    text: &'static str,
    /// The setting to change; null where the proxy has to be changed.
    #[schema(value_type = Option<String>)]
    setting: Option<&'static str>,
    /// Text of the first such request; never an address of a client.
    seen: Option<String>,
    /// Number of requests since this process started.
    requests: u64,
    first_at: Time,
    last_at: Time,
}

/// The signs that this process noticed since it started.
#[derive(Default)]
pub struct ProxySigns {
    noticed: [Noticed; SignKind::ALL.len()],
    /// Requests with too few addresses since the last one with enough.
    short: AtomicU32,
}

#[derive(Default)]
struct Noticed {
    requests: AtomicU64,
    first_ms: AtomicI64,
    last_ms: AtomicI64,
    seen: OnceLock<String>,
}

impl ProxySigns {
    /// Records a request with a sign, and logs the first one with what it said.
    pub(super) fn notice(&self, kind: SignKind, now: Time, seen: impl FnOnce() -> String) {
        let noticed = &self.noticed[kind as usize];
        noticed.last_ms.store(now.0, Ordering::Relaxed);
        if noticed.requests.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        noticed.first_ms.store(now.0, Ordering::Relaxed);
        let seen: String = seen().chars().take(SEEN_CHARS_MAX).collect();
        let seen = Some(seen).filter(|seen| !seen.is_empty());
        tracing::warn!(
            what = kind.text(),
            seen,
            "a proxy in front does not fit the settings"
        );
        if let Some(seen) = seen {
            let _ = noticed.seen.set(seen);
        }
    }

    /// Records whether a request had as many addresses as proxies are trusted, and returns whether
    /// many in a row had not.
    pub(super) fn are_many_short(&self, is_short: bool) -> bool {
        if is_short {
            return self.short.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= SHORT_MIN;
        }
        // Read first: as good as all requests of a sound set-up come here.
        if self.short.load(Ordering::Relaxed) > 0 {
            self.short.store(0, Ordering::Relaxed);
        }
        false
    }

    /// Returns the signs that were noticed.
    pub(super) fn list(&self) -> Vec<ProxySign> {
        let all = SignKind::ALL.into_iter().zip(&self.noticed);
        let noticed = all.map(|(kind, noticed)| ProxySign {
            kind,
            text: kind.text(),
            setting: kind.setting(),
            seen: noticed.seen.get().cloned(),
            requests: noticed.requests.load(Ordering::Relaxed),
            first_at: Time(noticed.first_ms.load(Ordering::Relaxed)),
            last_at: Time(noticed.last_ms.load(Ordering::Relaxed)),
        });
        noticed.filter(|sign| sign.requests > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_listed_once_with_its_first_example_and_the_setting_to_change() {
        let signs = ProxySigns::default();
        assert!(signs.list().is_empty());
        for (at, seen) in [(1000, "http".repeat(100)), (5000, "other".to_owned())] {
            signs.notice(SignKind::OtherScheme, Time(at), || seen);
        }
        let [sign] = &signs.list()[..] else {
            panic!("one sign");
        };
        assert_eq!(sign.kind, SignKind::OtherScheme);
        assert_eq!(sign.setting, Some("FAIRLINE_PUBLIC_URL"));
        assert_eq!(sign.seen.as_ref().unwrap().len(), SEEN_CHARS_MAX);
        assert_eq!(
            (sign.requests, sign.first_at, sign.last_at),
            (2, Time(1000), Time(5000))
        );
    }

    #[test]
    fn the_order_of_the_list_is_that_of_the_kinds() {
        for (at, kind) in SignKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
            let setting = kind.setting();
            assert!(setting.is_none_or(|setting| kind.text().contains(setting)));
        }
    }
}
