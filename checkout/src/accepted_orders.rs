//! Orders that this process has accepted, to be made once the store answers.

use parking_lot::Mutex;
use shared::http::problem::Problem;
use shared::time::Time;
use std::collections::HashMap;

/// Largest number of orders that one process has accepted and not made yet.
const ACCEPTED_MAX: usize = 10_000;

/// The orders that this process has accepted, and the refusals of those that it could not make.
#[derive(Default)]
pub struct AcceptedOrders(
    /// Locked for a look-up, never across an await.
    Mutex<HashMap<String, Accepted>>,
);

struct Accepted {
    until: Time,
    refusal: Option<Problem>,
}

impl AcceptedOrders {
    /// Enters an order; false if there are too many.
    pub(crate) fn enter(&self, id: &str, until: Time, now: Time) -> bool {
        let mut all = self.0.lock();
        if all.len() >= ACCEPTED_MAX {
            all.retain(|_, accepted| accepted.until > now);
        }
        if all.len() >= ACCEPTED_MAX {
            return false;
        }
        let refusal = None;
        all.insert(id.to_owned(), Accepted { until, refusal });
        true
    }

    /// Keeps why an order was not made; one that was made is found in the store.
    pub(crate) fn end(&self, id: &str, refusal: Option<Problem>) {
        let mut all = self.0.lock();
        match (all.get_mut(id), refusal) {
            (Some(accepted), Some(refusal)) => accepted.refusal = Some(refusal),
            _ => drop(all.remove(id)),
        }
    }

    /// Returns why an order was not made.
    pub(crate) fn refusal(&self, id: &str) -> Option<Problem> {
        let all = self.0.lock();
        all.get(id)?.refusal.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_orders_are_accepted_than_are_kept_and_old_ones_make_room() {
        let orders = AcceptedOrders::default();
        for at in 0..ACCEPTED_MAX {
            assert!(orders.enter(&format!("ord_{at}"), Time(1000), Time(0)));
        }
        assert!(!orders.enter("ord_x", Time(1000), Time(999)));
        orders.end("ord_0", Some(Problem::unavailable()));
        orders.end("ord_1", None);
        assert!(orders.refusal("ord_0").is_some());
        assert!(orders.refusal("ord_1").is_none());
        assert!(orders.enter("ord_x", Time(3000), Time(999)));
        assert!(orders.enter("ord_y", Time(3000), Time(2000)));
        assert!(orders.refusal("ord_0").is_none());
    }
}
