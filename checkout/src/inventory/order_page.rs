//! A page of an event's orders, as it is asked for.

/// Some of an event's orders, the newest first.
#[derive(Clone, Debug, Default)]
pub struct OrderPage {
    /// The order after which it begins; the newest if absent.
    pub after: Option<String>,
    /// Only orders in this state.
    pub state: Option<String>,
    /// Largest number of orders.
    pub limit: u32,
}

impl OrderPage {
    /// Returns the page of the newest orders.
    pub fn newest(limit: u32) -> OrderPage {
        OrderPage {
            limit,
            ..OrderPage::default()
        }
    }
}
