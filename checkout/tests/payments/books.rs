//! The books of a stage by double entry: what each order's tickets cost, what was taken and given
//! back for it, and what its provider says.

use crate::at_provider::Account;
use crate::stage::ProviderStage;
use checkout::inventory::{
    Inventory, Order, OrderDetails, OrderPage, OrderSeat, OrderSeatState, PaymentDetails,
    PaymentState,
};
use checkout::payment::{ReconcileArgs, reconcile};
use shared::ids::EventId;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Largest number of orders of a test.
const ORDERS_MAX: u32 = 200;

impl ProviderStage {
    /// Checks that the books balance, ours and the provider's.
    pub(crate) async fn check_books(&self) {
        if let Err(difference) = self.compare_books().await {
            panic!("{difference}");
        }
    }

    /// Compares the books: the money of each order is the price of its tickets with their fees and
    /// taxes and those of the order, and the provider has the same money, to the cent.
    ///
    /// # Errors
    /// The first difference.
    pub(crate) async fn compare_books(&self) -> Result<(), String> {
        let orders = balanced(&self.node.shop.inventory, &self.event).await?;
        let mut accounts = self.provider.accounts();
        let mut booked = 0;
        for details in &orders {
            booked += seats(details).count();
            for payment in &details.payments {
                let account = take(&mut accounts, payment);
                if payment.outside.is_none() && account != money(payment) {
                    return Err(format!("the provider has {account:?} of {payment:?}"));
                }
            }
        }
        if let Some((id, account)) = accounts.iter().find(|(_, account)| account.kept() != 0) {
            return Err(format!("no order has the money of {id}: {account:?}"));
        }
        let [_, _, counted] = self.counts().await;
        if counted as usize != booked {
            return Err(format!("{counted} seats are booked and {booked} sold"));
        }
        self.compare_figures(&orders).await?;
        if self.reconcile().await != ExitCode::SUCCESS {
            return Err("the reconciler finds differences".to_owned());
        }
        Ok(())
    }

    /// Compares the sales figures with the money that is there of orders that are confirmed, or ended
    /// with their money going back.
    async fn compare_figures(&self, orders: &[OrderDetails]) -> Result<(), String> {
        let sales = self.node.shop.inventory.sales(&self.event).await.unwrap();
        let methods = sales.methods.iter();
        let methods: i64 = methods.map(|method| method.revenue.amount).sum();
        let ended = orders.iter();
        let ended = ended
            .filter(|details| matches!(details.order.state.as_str(), "confirmed" | "refunded"));
        let stays: i64 = ended.flat_map(|details| &details.payments).map(kept).sum();
        if [sales.revenue.amount, methods] != [stays; 2] {
            return Err(format!("{stays} is there, and the figures are {sales:?}"));
        }
        Ok(())
    }

    /// Checks what holds at every instant, whatever is on its way: money moves after that was
    /// recorded and before it is recorded as done, and seats are kept for whoever can still pay.
    pub(crate) async fn check_instant(&self) {
        let accounts = self.provider.accounts();
        let (mut owned, mut attempts) = (0, 0);
        for details in orders(&self.node.shop.inventory, &self.event).await {
            attempts += details.payments.len();
            let mut is_payable = false;
            for payment in &details.payments {
                let reference = payment.reference.as_ref();
                let account = reference.and_then(|reference| accounts.get(reference));
                let account = account.copied().unwrap_or_default();
                check_order_of_steps(payment, &account);
                is_payable |= account.is_open;
            }
            if matches!(details.order.state.as_str(), "confirmed" | "refunding") {
                check_balance(&details).unwrap();
            }
            owned += if is_payable {
                details.seats.len()
            } else {
                seats(&details).count()
            };
        }
        let [_, held, booked] = self.counts().await;
        assert!((held + booked) as usize >= owned, "seats are released");
        if self.provider.is_stripe() {
            assert!(accounts.len() <= attempts, "offered twice: {accounts:?}");
        }
    }

    /// Compares with the provider's list.
    pub(crate) async fn reconcile(&self) -> ExitCode {
        let args = ReconcileArgs {
            from: "2020-01-01T00:00:00Z".into(),
            to: "2100-01-01T00:00:00Z".into(),
        };
        let shop = &self.node.shop;
        reconcile(&shop.inventory, &shop.providers, &args).await
    }
}

/// Returns the orders of an event if the money of each is the price of its tickets.
///
/// # Errors
/// The first difference.
pub(crate) async fn balanced(
    inventory: &Inventory,
    event: &EventId,
) -> Result<Vec<OrderDetails>, String> {
    let orders = orders(inventory, event).await;
    for details in &orders {
        check_balance(details)?;
    }
    Ok(orders)
}

