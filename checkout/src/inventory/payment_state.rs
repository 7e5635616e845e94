//! The states of a payment, and the one table of its transitions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// State of a payment: one attempt to pay an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Nothing was asked of a provider yet, or its answer is unknown.
    Created,
    /// The provider knows it and waits for the fan, such as for a card or 3-D Secure.
    RequiresAction,
    /// The provider is at work.
    Processing,
    /// The money is reserved.
    Authorised,
    /// The seats are booked, and the reserved money is being taken.
    Capturing,
    /// The money was taken.
    Captured,
    /// Money is being given back, all of it or a part.
    Refunding,
    /// All of the money was given back.
    Refunded,
    /// It failed; no money was taken.
    Failed,
    /// It is being cancelled at the provider.
    Voiding,
    /// It was cancelled at the provider; no money was taken.
    Voided,
}

/// A fact about a payment that its provider tells, or a decision of the checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentEvent {
    /// The provider waits for the fan.
    Offered,
    /// The provider was asked, or is at work.
    Asked,
    /// The provider has reserved the money.
    Authorised,
    /// The seats were booked.
    Booked,
    /// The provider has taken the money.
    Captured,
    /// The provider refused the card, or the capture.
    Declined,
    /// The checkout lets the payment go.
    GivenUp,
    /// The provider has cancelled it.
    Voided,
    /// A refund begins.
    RefundBegun,
    /// A refund that the provider did not make is withdrawn.
    RefundWithdrawn,
    /// A part was given back.
    RefundedInPart,
    /// Everything was given back.
    Refunded,
}

/// The transitions. What is not listed changes nothing: states never go back, whatever order facts
/// arrive in, and however often.
#[rustfmt::skip]
const TRANSITIONS: [(PaymentState, PaymentEvent, PaymentState); 37] = {
    use PaymentEvent as E;
    use PaymentState as S;
    [
        (S::Created, E::Offered, S::RequiresAction),
        (S::Created, E::Asked, S::Processing),
        (S::Created, E::Authorised, S::Authorised),
        (S::Created, E::Captured, S::Captured),
        (S::Created, E::Declined, S::Failed),
        // A provider that knows of it has told no fan how to pay it.
        (S::Created, E::GivenUp, S::Failed),
        (S::RequiresAction, E::Asked, S::Processing),
        (S::RequiresAction, E::Authorised, S::Authorised),
        (S::RequiresAction, E::Captured, S::Captured),
        (S::RequiresAction, E::Declined, S::Failed),
        (S::RequiresAction, E::GivenUp, S::Voiding),
        (S::RequiresAction, E::Voided, S::Failed),
        (S::Processing, E::Offered, S::RequiresAction),
        (S::Processing, E::Authorised, S::Authorised),
        (S::Processing, E::Captured, S::Captured),
        (S::Processing, E::Declined, S::Failed),
        (S::Processing, E::GivenUp, S::Voiding),
        (S::Processing, E::Voided, S::Failed),
        (S::Authorised, E::Booked, S::Capturing),
        (S::Authorised, E::Captured, S::Captured),
        (S::Authorised, E::GivenUp, S::Voiding),
        (S::Authorised, E::Voided, S::Failed),
        (S::Capturing, E::Captured, S::Captured),
        // The provider does not take the money that it reserved, and an organiser lets it go.
        (S::Capturing, E::GivenUp, S::Voiding),
        // The reservation has ended before the money was taken.
        (S::Capturing, E::Declined, S::Failed),
        (S::Capturing, E::Voided, S::Failed),
        (S::Captured, E::RefundBegun, S::Refunding),
        (S::Refunding, E::RefundWithdrawn, S::Captured),
        (S::Refunding, E::RefundedInPart, S::Captured),
        (S::Refunding, E::Refunded, S::Refunded),
        // Late money goes back: the order went on without it.
        (S::Failed, E::Authorised, S::Voiding),
        (S::Failed, E::Captured, S::Refunding),
        // The order had expired, and its seats, or others, are booked for it after all.
        (S::Voiding, E::Booked, S::Capturing),
        (S::Voiding, E::Captured, S::Refunding),
        (S::Voiding, E::Voided, S::Voided),
        (S::Voiding, E::Declined, S::Voided),
        (S::Voided, E::Captured, S::Refunding),
    ]
};

impl PaymentState {
    /// All states.
    pub const ALL: [PaymentState; 11] = [
        PaymentState::Created,
        PaymentState::RequiresAction,
        PaymentState::Processing,
        PaymentState::Authorised,
        PaymentState::Capturing,
        PaymentState::Captured,
        PaymentState::Refunding,
        PaymentState::Refunded,
        PaymentState::Failed,
        PaymentState::Voiding,
        PaymentState::Voided,
    ];

