//! The decisions on orders and payments, explored in full: two buyers, two seats, and a provider
//! whose answers get lost, whose webhooks are late, and with whom money comes when no one waits for
//! it any more. The decisions are the real ones; the store and the provider are models.

mod world;

use crate::inventory::model::{PaymentState, Settlement};
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

struct Sale;

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
        for buyer in 0..BUYERS {
            if story.shown.orders[buyer].state == "none" {
                actions.push(Action::Order(buyer));
                continue;
            }
            // Faults strike the first buyer alone; the second is in the way.
            if buyer > 0 {
                actions.push(Action::Pay(buyer, 0));
                continue;
            }
            actions.extend([
                Action::Release(buyer),
                Action::Refund(buyer, true),
                Action::Refund(buyer, false),
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
        properties.extend([
            Property::always("no seat has two owners", |_, story: &Story| {
                let mut tickets: Vec<u32> = Vec::new();
                for order in &story.shown.orders {
                    tickets.extend(&order.tickets);
                }
                let booked = story.shown.seats.iter().filter(|seat| **seat == 2).count();
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
        Property::sometimes(
            "a seat is sold again after its refund",
            |_, story: &Story| {
                let [first, second] = &story.shown.orders[..] else {
                    return false;
                };
                first.state == "refunded" && second.state == "confirmed"
            },
        ),
        Property::sometimes("an order is confirmed after a look", |_, story: &Story| {
            let first = &story.shown.orders[0];
            story.shown.has_refused && first.state == "confirmed" && !is_in_review(story)
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

#[test]
fn in_every_story_of_two_buyers_and_a_provider_the_books_balance_and_seats_have_one_owner() {
    let checker = Sale.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
}
