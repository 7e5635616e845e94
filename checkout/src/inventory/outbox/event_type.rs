//! Types of the events that the outbox publishes: their names, aggregates and payloads.

/// Type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// An order was paid for, or costs nothing.
    OrderConfirmed,
    /// All of an order's money was given back.
    OrderRefunded,
    /// An order was given up before it was paid for.
    OrderCancelled,
    /// The time to pay for an order ran out.
    OrderExpired,
    /// A ticket of a confirmed order is valid.
    TicketIssued,
    /// A ticket is not valid any more: its money was given back, or it was moved to another seat.
    TicketVoided,
    /// A ticket was checked in at the door.
    TicketCheckedIn,
    /// A check-in of a ticket was taken back.
    TicketCheckInUndone,
    /// The time of a hold ran out, and no order was made of it.
    HoldExpired,
    /// The money of a payment was taken.
    PaymentCaptured,
    /// A payment failed, and no money was taken.
    PaymentFailed,
    /// A payment was cancelled at its provider, and no money was taken.
    PaymentVoided,
    /// Money of a payment was given back, all of it or a part.
    PaymentRefunded,
    /// A payment is disputed at the bank, such as by a chargeback, or its dispute has changed or ended.
    PaymentDisputed,
    /// An event has seats on offer for the first time.
    EventPublished,
    /// The seating plan or the selling rules of an event have changed.
    EventChanged,
    /// No seat of an event is available or held.
    EventSoldOut,
    /// An event that was sold out has seats on offer again.
    EventOnSale,
    /// A show was cancelled: nothing is sold any more, and what was sold is refunded.
    EventCancelled,
    /// An event was deleted; nothing had been sold.
    EventRemoved,
    /// A visitor in line was admitted.
    AdmissionAdmitted,
    /// A visitor who was admitted did not come in time.
    AdmissionMissed,
    /// The admission of a visitor ended: they were done, left, were removed, or ran out of time.
    AdmissionFinished,
    /// The draw of a line was held.
    DrawHeld,
}

/// Kind of thing whose events keep their order; a topic of its own with most brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// An order with its tickets and payments.
    Order,
    /// A hold.
    Hold,
    /// An event.
    Event,
    /// The admissions of a visitor.
    Admission,
    /// The draw of an event.
    Draw,
}

impl Aggregate {
    /// All of them.
    pub const ALL: [Aggregate; 5] = [
        Aggregate::Order,
        Aggregate::Hold,
        Aggregate::Event,
        Aggregate::Admission,
        Aggregate::Draw,
    ];

    /// Returns its name, the `aggregatetype` of its rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Aggregate::Order => "order",
            Aggregate::Hold => "hold",
            Aggregate::Event => "event",
            Aggregate::Admission => "admission",
            Aggregate::Draw => "draw",
        }
    }
}

impl EventType {
    /// All types.
    pub const ALL: [EventType; 24] = [
        EventType::OrderConfirmed,
        EventType::OrderRefunded,
        EventType::OrderCancelled,
        EventType::OrderExpired,
        EventType::TicketIssued,
        EventType::TicketVoided,
        EventType::TicketCheckedIn,
        EventType::TicketCheckInUndone,
        EventType::HoldExpired,
        EventType::PaymentCaptured,
        EventType::PaymentFailed,
        EventType::PaymentVoided,
        EventType::PaymentRefunded,
        EventType::PaymentDisputed,
        EventType::EventPublished,
        EventType::EventChanged,
        EventType::EventSoldOut,
        EventType::EventOnSale,
        EventType::EventCancelled,
        EventType::EventRemoved,
        EventType::AdmissionAdmitted,
        EventType::AdmissionMissed,
        EventType::AdmissionFinished,
        EventType::DrawHeld,
    ];

