//! State that the requests to the stand-in of Stripe share.

use super::books::StripeBooks;
use crate::stand_in::StandIn;

pub(super) type StandInState = StandIn<StripeBooks>;
