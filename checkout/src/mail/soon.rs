//! Asks the lines for the waits of the next fans who left an address, and has those told whose turn comes
//! soon. Any number of nodes may do so: of two that ask about the same fan, one adds the mail.

use crate::app::Shop;
use crate::inventory::{Refused, SoonRow, SoonStep};
use shared::crypto::random;
use shared::ids::{EventId, VisitorId};
use shared::line_mail::{LineWaits, VisitorWait, WAITS_MAX};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Longest time between two looks at a line.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Largest number of pages of one line before the others have their turn.
const PAGES_MAX: usize = 20;
/// Wait in seconds below which no mail says that the turn comes: that of the turn follows at once.
const AT_ONCE_SECONDS: u32 = 60;

/// Runs until the stop signal.
pub(super) async fn run(shop: &Arc<Shop>) {
    let looking = async {
        loop {
            // While the store is away it says so itself.
            let has_more = look_at_all(shop).await.unwrap_or(false);
            if !has_more {
                // Half to all of it, so that nodes do not look in step.
                let [byte] = random::<1>();
                sleep(LOOK_EVERY.mul_f64(0.5 + f64::from(byte) / 512.0)).await;
            }
        }
    };
    shop.site.stop.run_until_cancelled(looking).await;
}

/// Looks at the lines in which fans are to be told. Returns whether there is more to do at once.
async fn look_at_all(shop: &Shop) -> Result<bool, Refused> {
    let seat_maps = shop.inventory.seat_maps();
    let events = seat_maps.iter().map(|seat_map| seat_map.event.clone());
    let events = shop.inventory.line_mails().soon_events(events.collect());
    let mut has_more = false;
    for event in events.await? {
        has_more |= look_at(shop, &event).await?;
    }
    Ok(has_more)
}

/// Asks about the next fans of a line, until the turn of one comes later. Returns whether there is more to
/// do at once.
async fn look_at(shop: &Shop, event: &EventId) -> Result<bool, Refused> {
    let mails = shop.inventory.line_mails();
    for _ in 0..PAGES_MAX {
        let fans = mails.next_soon(event).await?;
        if fans.is_empty() {
            return Ok(false);
        }
        let visitors = fans.iter().map(|fan| fan.visitor).collect();
        let Some(waits) = shop.waiting_room.waits(event, visitors).await else {
            return Ok(false);
        };
        let is_last = fans.len() < WAITS_MAX;
        let settled = settle(fans, &waits);
        if settled.is_empty() {
            return Ok(false);
        }
        mails.settle_soon(event, settled).await?;
        if is_last {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns what follows from the waits, of the fans of whom something does.
fn settle(fans: Vec<SoonRow>, waits: &LineWaits) -> Vec<(SoonRow, SoonStep)> {
    if !waits.is_told {
        return Vec::new();
    }
    let waits = waits.waits.iter().map(|wait| (wait.visitor, wait));
    let waits: HashMap<VisitorId, &VisitorWait> = waits.collect();
    let settled = fans.into_iter().filter_map(|fan| {
        let Some(wait) = waits.get(&fan.visitor) else {
            return Some((fan, SoonStep::Never));
        };
        let number = wait.number.or(fan.number);
        let step = match wait.seconds {
            Some(range) if range.high < AT_ONCE_SECONDS => SoonStep::Never,
            Some(range) if range.is_soon() => SoonStep::Tell,
            _ if number == fan.number => return None,
            _ => SoonStep::Later,
        };
        Some((SoonRow { number, ..fan }, step))
    });
    settled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::line_mail::WaitRange;

    fn fan(visitor: u128, number: Option<u64>) -> SoonRow {
        SoonRow {
            visitor: VisitorId(visitor),
            number,
        }
    }

    fn wait(visitor: u128, number: Option<u64>, seconds: Option<(u32, u32)>) -> VisitorWait {
        VisitorWait {
            visitor: VisitorId(visitor),
            number,
            seconds: seconds.map(|(low, high)| WaitRange { low, high }),
        }
    }

    #[test]
    fn a_fan_is_told_whose_wait_is_known_and_about_ten_minutes_or_less_and_not_over_at_once() {
        let waits = LineWaits {
            is_told: true,
            waits: vec![
                wait(1, Some(1), Some((10, 59))),
                wait(2, Some(2), Some((40, 60))),
                wait(3, Some(3), Some((500, 700))),
                wait(4, Some(4), Some((501, 700))),
                wait(5, Some(5), None),
                wait(6, Some(6), Some((900, 1200))),
                wait(7, None, None),
            ],
        };
        let fans: Vec<SoonRow> = (1..=8)
            .map(|visitor| fan(visitor, (visitor < 6).then_some(visitor as u64)))
            .collect();
        let settled = [
            (fan(1, Some(1)), SoonStep::Never),
            (fan(2, Some(2)), SoonStep::Tell),
            (fan(3, Some(3)), SoonStep::Tell),
            (fan(6, Some(6)), SoonStep::Later),
            (fan(8, None), SoonStep::Never),
        ];
        assert_eq!(settle(fans.clone(), &waits), settled);
        assert_eq!(settle(fans, &LineWaits::untold()), []);
    }
}