    /// Returns its name: the subject, a dot, and what happened to it.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::OrderConfirmed => "order.confirmed",
            EventType::OrderRefunded => "order.refunded",
            EventType::OrderCancelled => "order.cancelled",
            EventType::OrderExpired => "order.expired",
            EventType::TicketIssued => "ticket.issued",
            EventType::TicketVoided => "ticket.voided",
            EventType::TicketCheckedIn => "ticket.checked_in",
            EventType::TicketCheckInUndone => "ticket.check_in_undone",
            EventType::HoldExpired => "hold.expired",
            EventType::PaymentCaptured => "payment.captured",
            EventType::PaymentFailed => "payment.failed",
            EventType::PaymentVoided => "payment.voided",
            EventType::PaymentRefunded => "payment.refunded",
            EventType::PaymentDisputed => "payment.disputed",
            EventType::EventPublished => "event.published",
            EventType::EventChanged => "event.changed",
            EventType::EventSoldOut => "event.sold_out",
            EventType::EventOnSale => "event.on_sale",
            EventType::EventCancelled => "event.cancelled",
            EventType::EventRemoved => "event.removed",
            EventType::AdmissionAdmitted => "admission.admitted",
            EventType::AdmissionMissed => "admission.missed",
            EventType::AdmissionFinished => "admission.finished",
            EventType::DrawHeld => "draw.held",
        }
    }

    /// Returns a sentence that says when it is published.
    pub fn summary(self) -> &'static str {
        match self {
            EventType::OrderConfirmed => "An order was paid for, or costs nothing.",
            EventType::OrderRefunded => "All of an order's money was given back.",
            EventType::OrderCancelled => "An order was given up before it was paid for.",
            EventType::OrderExpired => "The time to pay for an order ran out.",
            EventType::TicketIssued => "A ticket of a confirmed order is valid.",
            EventType::TicketVoided => {
                "A ticket is not valid any more: its money was given back, or it was moved to another seat."
            }
            EventType::TicketCheckedIn => "A ticket was checked in at the door.",
            EventType::TicketCheckInUndone => "A check-in of a ticket was taken back.",
            EventType::HoldExpired => "The time of a hold ran out, and no order was made of it.",
            EventType::PaymentCaptured => "The money of a payment was taken.",
            EventType::PaymentFailed => "A payment failed, and no money was taken.",
            EventType::PaymentVoided => {
                "A payment was cancelled at its provider, and no money was taken."
            }
            EventType::PaymentRefunded => "Money of a payment was given back, all of it or a part.",
            EventType::PaymentDisputed => {
                "A payment is disputed at the bank, such as by a chargeback, or its dispute has changed or ended."
            }
            EventType::EventPublished => "An event has seats on offer for the first time.",
            EventType::EventChanged => {
                "The seating plan or the selling rules of an event have changed."
            }
            EventType::EventSoldOut => "No seat of an event is available or held.",
            EventType::EventOnSale => "An event that was sold out has seats on offer again.",
            EventType::EventCancelled => {
                "A show was cancelled: nothing is sold any more, and what was sold is refunded."
            }
            EventType::EventRemoved => "An event was deleted; nothing had been sold.",
            EventType::AdmissionAdmitted => "A visitor in line was admitted.",
            EventType::AdmissionMissed => "A visitor who was admitted did not come in time.",
            EventType::AdmissionFinished => {
                "The admission of a visitor ended: they were done, left, were removed, or ran out of time."
            }
            EventType::DrawHeld => "The draw of a line was held.",
        }
    }

    /// Returns whether a type is one of those that are wanted: by its name, or by the beginning of
    /// names, such as `order.*`.
    pub(crate) fn fits(wanted: &str, name: &str) -> bool {
        match wanted.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == wanted,
        }
    }

    /// Returns the type of the event that tells whether an event is sold out.
    pub(in crate::inventory) fn of_sale(is_sold_out: bool) -> EventType {
        if is_sold_out {
            EventType::EventSoldOut
        } else {
            EventType::EventOnSale
        }
    }

    /// Returns the first word of its name: what it is about, and the name of its payload's schema.
    pub fn subject(self) -> &'static str {
        let name = self.as_str();
        name.split_once('.').map_or(name, |(subject, _)| subject)
    }

    /// Returns the aggregate among whose events it keeps its place. Tickets and payments belong to
    /// their order.
    pub fn aggregate(self) -> Aggregate {
        match self.subject() {
            "hold" => Aggregate::Hold,
            "event" => Aggregate::Event,
            "admission" => Aggregate::Admission,
            "draw" => Aggregate::Draw,
            _ => Aggregate::Order,
        }
    }
}
