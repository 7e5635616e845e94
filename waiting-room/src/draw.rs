//! The draw.

/// The beacons whose rounds may be mixed in, and their public keys.
pub(crate) const BEACONS: [(&str, &str); 2] = [("quicknet", ""), ("default", "")];
