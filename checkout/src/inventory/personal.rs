//! Personal data as it is stored: sealed, each field for its own row.

use super::model::Buyer;
use super::records::Key;
use shared::crypto::hex;
use shared::ids::{EventId, VisitorId};
use shared::sealing::SealingKeys;
use shared::time::Time;

/// Name of an order among those of all events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderKey {
    /// The event.
    pub event: EventId,
    /// `ord_…`
    pub id: String,
}

/// The buyer of an order, as stored.
#[derive(Clone, Debug)]
pub struct StoredBuyer {
    /// The order.
    pub order: OrderKey,
    /// Its visitor.
    pub visitor: VisitorId,
    /// Time at which the order was made.
    pub created_at: Time,
    /// Whether nothing more happens to the order by itself.
    pub is_settled: bool,
    /// The buyer; `None` if the key is missing or the row was changed by hand.
    pub buyer: Option<Buyer>,
    /// Whether the row is sealed with the current key.
    pub is_current: bool,
    /// The columns, perhaps sealed.
    pub(super) columns: Buyer,
}

/// A buyer to be stored anew or erased.
#[derive(Clone, Debug)]
pub struct BuyerChange {
    /// The stored record.
    pub stored: StoredBuyer,
    /// The buyer to store instead; `None` erases.
    pub buyer: Option<Buyer>,
}

/// The keys, and the event whose rows they seal.
#[derive(Clone, Copy)]
pub(super) struct Personal<'a> {
    pub(super) keys: &'a SealingKeys,
    pub(super) event: &'a EventId,
}

impl Personal<'_> {
    fn about(self, field: &str, row: &str) -> String {
        format!("{field}\n{}\n{row}", self.event)
    }

    /// Returns the columns of an order's buyer; they are empty once erased.
    pub(super) fn seal_buyer(self, order: &str, buyer: Option<&Buyer>) -> Buyer {
        let seal = |field: &str, text: &str| self.keys.seal(&self.about(field, order), text);
        Buyer {
            name: buyer.map_or_else(String::new, |buyer| seal("buyer name", &buyer.name)),
            email: buyer.map_or_else(String::new, |buyer| seal("buyer email", &buyer.email)),
        }
    }

    /// Returns the buyer in these columns, unless it was erased or cannot be opened.
    pub(super) fn open_buyer(self, order: &str, columns: &Buyer) -> Option<Buyer> {
        if columns.name.is_empty() && columns.email.is_empty() {
            return None;
        }
        let open = |field: &str, text: &str| self.keys.open(&self.about(field, order), text);
        let name = open("buyer name", &columns.name);
        let email = open("buyer email", &columns.email);
        let buyer = name.zip(email).map(|(name, email)| Buyer { name, email });
        if buyer.is_none() {
            tracing::error!(order, "the buyer of an order cannot be opened");
        }
        buyer
    }

    /// Returns whether columns are as these keys would store them now.
    pub(super) fn is_current(self, columns: &Buyer) -> bool {
        self.keys.is_current(&columns.name) && self.keys.is_current(&columns.email)
    }

    /// Returns a column of the address that a visitor left with a place in line.
    pub(super) fn seal_line_mail(self, field: &str, visitor: &str, text: &str) -> String {
        self.keys.seal(&self.about(field, visitor), text)
    }

    /// Returns the text in this column, unless it cannot be opened.
    pub(super) fn open_line_mail(self, field: &str, visitor: &str, text: &str) -> Option<String> {
        self.keys.open(&self.about(field, visitor), text)
    }

    /// Returns the column of a session's admission token.
    pub(super) fn seal_token(self, session: &Key, token: &str) -> String {
        let about = self.about("session token", &hex(session));
        self.keys.seal(&about, token)
    }

    /// Returns the token in this column, or nothing if it cannot be opened.
    pub(super) fn open_token(self, session: &Key, column: &str) -> String {
        let about = self.about("session token", &hex(session));
        self.keys.open(&about, column).unwrap_or_default()
    }
}

/// Returns the sentence for an operator who took a key away that is still needed.
pub(super) fn missing_key(id: &str) -> String {
    format!(
        "FAIRLINE_PERSONAL_KEYS: buyers, or webhooks, are sealed with the key {id}, which is not among them: add it behind the first"
    )
}
