//! Fairline's strategy: the checkout's own engine with sessions, limits, prices and all.

use super::strategy::{Bought, EVENT, Seller, ShopArgs, Wanted, wrong};
use async_trait::async_trait;
use checkout::inventory::{
    Best, Inventory, Layout, NewSession, Postgres, Refused, RulesPatch, SessionKey, SessionKeys,
    Wish, layout,
};
use client::Failed;
use futures_util::stream::{self, StreamExt as _};
use shared::ids::{EventId, VisitorId};
use shared::time::Clock;

/// Number of seats in a row of the hall.
const ROW: usize = 50;
/// Number of sessions opened concurrently.
const AT_ONCE: usize = 500;

/// Returns a hall with this many seats.
pub(super) fn hall(seats: usize) -> Layout {
    let rows = seats / ROW;
    let sections: Vec<_> = (0..rows.div_ceil(100))
        .map(|at| {
            let rows = 100.min(rows - at * 100);
            serde_json::json!({"id": format!("s{at}"), "category": "c", "rows": rows, "seats_per_row": ROW})
        })
        .collect();
    let plan = serde_json::json!({"categories": [{"id": "c", "name": "Seats", "price": 4500}], "sections": sections});
    layout::parse(plan.to_string().as_bytes()).expect("the plan is well formed")
}

/// An engine with a hall, and a session for every possible purchase.
pub(super) struct Hall {
    pub(super) seats: Inventory,
    pub(super) event: EventId,
    pub(super) layout: Layout,
}

impl Hall {
    pub(super) async fn open(url: &str, seats: usize, is_new: bool) -> Result<Hall, Failed> {
        let engine = Inventory::from(Postgres::open(url, Clock::system()).await?);
        let event = EventId::parse(EVENT)?;
        if is_new {
            engine
                .set_seating(&event, hall(seats))
                .await
                .map_err(wrong)?;
        }
        let showing = engine.clone();
        // Keeps the maps current, as the service does; ends with the process.
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                let _ = showing.publish().await;
            }
        });
        let hall = Hall {
            seats: engine,
            event,
            layout: hall(seats),
        };
        if is_new {
            hall.rules(3600).await?;
        }
        Ok(hall)
    }

    /// Sets the length of new holds.
    pub(super) async fn rules(&self, hold_seconds: u32) -> Result<(), Failed> {
        let patch = RulesPatch {
            hold_seconds: Some(hold_seconds),
            hold_max_seconds: Some(7200),
            ..RulesPatch::default()
        };
        let set = self.seats.set_rules(&self.event, patch).await;
        set.map(drop).map_err(wrong)
    }

    pub(super) fn keys(&self, fan: u32) -> SessionKeys {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&fan.to_be_bytes());
        vec![SessionKey {
            event: self.event.clone(),
            hash,
        }]
    }

    pub(super) async fn admit(&self, fans: std::ops::Range<u32>) -> Result<(), Failed> {
        let opening = stream::iter(fans).map(|fan| {
            self.seats.open_session(NewSession {
                key: self.keys(fan)[0].hash,
                event: self.event.clone(),
                visitor: VisitorId(u128::from(fan)),
                number: u64::from(fan),
                jti: format!("adm-{fan}"),
                token: String::new(),
                expires_at: self.seats.now().plus_seconds(3600),
                is_reported: true,
            })
        });
        let opened: Vec<_> = opening.buffer_unordered(AT_ONCE).collect().await;
        opened
            .into_iter()
            .try_for_each(|opened| opened.map(|_| ()).map_err(wrong))
    }
}

pub(super) struct Combined {
    hall: Hall,
}

impl Combined {
    pub(super) async fn open(args: &ShopArgs) -> Result<Combined, Failed> {
        let hall = Hall::open(&args.postgres, args.seats, args.node == 0).await?;
        let share = |node: usize| (args.buyers * node / args.nodes) as u32;
        hall.admit(share(args.node)..share(args.node + 1)).await?;
        Ok(Combined { hall })
    }
}

#[async_trait]
impl Seller for Combined {
    async fn buy(&self, wanted: Wanted) -> Result<Bought, Failed> {
        let hall = &self.hall;
        let wish = if wanted.best > 0 {
            Wish::Best(Best {
                quantity: wanted.best,
                ..Best::default()
            })
        } else {
            let name = |seat: &i32| hall.layout.seats[*seat as usize].id.to_string();
            Wish::Seats(wanted.seats.iter().map(name).collect())
        };
        let keys = hall.keys(wanted.buyer);
        match hall.seats.hold(keys, &hall.event, wish, None).await {
            Ok(once) => {
                let seats = once.value.seats.iter();
                let places = seats.filter_map(|seat| hall.layout.find(&seat.id));
                Ok(Bought::Sold {
                    seats: places.map(|seat| seat as i32).collect(),
                    order: once.value.id.to_string(),
                })
            }
            Err(Refused::SeatsTaken(_)) => Ok(Bought::Taken),
            Err(Refused::NotEnoughSeats) => Ok(Bought::SoldOut),
            Err(other) => Err(other.to_string()),
        }
    }
}
