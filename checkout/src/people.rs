//! Organiser routes of personal data: what is kept of a buyer, and its erasure.

use crate::app::{App, Shop};
use crate::inventory::Visit;
use crate::organiser_orders::OrganiserOrder;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::audit::Entry;
use shared::http::openapi::Refusals;
use shared::http::problem::{Parameters, Problem};
use shared::ids::{EventId, VisitorId};
use shared::organiser::Organiser;
use shared::time::Time;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export_person, erase_person))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PersonQuery {
    /// E-mail address of the buyer; capitals do not count.
    #[param(min_length = 3, max_length = 254, example = "ada@example.org")]
    email: String,
}

impl PersonQuery {
    fn check(&self) -> Result<(), Problem> {
        let is_address = self.email.contains('@') && self.email.chars().count() <= 254;
        is_address
            .then_some(())
            .ok_or_else(|| Problem::invalid("email", "an address such as ada@example.org"))
    }
}

/// Everything that is kept of a buyer.
#[derive(Serialize, utoipa::ToSchema)]
struct PersonView {
    /// Orders of all events, with what their visitors did around them.
    orders: Vec<PersonOrder>,
    /// Places in line of which the turn is told to this address by mail.
    line: Vec<PersonInLine>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct PersonInLine {
    event: EventId,
    #[schema(value_type = String)]
    visitor: VisitorId,
    /// Language of the mail.
    language: String,
    /// When the address was left.
    created_at: Time,
    /// Number of the phone to which a text message tells of the turn; null if none was left.
    phone: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct PersonOrder {
    order: OrganiserOrder,
    visit: Visit,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Erased {
    /// Number of orders whose buyer was erased.
    orders: usize,
    /// Number of places in line from which the address was deleted, and the number of a phone beside it.
    line: usize,
}

/// Export what is kept of a buyer: orders, sessions and holds of all events, and places in line.
#[utoipa::path(get, path = "/api/v1/organiser/people", tag = "organiser", params(PersonQuery),
    security(("organiser" = ["admin"])),
    responses((status = 200, description = "What is kept; no orders if nothing is", body = PersonView), Refusals))]
async fn export_person(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Parameters(query): Parameters<PersonQuery>,
) -> Result<Json<PersonView>, Problem> {
    query.check()?;
    let found = shop.inventory.export_person(&query.email).await?;
    let orders = found.into_iter().map(|person| PersonOrder {
        order: OrganiserOrder::of(person.order, &organiser),
        visit: person.visit,
    });
    let mut line = Vec::new();
    for row in shop.inventory.line_mails_of(&query.email).await? {
        line.push(PersonInLine {
            phone: shop.inventory.line_phone_of(&row.place).await?,
            event: row.place.event,
            visitor: row.place.visitor,
            language: row.mail.language,
            created_at: row.created_at,
        });
    }
    let view = PersonView {
        orders: orders.collect(),
        line,
    };
    record(&shop, &organiser, "person.export", view.orders.len()).await;
    Ok(Json(view))
}

/// Erase a buyer: name and address go from all of their orders, which stay as figures, and the address
/// from places in line, with the number of a phone beside it. Tickets stay valid.
#[utoipa::path(delete, path = "/api/v1/organiser/people", tag = "organiser", params(PersonQuery),
    security(("organiser" = ["admin"])),
    responses((status = 200, description = "The buyer is erased", body = Erased), Refusals))]
async fn erase_person(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Parameters(query): Parameters<PersonQuery>,
) -> Result<Json<Erased>, Problem> {
    query.check()?;
    let line = shop.inventory.erase_line_mails(&query.email).await?;
    let orders = shop.inventory.erase_person(&query.email).await?;
    shop.resume_mails_to(&query.email).await?;
    record(&shop, &organiser, "person.erase", orders).await;
    Ok(Json(Erased { orders, line }))
}

/// Records a request in the audit log, without the address that it is about.
async fn record(shop: &Shop, organiser: &Organiser, action: &str, orders: usize) {
    let entry = organiser.entry(shop.inventory.now(), action, "");
    let to = json!({"orders": orders});
    shop.site.audit.record(Entry { to, ..entry }).await;
}
