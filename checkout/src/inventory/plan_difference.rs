//! The difference between two seating plans, for people.

use serde::Serialize;
use utoipa::ToSchema;

/// Difference between an event's seating plan and the one that is to replace it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlanDifference {
    /// Confirms this difference, and no other.
    pub confirmation: String,
    /// Number of seats now.
    pub capacity_before: u32,
    /// Number of seats then.
    pub capacity: u32,
    /// Seats that are added, by category.
    pub added: Vec<SeatGroup>,
    /// Seats that are removed, by category. None of them is held or sold.
    pub removed: Vec<SeatGroup>,
    /// Categories with another price. Tickets that are sold keep theirs.
    pub repriced: Vec<Repriced>,
    /// Seats that come into another category. Tickets that are sold keep theirs.
    pub moved: Vec<MovedSeats>,
}

/// Seats of a category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SeatGroup {
    /// Name of the category.
    pub category: String,
    /// Number of the seats.
    pub seats: u32,
    /// Labels of some of them.
    #[schema(max_items = 12)]
    pub examples: Vec<String>,
    /// Number of those that an organiser had blocked.
    pub blocked: u32,
}

/// A category with another price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Repriced {
    /// Name of the category.
    pub category: String,
    /// Price now, in minor units; null if it is not for sale.
    pub from: Option<i64>,
    /// Price then.
    pub to: Option<i64>,
    /// Number of its seats then, of those that there are now.
    pub seats: u32,
    /// Number of those that are sold, and keep the price that was paid.
    pub sold: u32,
}

/// Seats that come into another category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MovedSeats {
    /// Name of the category now.
    pub from: String,
    /// Name of the category then.
    pub to: String,
    /// Number of the seats.
    pub seats: u32,
    /// Number of those that are sold, and keep the price that was paid.
    pub sold: u32,
    /// Labels of some of them.
    #[schema(max_items = 12)]
    pub examples: Vec<String>,
}
