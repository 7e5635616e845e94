//! Organiser routes of webhooks: the endpoints with their filters and secrets, and what was posted to
//! them.

mod bodies;
mod common;
mod deliveries;

use crate::app::{App, Shop};
use crate::inventory::webhooks::{ENDPOINTS_MAX, EndpointSettings, EndpointState, WebhookEndpoint};
use crate::webhooks::new_secret;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bodies::{
    NewWebhook, RotateInput, Webhook, WebhookList, WebhookPatch, WebhookWithSecret, audited, check,
    check_events,
};
use common::{find, no_webhook, record};
use serde_json::{Value, json};
use shared::crypto::random_id;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Problem};
use shared::organiser::Organiser;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Time for which an old secret signs as well, unless another is given; and the longest.
const OLD_SECONDS: u32 = 24 * 3600;
const OLD_SECONDS_MAX: u32 = 7 * 24 * 3600;
/// Number of times that a change is tried while others change the same webhook.
const CHANGE_TRIES: usize = 3;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_webhooks, create_webhook))
        .routes(routes!(change_webhook, delete_webhook))
        .routes(routes!(rotate_secret))
        .merge(deliveries::routes())
}

/// List the systems to which events are posted.
#[utoipa::path(get, path = "/api/v1/organiser/webhooks", tag = "organiser", security(("organiser" = ["operator"])),
    responses((status = 200, description = "The webhooks", body = WebhookList), Refusals))]
async fn list_webhooks(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
) -> Result<Json<WebhookList>, Problem> {
    let now = shop.inventory.now();
    let endpoints = shop.inventory.webhooks().endpoints().await?.into_iter();
    let webhooks = endpoints.map(|endpoint| Webhook::of(endpoint, now));
    Ok(Json(WebhookList {
        webhooks: webhooks.collect(),
    }))
}

/// Add a system to which events are posted from now on. The answer has the secret that signs its
/// deliveries, which is not shown again. 409 `too-many-webhooks` if there are 20.
#[utoipa::path(post, path = "/api/v1/organiser/webhooks", tag = "organiser", security(("organiser" = ["admin"])),
    request_body = NewWebhook,
    responses((status = 201, description = "The webhook, and its secret", body = WebhookWithSecret), Refusals))]
async fn create_webhook(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Input(new, _): Input<NewWebhook>,
) -> Result<(StatusCode, Json<WebhookWithSecret>), Problem> {
    let now = shop.inventory.now();
    let settings = EndpointSettings {
        name: new.name,
        url: new.url,
        types: new.types,
        events: new.events,
        is_ordered: new.is_ordered,
        secret: new_secret(),
        old_secret: None,
    };
    check(&settings, Some(&shop.outbound))?;
    check_events(&*shop.waiting_room, &[], &settings.events).await?;
    let secret = settings.secret.0.clone();
    let endpoint = WebhookEndpoint {
        id: random_id("whe_"),
        settings: Some(settings),
        is_current: true,
        version: 0,
        state: EndpointState::Enabled,
        reason: String::new(),
        created_at: now,
        since: now,
        failing_since: None,
    };
    if !shop.inventory.webhooks().add_endpoint(&endpoint).await? {
        let title = format!("There are {ENDPOINTS_MAX} webhooks, and no more can be added");
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "too-many-webhooks",
            &title,
        ));
    }
    let to = audited(&endpoint);
    record(&shop, &organiser, "webhook.create", Value::Null, to).await;
    let webhook = Webhook::of(endpoint, now);
    let created = Json(WebhookWithSecret { webhook, secret });
    Ok((StatusCode::CREATED, created))
}

/// Change a webhook, disable it or enable it again. While it is disabled nothing is kept for it: it
/// gets the events from the time on at which it was enabled.
#[utoipa::path(patch, path = "/api/v1/organiser/webhooks/{webhook}", tag = "organiser",
    params(("webhook" = String, Path)), security(("organiser" = ["admin"])), request_body = WebhookPatch,
    responses((status = 200, description = "The webhook", body = Webhook), Refusals))]
async fn change_webhook(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(webhook): Path<String>,
    Input(patch, _): Input<WebhookPatch>,
) -> Result<Json<Webhook>, Problem> {
    let now = shop.inventory.now();
    let (before, after) = change(&shop, &webhook, |endpoint, settings| {
        set(&mut settings.name, &patch.name);
        set(&mut settings.url, &patch.url);
        set(&mut settings.types, &patch.types);
        set(&mut settings.events, &patch.events);
        set(&mut settings.is_ordered, &patch.is_ordered);
        match patch.is_enabled {
            Some(true) if endpoint.state != EndpointState::Enabled => {
                endpoint.state = EndpointState::Enabled;
                endpoint.reason = String::new();
                endpoint.since = now;
                endpoint.failing_since = None;
            }
            Some(false) => {
                endpoint.state = EndpointState::Disabled;
                endpoint.reason = String::new();
            }
            _ => {}
        }
    })
    .await?;
    let (from, to) = (audited(&before), audited(&after));
    record(&shop, &organiser, "webhook.update", from, to).await;
    Ok(Json(Webhook::of(after, now)))
}

