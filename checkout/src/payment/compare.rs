//! `reconcile`: compares the payments in the books with the provider's list, to the cent.

use super::provider::{Answer, Listed};
use super::providers::Providers;
use crate::inventory::{BookedPayment, Inventory, PaymentState};
use shared::log;
use shared::time::Time;
use std::collections::HashMap;
use std::process::ExitCode;

/// Time by which the provider's clock and ours may differ about when a payment began.
const SLACK_SECONDS: u32 = 3600;
/// Largest number of differences that are printed.
const PRINTED_MAX: usize = 1_000;

/// Arguments of `reconcile`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReconcileArgs {
    /// Beginning of the period, such as 2026-11-01T00:00:00Z
    #[arg(long)]
    pub from: String,
    /// End of the period, which is not in it
    #[arg(long)]
    pub to: String,
}

/// Compares all payments of a period. Exit code 0: no difference; 1: there are some, one a line; 2:
/// it could not be compared.
pub async fn reconcile(
    inventory: &Inventory,
    providers: &Providers,
    args: &ReconcileArgs,
) -> ExitCode {
    match compare(inventory, providers, args).await {
        Ok(compared) => {
            for difference in compared.differences.iter().take(PRINTED_MAX) {
                log::print(format_args!("{difference}"));
            }
            for outside in compared.outside.iter().take(PRINTED_MAX) {
                log::print(format_args!("{outside}"));
            }
            log::print(format_args!(
                "{} payments compared, {} differences.",
                compared.payments,
                compared.differences.len()
            ));
            ExitCode::from(u8::from(!compared.differences.is_empty()))
        }
        Err(error) => {
            log::print_error(format_args!("reconcile: {error}"));
            ExitCode::from(2)
        }
    }
}

struct Compared {
    payments: usize,
    differences: Vec<String>,
    /// Payments that were settled outside of the provider: whatever it has of them.
    outside: Vec<String>,
}

async fn compare(
    inventory: &Inventory,
    providers: &Providers,
    args: &ReconcileArgs,
) -> Result<Compared, String> {
    let read = |name: &str, text: &str| Time::parse(text).map_err(|why| format!("--{name}: {why}"));
    let (from, to) = (read("from", &args.from)?, read("to", &args.to)?);
    if from >= to {
        return Err("--to: it is not after --from".to_owned());
    }
    let provider = providers.chosen();
    let listed = match provider.list(from, to).await {
        Answer::Known(listed) => listed,
        Answer::Refused(why) => return Err(format!("the provider does not list it: {why}")),
        Answer::Unknown => return Err("the provider does not answer".to_owned()),
    };
    let slack = i64::from(SLACK_SECONDS) * 1000;
    let booked = inventory.payments(Time(from.0 - slack), Time(to.0 + slack));
    let booked = booked.await.map_err(|error| error.to_string())?;
    let mut books: HashMap<&str, &BookedPayment> = booked
        .iter()
        .filter_map(|booked| Some((booked.payment.reference.as_deref()?, booked)))
        .collect();
    let mut compared = Compared {
        payments: listed.len(),
        differences: Vec::new(),
        outside: Vec::new(),
    };
    for theirs in &listed {
        let ours = books.remove(theirs.reference.as_str());
        match ours.and_then(|ours| Some((ours, ours.outside.as_ref()?))) {
            Some((ours, note)) => {
                let told = format!("settled outside: {note}");
                compared.outside.push(line(&ours.payment.id, &told));
            }
            None => compared.differences.extend(difference(theirs, ours)),
        }
    }
    // A payment that is missing from the list may have begun just outside of the period.
    for ours in books
        .into_values()
        .filter(|ours| ours.captured > ours.refunded && ours.outside.is_none())
    {
        match provider.fetch(&ours.payment).await {
            Answer::Known(_) => {}
            Answer::Refused(_) => {
                compared
                    .differences
                    .push(line(&ours.payment.id, "the provider does not know it"));
            }
            Answer::Unknown => return Err("the provider does not answer".to_owned()),
        }
    }
    Ok(compared)
}

/// Returns what is different about a payment, in words.
fn difference(theirs: &Listed, ours: Option<&BookedPayment>) -> Option<String> {
    let Some(ours) = ours else {
        // An unpaid payment is no difference: it was made, and its answer lost.
        let is_empty = theirs.captured.amount == theirs.refunded && !theirs.is_reserved;
        let of_others = theirs.payment.is_none();
        return (!is_empty && !of_others)
            .then(|| line(&theirs.reference, "it is not in the books, and has money"));
    };
    let id = &ours.payment.id;
    if theirs.captured.amount != ours.captured || theirs.refunded != ours.refunded {
        return Some(line(
            id,
            &format!(
                "the provider has taken {} and given back {}, the books have {} and {}",
                theirs.captured.amount, theirs.refunded, ours.captured, ours.refunded
            ),
        ));
    }
    if ours.captured > 0 && theirs.captured.currency != ours.payment.amount.currency {
        return Some(line(id, "it is in another currency"));
    }
    let is_expected = matches!(
        ours.state,
        PaymentState::Authorised | PaymentState::Capturing | PaymentState::Voiding
    );
    (theirs.is_reserved && !is_expected)
        .then(|| line(id, "money is reserved that the books know nothing of"))
}

fn line(what: &str, why: &str) -> String {
    format!("{what}: {why}")
}
