//! Classes of requests.

use axum::http::Method;

/// Class of a request, by what its refusal costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Organisers, and one of our services on behalf of the other.
    Organiser,
    /// Holds, orders, payments, whatever gives seats or a slot back, and the parts of a page that
    /// was served.
    Purchase,
    /// Places in line and new sessions. Behind purchases: a process that only let more fans in
    /// would sell nothing.
    Enter,
    /// Lists, maps and pages.
    Browse,
}

impl Class {
    /// All classes, in the order in which they are counted.
    pub const ALL: [Class; 4] = [
        Class::Organiser,
        Class::Purchase,
        Class::Enter,
        Class::Browse,
    ];

    /// Those of fans, which share a limit.
    pub(super) const FANS: [Class; 3] = [Class::Purchase, Class::Enter, Class::Browse];

    /// Returns the class of a request by its method and its route.
    pub fn of(method: &Method, route: &str) -> Class {
        if route.starts_with("/api/v1/organiser/") {
            return Class::Organiser;
        }
        match route {
            "/organiser"
            | "/door/{event}"
            | "/door/worker.js"
            | "/api/v1/events/{event}/availability"
            | "/api/v1/events/{event}/cancellation"
            | "/api/v1/events/{event}/line-mail/{visitor}"
            | "/api/v1/events/{event}/line-push/{visitor}"
            | "/api/v1/events/{event}/line-sms/{visitor}"
            | "/api/v1/events/{event}/log"
            | "/api/v1/events/{event}/waits"
            | "/api/v1/line-offers" => Class::Organiser,
            "/api/v1/events/{event}/seating" if method == Method::DELETE => Class::Organiser,
            "/api/v1/events/{event}/admission"
            | "/api/v1/events/{event}/admission/extend"
            | "/api/v1/events/{event}/admission/start"
            | "/api/v1/events/{event}/sessions/extend"
            | "/api/v1/events/{event}/holds"
            | "/api/v1/holds/{hold}"
            | "/api/v1/holds/{hold}/price"
            | "/api/v1/orders"
            | "/api/v1/orders/find"
            | "/api/v1/orders/{order}"
            | "/api/v1/payments/razorpay/{payment}"
            | "/api/v1/payments/simulated/{payment}"
            | "/api/v1/qr"
            | "/e/{event}/leave"
            | "/e/{event}/seats"
            | "/orders"
            | "/orders/find"
            | "/orders/{order}"
            | "/static/{*path}"
            | "/webhooks/razorpay"
            | "/webhooks/stripe"
            | "/.well-known/jwks.json" => Class::Purchase,
            "/api/v1/events/{event}/line/me" if method == Method::DELETE => Class::Purchase,
            "/api/v1/events/{event}/sessions" if method == Method::POST => Class::Enter,
            "/api/v1/events/{event}/line"
            | "/api/v1/events/{event}/line/me"
            | "/api/v1/events/{event}/line/me/mail"
            | "/api/v1/events/{event}/line/me/push"
            | "/api/v1/events/{event}/line/me/sms"
            | "/api/v1/events/{event}/line/ws"
            | "/e/{event}/join"
            | "/e/{event}/mail"
            | "/e/{event}/place"
            | "/e/{event}/unsubscribe" => Class::Enter,
            "/api/v1/events/{event}/sessions" => Class::Purchase,
            _ => Class::Browse,
        }
    }

    /// Returns the name of the class in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Class::Organiser => "organiser",
            Class::Purchase => "purchase",
            Class::Enter => "enter",
            Class::Browse => "browse",
        }
    }
}
