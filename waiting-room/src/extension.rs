//! The extension of an admission: more time to shop, once, by a token that ends later.

use crate::line::{Claimed, Line, Refused};
use shared::ids::EventId;
use shared::time::Time;
use shared::token::Claims;

/// Outcome of an extension.
#[derive(Debug)]
pub enum Extended {
    /// The slot lasts until the end of these claims.
    Until(Claims),
    /// The event allows none, or this admission was extended before.
    NotExtendable,
    /// The slot is gone.
    Lapsed,
}

/// Extends the admission with these claims, which the caller checked. The same claims are extended
/// to the same end, however often.
///
/// # Errors
/// As [`Line::extend`].
pub async fn extend(
    line: &dyn Line,
    event: &EventId,
    claims: &Claims,
) -> Result<Extended, Refused> {
    let Some(extended) = claims.extended() else {
        return Ok(Extended::NotExtendable);
    };
    let until = Time(extended.exp.saturating_mul(1000));
    let claimed = line.extend(event, claims.sub, claims.number, until).await?;
    Ok(match claimed {
        Claimed::Until(_) => Extended::Until(extended),
        Claimed::Lapsed => Extended::Lapsed,
    })
}
