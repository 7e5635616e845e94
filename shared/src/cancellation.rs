//! Cancellation of a show, as both services store it and fans are told it.

use crate::texts::Language;
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// Largest number of characters of a reason.
pub const REASON_CHARS_MAX: usize = 300;

/// Cancellation of a show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancellation {
    /// The organiser's reason, as fans read it.
    #[schema(min_length = 1, max_length = 300)]
    pub reason: String,
    /// When it was cancelled.
    pub at: Time,
}

impl Cancellation {
    /// Returns the sentences that tell fans.
    pub fn for_people(&self, language: Language) -> String {
        language.phrase("event.cancelled", &[("reason", &self.reason)])
    }
}
