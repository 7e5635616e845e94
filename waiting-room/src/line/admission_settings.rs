//! The settings by which fans are admitted: their fields, how a patch is applied, and validation.

use serde::{Deserialize, Serialize};

/// Rate of admission, and time limits of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admission {
    /// Maximum number of fans admitted per minute.
    #[schema(maximum = 6_000_000)]
    pub rate_per_minute: u32,
    /// Seconds between two batches of admissions.
    #[schema(minimum = 1, maximum = 60)]
    pub batch_seconds: u32,
    /// Maximum number of fans admitted or shopping at the same time.
    #[schema(maximum = 1_000_000)]
    pub max_active: u32,
    /// Seconds an admitted fan has to enter the checkout.
    #[schema(minimum = 1, maximum = 86_400)]
    pub claim_seconds: u32,
    /// Seconds a fan may shop.
    #[schema(minimum = 1, maximum = 86_400)]
    pub session_seconds: u32,
    /// Seconds by which a fan may extend their session, once; no more than `session_seconds`. 0: never.
    #[schema(maximum = 86_400)]
    pub extension_seconds: u32,
    /// Seconds a place is kept for a fan who is neither connected nor polling.
    #[schema(minimum = 1, maximum = 86_400)]
    pub away_seconds: u32,
}

impl Default for Admission {
    fn default() -> Self {
        Admission {
            rate_per_minute: 600,
            batch_seconds: 5,
            max_active: 500,
            claim_seconds: 120,
            session_seconds: 600,
            extension_seconds: 300,
            away_seconds: 600,
        }
    }
}

impl Admission {
    /// Returns the seconds by which a session may be extended.
    pub fn extension(&self) -> u32 {
        self.extension_seconds.min(self.session_seconds)
    }

    /// Returns these settings with a patch applied.
    pub(super) fn with(&self, patch: &AdmissionPatch) -> Admission {
        let mut next = *self;
        set(&mut next.rate_per_minute, &patch.rate_per_minute);
        set(&mut next.batch_seconds, &patch.batch_seconds);
        set(&mut next.max_active, &patch.max_active);
        set(&mut next.claim_seconds, &patch.claim_seconds);
        set(&mut next.session_seconds, &patch.session_seconds);
        set(&mut next.extension_seconds, &patch.extension_seconds);
        set(&mut next.away_seconds, &patch.away_seconds);
        next
    }

    /// Returns the invalid fields, each with the rule it breaks.
    pub(super) fn mistakes(&self) -> Vec<(String, String)> {
        let fields = [
            ("batch_seconds", self.batch_seconds, 1, 60),
            ("claim_seconds", self.claim_seconds, 1, 86_400),
            ("session_seconds", self.session_seconds, 1, 86_400),
            ("away_seconds", self.away_seconds, 1, 86_400),
            ("rate_per_minute", self.rate_per_minute, 0, 6_000_000),
            ("max_active", self.max_active, 0, 1_000_000),
            ("extension_seconds", self.extension_seconds, 0, 86_400),
        ];
        let is_wrong =
            |(_, value, least, most): &(_, u32, u32, u32)| !(*least..=*most).contains(value);
        let wrong = fields.into_iter().filter(is_wrong);
        let told = wrong.map(|(field, _, least, most)| {
            let rule = match least {
                0 => format!("at most {most}"),
                _ => format!("{least} to {most}"),
            };
            (format!("admission.{field}"), rule)
        });
        told.collect()
    }
}

/// Any of the admission settings.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 6_000_000)]
    pub rate_per_minute: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 60)]
    pub batch_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1_000_000)]
    pub max_active: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86_400)]
    pub claim_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86_400)]
    pub session_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 86_400)]
    pub extension_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86_400)]
    pub away_seconds: Option<u32>,
}

impl AdmissionPatch {
    /// Returns whether the patch changes only what an operator may change.
    pub(super) fn is_steering(&self) -> bool {
        self.claim_seconds.is_none()
            && self.session_seconds.is_none()
            && self.extension_seconds.is_none()
            && self.away_seconds.is_none()
    }
}

/// Applies one field of a patch.
pub(super) fn set<T: Clone>(field: &mut T, value: &Option<T>) {
    if let Some(value) = value {
        *field = value.clone();
    }
}