async fn orders(inventory: &Inventory, event: &EventId) -> Vec<OrderDetails> {
    let page = OrderPage::newest(ORDERS_MAX);
    let found = inventory.orders(event, &page).await.unwrap();
    assert!(found.len() < ORDERS_MAX as usize, "some are not seen");
    let mut orders = Vec::new();
    for order in found {
        let details = inventory.order_details(event, &order.id).await;
        orders.push(details.unwrap());
    }
    orders
}

fn check_balance(details: &OrderDetails) -> Result<(), String> {
    let kept: i64 = details.payments.iter().map(kept).sum();
    let loss: i64 = details.payments.iter().map(loss).sum();
    let worth = worth(details) - loss;
    if kept == worth {
        return Ok(());
    }
    Err(format!("{kept} was paid for {worth}: {details:?}"))
}

/// Checks that a step of a payment was recorded before the provider was asked for it, and its
/// outcome only after the provider had done it.
fn check_order_of_steps(payment: &PaymentDetails, account: &Account) {
    let (captured, refunded) = money(payment);
    let being_captured = match payment.state {
        PaymentState::Capturing => payment.amount.amount,
        _ => 0,
    };
    let mut parts = payment.refunds.iter().filter(|refund| !refund.done);
    let being_refunded = match (payment.state, parts.next()) {
        (PaymentState::Refunding, Some(part)) => part.amount.amount,
        (PaymentState::Refunding, None) => captured - refunded,
        _ => 0,
    };
    let captured = captured..=captured + being_captured;
    let refunded = refunded..=refunded + being_refunded;
    let is_in_order = captured.contains(&account.captured) && refunded.contains(&account.refunded);
    assert!(is_in_order, "the provider has {account:?} of {payment:?}");
}

/// Takes the money of a payment out of its provider's books: captured and refunded. That of a
/// payment without one is as it is in ours.
fn take(accounts: &mut BTreeMap<String, Account>, payment: &PaymentDetails) -> (i64, i64) {
    match &payment.reference {
        Some(reference) => {
            let account = accounts.remove(reference).unwrap_or_default();
            (account.captured, account.refunded)
        }
        None => money(payment),
    }
}

/// Returns what was captured and refunded of a payment, as our books have it.
fn money(payment: &PaymentDetails) -> (i64, i64) {
    (payment.captured.amount, payment.refunded.amount)
}

fn kept(payment: &PaymentDetails) -> i64 {
    payment.captured.amount - payment.refunded.amount - payment.charged_back.amount
}

/// Returns what was charged back, less the price of the seats that were taken back for it: the loss
/// of the organiser.
fn loss(payment: &PaymentDetails) -> i64 {
    let taken_back = payment.disputes.iter();
    let taken_back = taken_back.map(|dispute| dispute.taken_back.amount);
    payment.charged_back.amount - taken_back.sum::<i64>()
}

/// Returns what is paid for an order: what its seats cost with all that they and the order bear, or
/// what is kept of one that was refunded.
fn worth(details: &OrderDetails) -> i64 {
    let order = &details.order;
    match order.state.as_str() {
        "confirmed" | "refunding" => price(details) + of_order(order),
        "refunded" if is_kept(order) => of_order(order),
        _ => 0,
    }
}

/// Returns what the seats that an order has cost with all that each bears, less what went back for
/// those whose tickets were moved to them.
fn price(details: &OrderDetails) -> i64 {
    let refunds = details.payments.iter().flat_map(|payment| &payment.refunds);
    let done = refunds.filter(|refund| refund.done);
    let differences = done.flat_map(|refund| &refund.differences);
    let lines = details.order.lines.iter().filter(|line| !line.included);
    let of = |seat: &OrderSeat| -> i64 {
        let own = lines.clone();
        let own = own.filter(|line| line.category.as_ref() == Some(&seat.category));
        let less = differences.clone();
        let less = less.filter(|less| *less.seat == *seat.id);
        own.map(|line| line.unit.amount).sum::<i64>()
            - less.map(|less| less.amount.amount).sum::<i64>()
    };
    seats(details).map(of).sum()
}

/// Returns the seats that an order has, whose money has not gone back.
fn seats(details: &OrderDetails) -> impl Iterator<Item = &OrderSeat> {
    let is_own = |state| matches!(state, OrderSeatState::Sold | OrderSeatState::Refunding);
    details.seats.iter().filter(move |seat| is_own(seat.state))
}

/// Returns the fees of an order, with the taxes on them.
fn of_order(order: &Order) -> i64 {
    let lines = order.lines.iter();
    let own = lines.filter(|line| line.category.is_none() && !line.included);
    own.map(|line| line.amount.amount).sum()
}

/// Returns whether something of an order that was refunded was kept.
fn is_kept(order: &Order) -> bool {
    order
        .refunded
        .is_some_and(|refunded| refunded.amount < order.total.amount)
}
