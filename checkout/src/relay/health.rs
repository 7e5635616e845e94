//! Health of the relay, for organisers: how far the message broker is behind, and its last refusal.

use super::round::CONSUMER;
use crate::app::{App, Shop};
use axum::Json;
use axum::extract::State;
use brokers::{Failure, FailureKind};
use serde::Serialize;
use shared::http::openapi::Refusals;
use shared::http::problem::Problem;
use shared::organiser::Organiser;
use shared::time::Time;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Last attempt of this node that the broker did not take.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LastRefusal {
    /// When it was.
    at: Time,
    /// `away`: the broker does not answer. `denied`: it refuses the login. `unroutable`: it has no
    /// topic, stream or queue for a type of event. `rejected`: it refuses an event for good, which is
    /// left out.
    #[schema(value_type = String)]
    kind: &'static str,
    /// Why, in words.
    why: String,
}

impl LastRefusal {
    pub(super) fn new(at: Time, failure: Failure) -> LastRefusal {
        let Failure { kind, detail } = failure;
        LastRefusal {
            at,
            kind: FailureKind::name(kind),
            why: detail,
        }
    }
}

/// How events come to the message broker.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RelayHealth {
    /// `Kafka`, `NATS` or `RabbitMQ`; none where no broker is set, and events are only kept.
    #[schema(value_type = Option<String>)]
    broker: Option<&'static str>,
    /// Number of events that wait, counted up to 100,000; 0 without a broker.
    unsent: u64,
    /// Age of the oldest of them, in seconds.
    oldest_seconds: u64,
    /// Why they wait, if the node that answers knows.
    trouble: Option<String>,
    /// The last refusal since the node that answers was started, also if it is over.
    last_refusal: Option<LastRefusal>,
}

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show_relay))
}

/// Show how far the message broker is behind, and why.
#[utoipa::path(get, path = "/api/v1/organiser/relay", tag = "organiser", security(("organiser" = ["viewer"])),
    responses((status = 200, description = "How events come to the message broker", body = RelayHealth), Refusals))]
async fn show_relay(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
) -> Result<Json<RelayHealth>, Problem> {
    let broker = shop.events.as_ref().map(|address| address.broker_name());
    let state = match broker {
        Some(_) => shop.inventory.outbox().state(CONSUMER).await?,
        None => Default::default(),
    };
    Ok(Json(RelayHealth {
        broker,
        unsent: state.unsent,
        oldest_seconds: state.oldest_seconds,
        trouble: shop.site.health.event_trouble.lock().clone(),
        last_refusal: shop.last_refusal.lock().clone(),
    }))
}
