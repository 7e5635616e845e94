//! The inventory: domain types, the contract of every engine, and `open(url)`, the only place that
//! knows which engine runs.

mod best_available;
mod block_note;
mod blocked_seats;
mod buyer;
mod cancelling;
mod charges;
mod command;
mod commands;
mod desk;
mod desk_visit;
mod dispute;
mod door;
mod door_ticket;
mod engine;
mod event_state;
pub mod funnel;
pub mod hourly_sales;
mod invoices;
pub mod layout;
mod line_mail;
mod line_messages;
pub mod mail;
mod model;
mod money;
mod order_details;
mod order_list;
mod order_page;
pub mod outbox;
mod paying;
mod payment;
mod payment_review;
mod payment_row;
mod payment_state;
mod people;
mod personal;
mod plan_change;
mod plan_difference;
mod postgres;
mod price_line;
mod purchase;
mod records;
mod refund_sums;
mod reseat;
mod reseating;
mod reviewing;
mod rules;
mod sales;
pub mod seat_map;
mod seat_price;
mod service;
mod session_keys;
mod shard_view;
mod silence;
mod sqlite;
mod ticket_codes;
pub mod webhooks;

pub use block_note::{BlockNote, BlockedSeat, StoredBlocks};
pub use cancelling::{CancellationProgress, EventCancelled};
pub use charges::{
    CategoryPrices, Charges, Fee, FeePer, OrderFeeRefund, Percent, Prices, Tax, Taxed,
    TicketTypePrice,
};
pub use command::Command;
pub use commands::ATTEMPTS_PER_VISITOR_MAX;
pub use desk::DeskSale;
pub use door::{CheckIns, CheckedIn, DoorBundle, ListedTicket, Scan, TicketCodeKey};
pub use door_ticket::{CheckIn, DoorCount, DoorFigures, DoorTicket, IssuedTicket};
pub use engine::{Engine, LapsedVisitor, LateOrder};
pub use invoices::{Invoice, InvoiceKind, Invoicing};
pub use layout::Layout;
pub use line_mail::{InLine, LineMailRow, LineMailStore, SoonRow, SoonStep};
pub use line_messages::{LineBacklog, LineMessageStore, QueuedMessage, SmsBounds, SmsCount};
pub use model::*;
pub use order_details::{
    OrderDetails, OrderSeat, OrderSeatState, PartRefund, PaymentDetails, PaymentStep,
};
pub use order_list::{OrderList, OrderSearch};
pub use order_page::OrderPage;
pub use payment_state::PaymentEvent;
pub(crate) use people::comparable;
pub use people::{Person, Visit};
pub use personal::{BuyerChange, OrderKey, StoredBuyer};
pub use plan_difference::{MovedSeats, PlanDifference, Repriced, SeatGroup};
pub use postgres::{Postgres, is_postgres};
pub use purchase::Purchase;
pub use refund_sums::RefundSum;
pub use reseat::{
    DifferenceSettlement, Reseat, Reseated, ReseatedTicket, SeatDifference, SeatMove,
};
pub use reviewing::{Settling, SettlingOutside};
pub use rules::{LatePayment, Orphans, Rules, RulesPatch};
pub use sales::{MethodSales, Sales};
pub use seat_map::{SeatMap, blocked_by_hand};
pub use seat_price::ChosenTypes;
pub use service::Inventory;
pub use sqlite::Sqlite;

use shared::data_dir::DataFolder;
use shared::sealing::SealingKeys;
use shared::time::Clock;
use std::path::Path;
use std::sync::Arc;

/// Opens the engine that a URL names, and what else all nodes share there, if they do.
///
/// # Errors
/// A sentence for the operator.
pub async fn open(
    url: &str,
    folder: &DataFolder,
    clock: Clock,
) -> Result<(Inventory, Option<Arc<Postgres>>), String> {
    open_sealed(url, folder, clock, Arc::default()).await
}

/// As `open`, with keys that seal personal data.
///
/// # Errors
/// A sentence for the operator.
pub async fn open_sealed(
    url: &str,
    folder: &DataFolder,
    clock: Clock,
    keys: Arc<SealingKeys>,
) -> Result<(Inventory, Option<Arc<Postgres>>), String> {
    match url {
        "sqlite" => {
            let sqlite = Sqlite::open_sealed(&folder.join("inventory.sqlite"), clock, keys)?;
            Ok((sqlite.into(), None))
        }
        url if is_postgres(url) => {
            let postgres = Arc::new(Postgres::open_sealed(url, clock, keys).await?);
            Ok((postgres.clone().into(), Some(postgres)))
        }
        _ => Err("FAIRLINE_INVENTORY: 'sqlite' or 'postgres://…'".to_owned()),
    }
}

/// Opens the engine that a URL names to read from it beside a program that runs.
///
/// # Errors
/// A sentence for the operator.
pub async fn open_beside(
    url: &str,
    data: &Path,
    keys: Arc<SealingKeys>,
) -> Result<Inventory, String> {
    let clock = Clock::system();
    if is_postgres(url) {
        return Ok(Postgres::open_sealed(url, clock, keys).await?.into());
    }
    let path = data.join("inventory.sqlite");
    if !path.exists() {
        return Err(format!("there is no inventory at {}", path.display()));
    }
    Ok(Sqlite::open_sealed(&path, clock, keys)?.into())
}

/// Checks a URL without opening it.
///
/// # Errors
/// A sentence for the operator.
pub fn check_url(url: &str) -> Result<(), String> {
    if url == "sqlite" {
        Ok(())
    } else {
        postgres::check(url)
    }
}