/// Remove a webhook. What waits for it is not posted any more, and its deliveries are forgotten.
#[utoipa::path(delete, path = "/api/v1/organiser/webhooks/{webhook}", tag = "organiser",
    params(("webhook" = String, Path)), security(("organiser" = ["admin"])),
    responses((status = 204, description = "It is gone"), Refusals))]
async fn delete_webhook(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(webhook): Path<String>,
) -> Result<StatusCode, Problem> {
    let endpoint = find(&shop, &webhook).await?;
    if !shop.inventory.webhooks().remove_endpoint(&webhook).await? {
        return Err(no_webhook());
    }
    let from = audited(&endpoint);
    record(&shop, &organiser, "webhook.delete", from, Value::Null).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a new secret for a webhook. The one before signs as well for a while, so that the receiver
/// can change over without refusing anything.
#[utoipa::path(post, path = "/api/v1/organiser/webhooks/{webhook}/rotate", tag = "organiser",
    params(("webhook" = String, Path)), security(("organiser" = ["admin"])),
    request_body(content = RotateInput, description = "Nothing, or {}: the secret before signs for a day"),
    responses((status = 200, description = "The webhook, and its new secret", body = WebhookWithSecret), Refusals))]
async fn rotate_secret(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(webhook): Path<String>,
    Input(input, _): Input<RotateInput>,
) -> Result<Json<WebhookWithSecret>, Problem> {
    let old_seconds = input.old_seconds.unwrap_or(OLD_SECONDS);
    if old_seconds > OLD_SECONDS_MAX {
        let why = format!("0 to {OLD_SECONDS_MAX}");
        return Err(Problem::invalid("old_seconds", why));
    }
    let now = shop.inventory.now();
    let (secret, until) = (new_secret(), now.plus_seconds(old_seconds));
    let (_, after) = change(&shop, &webhook, |_, settings| {
        let old = std::mem::replace(&mut settings.secret, secret.clone());
        settings.old_secret = (old_seconds > 0).then_some((old, until));
    })
    .await?;
    let to = json!({"webhook": webhook, "old_secret_until": until});
    record(&shop, &organiser, "webhook.rotate", Value::Null, to).await;
    let webhook = Webhook::of(after, now);
    let secret = secret.0;
    Ok(Json(WebhookWithSecret { webhook, secret }))
}

fn set<T: Clone>(field: &mut T, value: &Option<T>) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}

/// Changes a webhook, also while others do. Returns it as it was before, and after.
async fn change(
    shop: &Shop,
    webhook: &str,
    edit: impl Fn(&mut WebhookEndpoint, &mut EndpointSettings),
) -> Result<(WebhookEndpoint, WebhookEndpoint), Problem> {
    for _ in 0..CHANGE_TRIES {
        let before = find(shop, webhook).await?;
        let mut after = before.clone();
        let mut settings = after.settings.take().ok_or_else(|| {
            let title = "The key that sealed this webhook is missing: remove it, and add it anew";
            Problem::new(StatusCode::CONFLICT, "webhook-sealed", title)
        })?;
        edit(&mut after, &mut settings);
        // The networks that may be reached may be fewer by now: a webhook can be disabled then.
        let is_url_new = before
            .settings
            .as_ref()
            .is_none_or(|it| it.url != settings.url);
        let is_enabled = |it: &WebhookEndpoint| it.state == EndpointState::Enabled;
        let is_posted_to_anew = is_url_new || is_enabled(&after) && !is_enabled(&before);
        check(&settings, is_posted_to_anew.then_some(&shop.outbound))?;
        let known = before.settings.as_ref().map(|it| &it.events[..]);
        let known = known.unwrap_or_default();
        check_events(&*shop.waiting_room, known, &settings.events).await?;
        if is_url_new {
            after.failing_since = None;
        }
        after.settings = Some(settings);
        if shop.inventory.webhooks().change_endpoint(&after).await? {
            return Ok((before, after));
        }
    }
    let title = "The webhook is being changed by others: try again";
    Err(Problem::new(StatusCode::CONFLICT, "webhook-changed", title))
}
