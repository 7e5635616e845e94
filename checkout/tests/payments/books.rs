//! The books of a stage by double entry: what each order's tickets cost, what was taken and given
//! back for it, and what its provider says.

use crate::stage::ProviderStage;
use checkout::inventory::{Order, OrderPage};
use checkout::payment::{ReconcileArgs, reconcile};
use shared::time::Time;
use std::process::ExitCode;

impl ProviderStage {
    /// Checks that each order's money is the price of its tickets with their fees and taxes and those
    /// of the order, and the provider's books are ours, to the cent.
    pub(crate) async fn check_books(&self) {
        let inventory = &self.node.shop.inventory;
        let (mut booked, mut worth) = (0, 0);
        for order in inventory
            .orders(&self.event, &OrderPage::newest(100))
            .await
            .unwrap()
        {
            booked += order.tickets.as_ref().map_or(0, Vec::len) as i64;
            let refunded = order.refunded.map_or(0, |refunded| refunded.amount);
            if order.state == "confirmed" {
                assert_eq!(order.total.amount - refunded, price(&order), "{order:?}");
                worth += price(&order);
            }
            if order.state == "refunded" && is_kept(&order) {
                assert_eq!(order.total.amount - refunded, of_order(&order), "{order:?}");
                worth += of_order(&order);
            }
        }
        let (from, to) = (Time(0), Time(self.clock.now().0 + 86_400_000));
        let payments = inventory.payments(from, to).await.unwrap();
        let kept = payments
            .iter()
            .map(|payment| payment.captured - payment.refunded);
        assert_eq!(kept.sum::<i64>(), worth, "{payments:?}");
        let [_, _, seats] = self.counts().await;
        assert_eq!(i64::from(seats), booked);
        assert_eq!(self.reconcile().await, ExitCode::SUCCESS, "{payments:?}");
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

/// Returns what the tickets of an order cost with all that they and the order bear.
fn price(order: &Order) -> i64 {
    let tickets = order.tickets.iter().flatten();
    let price = |seat: &str| {
        let category = &order
            .seats
            .iter()
            .find(|one| *one.id == *seat)
            .unwrap()
            .category;
        let own = order
            .lines
            .iter()
            .filter(|line| line.category.as_ref() == Some(category));
        let added = own.filter(|line| !line.included);
        added.map(|line| line.unit.amount).sum::<i64>()
    };
    tickets.map(|ticket| price(&ticket.seat)).sum::<i64>() + of_order(order)
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
