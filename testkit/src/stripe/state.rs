//! State that the requests to the stand-in of Stripe share.

use super::books::Books;
use crate::stand_in::StandIn;

pub(super) type StandInState = StandIn<Books>;
