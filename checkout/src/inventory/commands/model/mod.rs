//! The decisions on orders and payments, explored in full: two buyers, two seats, and a provider
//! whose answers get lost, whose webhooks are late, and with whom money comes when no one waits for
//! it any more. The decisions are the real ones; the store and the provider are models.
//!
//! Faults that strike both buyers at one time need no story of their own. A decision reads the
//! records of one visitor and the states of the seats (`UnitOfWork::new`), so a buyer can touch
//! another by nothing but a seat. [`Sale::Anyone`] explores each buyer, struck by all faults, among
//! others who at any instant take a free seat or leave one of theirs: whatever a second buyer does,
//! struck or not, is among that. The world checks at every change that the buyer gives or takes no
//! seat which others have, so each buyer is such an other to the other one.

mod world;

use crate::inventory::model::{PaymentState, SeatState, Settlement};
use stateright::{Checker as _, Model, Property};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use world::{ATTEMPTS_MAX, Action, AtProvider, BUYERS, PRICE, ShownWorld, World};

/// A state, compared by what matters of it: ids differ from story to story.
#[derive(Clone, Debug)]
struct Story {
    world: Arc<World>,
    shown: ShownWorld,
}

impl PartialEq for Story {
    fn eq(&self, other: &Story) -> bool {
        self.shown == other.shown
    }
}

impl Hash for Story {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.shown.hash(hasher);
    }
}

/// A sale, by whom faults strike.
#[derive(Clone, Copy)]
enum Sale {
    /// Faults strike the first buyer, and the second is in the way.
    Two,
    /// Faults strike this buyer, and anyone else is in the way.
    Anyone(usize),
}

/// States that others leave a seat in. A decision asks of a seat that is not the buyer's only whether
/// it is free.
const OTHERS: [SeatState; 2] = [SeatState::Available, SeatState::Booked];

/// Actions by which the checkout goes on by itself.
fn own_actions() -> Vec<Action> {
    let mut actions = Vec::new();
    for buyer in 0..BUYERS {
        actions.push(Action::Sweep(buyer));
        for attempt in 0..ATTEMPTS_MAX {
            actions.push(Action::Step(buyer, attempt));
            actions.push(Action::Look(buyer, attempt));
        }
    }
    actions
}

fn next(story: &Story, action: Action) -> Option<Story> {
    let mut world = World::clone(&story.world);
    world.act(action);
    let shown = world.show();
    (shown != story.shown).then(|| Story {
        world: Arc::new(world),
        shown,
    })
}

impl Model for Sale {
    type State = Story;
    type Action = Action;

    fn init_states(&self) -> Vec<Story> {
        let world = World::new();
        let shown = world.show();
        vec![Story {
            world: Arc::new(world),
            shown,
        }]
    }

    fn actions(&self, story: &Story, actions: &mut Vec<Action>) {
        let struck = match self {
            Sale::Two => 0,
            Sale::Anyone(buyer) => *buyer,
        };
        for buyer in 0..BUYERS {
            if buyer != struck && matches!(self, Sale::Anyone(_)) {
                let seats = 0..story.shown.seats.len();
                let others = seats.flat_map(|seat| OTHERS.map(|to| Action::Others(seat, to)));
                actions.extend(others);
                continue;
            }
            if story.shown.orders[buyer].state == "none" {
                actions.push(Action::Order(buyer));
                continue;
            }
            if buyer != struck {
                actions.push(Action::Pay(buyer, 0));
                continue;
            }
            actions.extend([
                Action::Release(buyer),
                Action::Refund(buyer, true),
                Action::Refund(buyer, false),
                Action::Reseat(buyer, 0),
                Action::Reseat(buyer, 1),
            ]);
            let attempts = story.shown.orders[buyer].payments.len();
            for attempt in 0..attempts.min(ATTEMPTS_MAX) {
                actions.extend([
                    Action::Pay(buyer, attempt),
                    Action::Decline(buyer, attempt),
                    Action::StepLost(buyer, attempt),
                    Action::LookBack(buyer, attempt),
                    Action::Refuse(buyer, attempt),
                    Action::Settle(buyer, attempt, Settlement::AskAgain),
                    Action::Settle(buyer, attempt, Settlement::Keep),
                    Action::Settle(buyer, attempt, Settlement::GiveBack),
                ]);
            }
        }
        if story.shown.now < 1_000_000 {
            actions.push(Action::TimePasses);
        }
        actions.extend(own_actions());
    }

    fn next_state(&self, story: &Story, action: Action) -> Option<Story> {
        next(story, action)
    }