    /// Returns the name by which it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            PaymentState::Created => "created",
            PaymentState::RequiresAction => "requires_action",
            PaymentState::Processing => "processing",
            PaymentState::Authorised => "authorised",
            PaymentState::Capturing => "capturing",
            PaymentState::Captured => "captured",
            PaymentState::Refunding => "refunding",
            PaymentState::Refunded => "refunded",
            PaymentState::Failed => "failed",
            PaymentState::Voiding => "voiding",
            PaymentState::Voided => "voided",
        }
    }

    /// Returns the state with this name.
    pub fn named(name: &str) -> Option<PaymentState> {
        let mut all = PaymentState::ALL.into_iter();
        all.find(|state| state.as_str() == name)
    }

    /// Returns the state after an event; `None` if the event changes nothing.
    pub fn after(self, event: PaymentEvent) -> Option<PaymentState> {
        let mut all = TRANSITIONS.iter();
        let found = all.find(|(from, on, _)| *from == self && *on == event);
        found.map(|(_, _, to)| *to)
    }

    /// Returns whether money may still come, or is on its way.
    pub fn is_pending(self) -> bool {
        matches!(
            self,
            PaymentState::Processing
                | PaymentState::Authorised
                | PaymentState::Capturing
                | PaymentState::Voiding
        )
    }

    /// Returns whether the checkout, and not the fan or the provider, has the next step.
    pub fn is_ours(self) -> bool {
        matches!(
            self,
            PaymentState::Created
                | PaymentState::Authorised
                | PaymentState::Capturing
                | PaymentState::Voiding
                | PaymentState::Refunding
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const EVENTS: [PaymentEvent; 12] = [
        PaymentEvent::Offered,
        PaymentEvent::Asked,
        PaymentEvent::Authorised,
        PaymentEvent::Booked,
        PaymentEvent::Captured,
        PaymentEvent::Declined,
        PaymentEvent::GivenUp,
        PaymentEvent::Voided,
        PaymentEvent::RefundBegun,
        PaymentEvent::RefundWithdrawn,
        PaymentEvent::RefundedInPart,
        PaymentEvent::Refunded,
    ];

    /// Returns the states that can follow, in any number of steps.
    fn reachable(from: PaymentState) -> HashSet<PaymentState> {
        let mut found = HashSet::new();
        let mut open = vec![from];
        while let Some(state) = open.pop() {
            for next in EVENTS.iter().filter_map(|event| state.after(*event)) {
                if found.insert(next) {
                    open.push(next);
                }
            }
        }
        found
    }

    #[test]
    fn every_event_has_one_outcome_in_every_state() {
        let mut seen = Vec::new();
        for (from, event, to) in TRANSITIONS {
            assert!(!seen.contains(&(from, event)), "{from:?} {event:?} twice");
            seen.push((from, event));
            assert_ne!(from, to);
            assert_eq!(from.after(event), Some(to));
        }
        let all = PaymentState::ALL.len() * EVENTS.len();
        let none = PaymentState::ALL
            .iter()
            .flat_map(|state| EVENTS.iter().map(|event| state.after(*event)));
        assert_eq!(
            none.filter(Option::is_none).count(),
            all - TRANSITIONS.len()
        );
    }

    #[test]
    fn a_fact_told_again_changes_nothing_more() {
        for state in PaymentState::ALL {
            for event in EVENTS {
                let Some(next) = state.after(event) else {
                    continue;
                };
                // The seats are booked between the two.
                let again = next.after(event);
                assert_eq!(again, None, "{state:?} {event:?} {next:?}");
            }
        }
    }

    #[test]
    fn all_states_are_reached_and_every_one_can_end() {
        let from_first = reachable(PaymentState::Created);
        for state in PaymentState::ALL {
            assert!(state == PaymentState::Created || from_first.contains(&state));
            let ends = [
                PaymentState::Captured,
                PaymentState::Refunded,
                PaymentState::Failed,
                PaymentState::Voided,
            ];
            let can_end = ends.iter().any(|end| reachable(state).contains(end));
            assert!(can_end || ends.contains(&state), "{state:?}");
        }
    }

    #[test]
    fn money_that_was_taken_is_kept_for_seats_or_given_back_whenever_it_comes() {
        let told = |state: PaymentState| state.after(PaymentEvent::Captured).unwrap_or(state);
        for state in PaymentState::ALL {
            assert!(
                matches!(
                    told(state),
                    PaymentState::Captured | PaymentState::Refunding | PaymentState::Refunded
                ),
                "{state:?}"
            );
        }
    }

    #[test]
    fn nothing_is_captured_once_it_was_given_up_or_had_failed_unless_seats_are_booked_for_it() {
        for given_up in [
            PaymentState::Failed,
            PaymentState::Voiding,
            PaymentState::Voided,
        ] {
            let others = EVENTS
                .iter()
                .filter(|event| **event != PaymentEvent::Booked);
            for next in others.filter_map(|event| given_up.after(*event)) {
                assert!(
                    !matches!(next, PaymentState::Captured | PaymentState::Capturing),
                    "{given_up:?} {next:?}"
                );
            }
        }
    }

    #[test]
    fn a_state_is_found_by_its_name() {
        for state in PaymentState::ALL {
            assert_eq!(PaymentState::named(state.as_str()), Some(state));
            let stored = serde_json::to_value(state).unwrap();
            assert_eq!(stored, state.as_str());
        }
        assert_eq!(PaymentState::named("paid"), None);
    }
}
