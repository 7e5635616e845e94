//! Settings of the gate.

/// What the gate does where an event's line does not say.
#[derive(Clone, Copy, Debug)]
pub struct GateSettings {
    /// Whether everyone passes the gate of an event that does not exist.
    pub unknown_event_passes: bool,
    /// Largest number of clients of one admission; 0 sets none.
    pub clients_max: usize,
}