    fn properties(&self) -> Vec<Property<Sale>> {
        let mut properties = reached();
        properties.extend(self.reached_among());
        if matches!(self, Sale::Anyone(1)) {
            properties.push(Property::sometimes(
                "a ticket is moved to the seat that the buyer did not want",
                |_, story: &Story| story.shown.orders[1].tickets == [1],
            ));
        }
        properties.extend([
            Property::always("no seat has two owners", |_, story: &Story| {
                let mut tickets: Vec<u32> = Vec::new();
                for order in &story.shown.orders {
                    tickets.extend(&order.tickets);
                }
                let seats = story.shown.seats.iter().zip(&story.shown.is_others);
                let booked = seats.filter(|(state, is_others)| **state == 2 && !**is_others);
                let booked = booked.count();
                let owned = tickets.len();
                tickets.sort_unstable();
                tickets.dedup();
                tickets.len() == owned && owned == booked
            }),
            Property::always("no order is confirmed without money", |_, story: &Story| {
                let confirmed = story
                    .shown
                    .orders
                    .iter()
                    .filter(|order| order.state == "confirmed");
                confirmed.into_iter().all(|order| {
                    let mut payments = order.payments.iter();
                    payments
                        .any(|payment| matches!(payment.provider, Some(AtProvider::Taken { .. })))
                })
            }),
            Property::always("no more goes back than was taken", |_, story: &Story| {
                let mut payments = story.shown.orders.iter().flat_map(|order| &order.payments);
                payments.all(|payment| {
                    let given_back = match payment.provider {
                        Some(AtProvider::Taken { given_back }) => given_back,
                        _ => 0,
                    };
                    given_back <= payment.amount && payment.refunded <= given_back
                })
            }),
            Property::always(
                "no money is taken twice for an order",
                |_, story: &Story| {
                    story.shown.orders.iter().all(|order| {
                        let kept = order.payments.iter().filter(|payment| {
                            matches!(payment.provider, Some(AtProvider::Taken { .. }))
                                && !matches!(
                                    payment.state,
                                    PaymentState::Refunding | PaymentState::Refunded
                                )
                        });
                        kept.count() <= 1
                    })
                },
            ),
            Property::always(
                "when nothing is left to do, money kept is the price of the tickets",
                |_, story: &Story| is_busy(story) || is_in_review(story) || balances(story),
            ),
        ]);
        properties
    }
}

impl Sale {
    /// Returns the property of a state that is reached by whoever is in the way.
    fn reached_among(self) -> Vec<Property<Sale>> {
        vec![match self {
            Sale::Two => Property::sometimes(
                "a seat is sold again after its refund",
                |_, story: &Story| {
                    let [first, second] = &story.shown.orders[..] else {
                        return false;
                    };
                    first.state == "refunded" && second.state == "confirmed"
                },
            ),
            Sale::Anyone(_) => Property::sometimes(
                "late money goes back as others have the seats",
                |_, story: &Story| {
                    let mut payments = story.shown.orders.iter().flat_map(|order| &order.payments);
                    let is_let_go = payments.any(|payment| {
                        payment.was_reserved && payment.provider == Some(AtProvider::Cancelled)
                    });
                    is_let_go && story.shown.is_others.iter().all(|is_others| *is_others)
                },
            ),
        }]
    }
}

/// Properties of states that are reached, or the exploration would prove little.
fn reached() -> Vec<Property<Sale>> {
    vec![
        Property::sometimes("an order is confirmed", |_, story: &Story| {
            story
                .shown
                .orders
                .iter()
                .any(|order| order.state == "confirmed")
        }),
        Property::sometimes("an order is confirmed after a look", |_, story: &Story| {
            let mut orders = story.shown.orders.iter();
            let is_confirmed = orders.any(|order| order.state == "confirmed");
            story.shown.has_refused && is_confirmed && !is_in_review(story)
        }),
        Property::sometimes("late money is let go", |_, story: &Story| {
            let mut orders = story.shown.orders.iter();
            orders.any(|order| {
                let paid = order.payments.first();
                order.state == "expired"
                    && paid.is_some_and(|paid| {
                        paid.was_reserved && paid.provider == Some(AtProvider::Cancelled)
                    })
            })
        }),
    ]
}

/// Returns whether the checkout has something to do by itself.
fn is_busy(story: &Story) -> bool {
    own_actions()
        .into_iter()
        .any(|action| next(story, action).is_some())
}

/// Returns whether a payment needs a look, so that nothing is done by itself.
fn is_in_review(story: &Story) -> bool {
    let mut payments = story.shown.orders.iter().flat_map(|order| &order.payments);
    payments.any(|payment| payment.review)
}

/// Returns whether the money that the provider has is the price of the tickets, order by order, and
/// none is reserved.
fn balances(story: &Story) -> bool {
    story.shown.orders.iter().all(|order| {
        let mut kept = 0;
        for payment in &order.payments {
            match payment.provider {
                Some(AtProvider::Taken { given_back }) => kept += payment.amount - given_back,
                Some(AtProvider::Reserved) => return false,
                _ => {}
            }
        }
        kept == PRICE * order.tickets.len() as i64
    })
}

fn explore(sale: Sale) {
    let checker = sale.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
}

#[test]
fn in_every_story_of_two_buyers_and_a_provider_the_books_balance_and_seats_have_one_owner() {
    explore(Sale::Two);
}

#[test]
fn whatever_faults_strike_a_buyer_and_whatever_others_do_the_books_balance_and_seats_are_theirs() {
    for buyer in 0..BUYERS {
        explore(Sale::Anyone(buyer));
    }
}
