//! The checkout: seats, holds, orders, payments, tickets. It trusts nothing but the admission token.

pub mod inventory;
