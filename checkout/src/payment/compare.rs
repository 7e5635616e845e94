//! `reconcile`: compares the payments in the books with the provider's list, to the cent.

use super::provider::{Answer, Listed, ListedDispute, Provider, Reservation};
use super::providers::Providers;
use crate::inventory::{
    BookedPayment, DisputeReport, Inventory, PaymentState, ProviderId, Verdict,
};
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
    let slack = i64::from(SLACK_SECONDS) * 1000;
    let booked = inventory.payments(Time(from.0 - slack), Time(to.0 + slack));
    let booked = booked.await.map_err(|error| error.to_string())?;
    let mut all: Vec<&dyn Provider> = providers.with_money().collect();
    if all.is_empty() {
        all.push(providers.chosen());
    }
    let is_compared = |booked: &&BookedPayment| {
        let id = booked.payment.provider;
        !id.moves_money() || all.iter().any(|provider| provider.id() == id)
    };
    if let Some(other) = booked.iter().find(|booked| !is_compared(booked)) {
        let name = other.payment.provider.as_str();
        return Err(format!("there are payments by {name}, which is not set up"));
    }
    let mut compared = Compared {
        payments: 0,
        differences: Vec::new(),
        outside: Vec::new(),
    };
    for provider in all {
        let listed = known(provider.list(from, to).await)?;
        compared.payments += listed.len();
        compare_with(provider, &listed, &booked, &mut compared).await?;
        let disputes = known(provider.disputes(from).await)?;
        compare_disputes(provider.id(), &disputes, &booked, &mut compared.differences);
    }
    Ok(compared)
}

/// Returns what a provider knows, or why the books cannot be compared.
fn known<T>(answer: Answer<T>) -> Result<T, String> {
    match answer {
        Answer::Known(value) => Ok(value),
        Answer::Refused(why) => Err(format!("the provider does not list it: {why}")),
        Answer::Unknown => Err("the provider does not answer".to_owned()),
    }
}

/// Compares a provider's list with its payments in the books.
async fn compare_with(
    provider: &dyn Provider,
    listed: &[Listed],
    booked: &[BookedPayment],
    compared: &mut Compared,
) -> Result<(), String> {
    let differences = &mut compared.differences;
    let own = booked
        .iter()
        .filter(|booked| booked.payment.provider == provider.id());
    let mut books: HashMap<&str, &BookedPayment> = own
        .filter_map(|booked| Some((booked.payment.reference.as_deref()?, booked)))
        .collect();
    for theirs in listed {
        match books.remove(theirs.reference.as_str()) {
            Some(ours) => match &ours.outside {
                Some(note) => {
                    let told = format!("settled outside: {note}");
                    compared.outside.push(line(&ours.payment.id, &told));
                }
                None => differences.extend(difference(theirs, ours)),
            },
            // An unpaid payment is no difference: it was made, and its answer lost.
            None if has_money(theirs) && is_ours(provider, theirs).await? => {
                let why = "it is not in the books, and has money";
                differences.push(line(&theirs.reference, why));
            }
            None => {}
        }
    }
    // A payment that is missing from the list may have begun just outside of the period.
    for ours in books
        .into_values()
        .filter(|ours| ours.captured > ours.refunded && ours.outside.is_none())
    {
        let id = &ours.payment.id;
        match provider.fetch(&ours.payment).await {
            Answer::Known(report) if report.verdict == Verdict::Captured => {}
            Answer::Known(_) => differences.push(line(id, "the provider has not taken it")),
            Answer::Refused(_) => differences.push(line(id, "the provider does not know it")),
            Answer::Unknown => return Err("the provider does not answer".to_owned()),
        }
    }
    Ok(())
}

/// Compares a provider's disputes with those of its payments in the books.
fn compare_disputes(
    provider: ProviderId,
    listed: &[ListedDispute],
    booked: &[BookedPayment],
    differences: &mut Vec<String>,
) {
    for ListedDispute { reference, report } in listed {
        let is_its = |booked: &&BookedPayment| {
            let payment = &booked.payment;
            payment.provider == provider && payment.reference.as_ref() == Some(reference)
        };
        let Some(ours) = booked.iter().find(is_its) else {
            continue;
        };
        let known = ours.disputes.iter().find(|known| known.id == report.id);
        let told = |report: &DisputeReport| (report.state, report.amount);
        if ours.outside.is_none() && known.map(told) != Some(told(report)) {
            let state = |report: &DisputeReport| report.state.as_str();
            let why = format!(
                "its dispute {} is {} at the provider, and {} in the books",
                report.id,
                state(report),
                known.map_or("not", state)
            );
            differences.push(line(&ours.payment.id, &why));
        }
    }
}

/// Returns whether a payment in the list has money that does not go back by itself.
fn has_money(theirs: &Listed) -> bool {
    theirs.captured.amount != theirs.refunded || theirs.reservation == Reservation::Standing
}

/// Returns whether a payment that is not in the books was made by us.
async fn is_ours(provider: &dyn Provider, theirs: &Listed) -> Result<bool, String> {
    match theirs.is_ours {
        Some(is_ours) => Ok(is_ours),
        None => match provider.look_up(&theirs.reference).await {
            Answer::Known(told) => Ok(told.is_some()),
            Answer::Refused(_) => Ok(false),
            Answer::Unknown => Err("the provider does not answer".to_owned()),
        },
    }
}

/// Returns what is different about a payment, in words.
fn difference(theirs: &Listed, ours: &BookedPayment) -> Option<String> {
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
    let is_expected = match ours.state {
        PaymentState::Authorised | PaymentState::Capturing | PaymentState::Voiding => true,
        PaymentState::Created | PaymentState::RequiresAction | PaymentState::Processing => false,
        // It was let go, or paid twice: the provider gives it back.
        _ => theirs.reservation == Reservation::Lapsing,
    };
    (theirs.reservation != Reservation::None && !is_expected)
        .then(|| line(id, "money is reserved that the books know nothing of"))
}

fn line(what: &str, why: &str) -> String {
    format!("{what}: {why}")
}
