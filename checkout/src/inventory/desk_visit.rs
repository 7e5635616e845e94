//! Names of the admissions by which sales at the desk open their visits.

/// Begins the name of one whose seats are blocked ones.
const OF_BLOCKED: &str = "desk, blocked seats ";

/// Returns the name of the admission of a sale.
pub(super) fn name(seed: &str, sells_blocked: bool) -> String {
    match sells_blocked {
        true => format!("{OF_BLOCKED}{seed}"),
        false => format!("desk {seed}"),
    }
}

/// Returns whether the seats held in the visit of this admission are blocked ones.
pub(super) fn is_for_blocked(name: &str) -> bool {
    name.starts_with(OF_BLOCKED)
}
