//! Orders looked up by mail: links to the orders of an address are sent to that address. The answer
//! is the same, and as fast, whether there are any: they are looked for afterwards.

use crate::app::{App, Shop};
use crate::inventory::comparable;
use crate::inventory::mail::{MailKind, NewMail};
use crate::orders::check_buyer;
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Form, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use shared::crypto::random_id;
use shared::http::client_address::ClientAddress;
use shared::http::message_page::message;
use shared::http::openapi::Refusals;
use shared::http::path_prefix::PathPrefix;
use shared::http::problem::{Input, Problem};
use shared::http::static_files::page;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const ASKED: &str = "If there are orders for this address, a mail with links to them is on its way. It may take some minutes.";
const NO_MAIL: &str = "This site sends no mail. Your tickets are under “Your tickets” in the browser in which you bought them.";

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(find_orders))
}

pub(crate) fn pages() -> Router<App> {
    Router::new().route("/orders/find", get(show_form).post(take_form))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct OrderLookUp {
    /// E-mail address of the buyer; capitals do not count.
    #[schema(format = Email, max_length = 254)]
    email: String,
}

/// Ask for a mail with links to the orders of an address. The answer does not tell whether there are
/// any. 404 `no-mail` where the site sends no mail; 429 after some tries from one network. An address
/// gets a few of these mails an hour at most.
#[utoipa::path(post, path = "/api/v1/orders/find", tag = "checkout", request_body = OrderLookUp, security(()),
    responses((status = 202, description = "If there are orders for this address, a mail is on its way"), Refusals))]
async fn find_orders(
    State(shop): State<Arc<Shop>>,
    address: Option<Extension<ClientAddress>>,
    Input(input, _): Input<OrderLookUp>,
) -> Result<StatusCode, Problem> {
    ask(&shop, address, &input.email).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn ask(
    shop: &Shop,
    client: Option<Extension<ClientAddress>>,
    email: &str,
) -> Result<(), Problem> {
    let mailer = shop.mail.as_ref().ok_or_else(no_mail)?;
    if let Some(Extension(ClientAddress(client))) = client {
        mailer.look_ups.check(client).map_err(Problem::too_many)?;
    }
    check_buyer("", None, Some(email))?;
    if mailer.looked_up.check(comparable(email)).is_err() {
        // Silently, or whoever asks would learn that someone did before.
        return Ok(());
    }
    let asked = NewMail {
        id: random_id("mail_"),
        event: String::new(),
        order: String::new(),
        kind: MailKind::Orders,
        detail: email.to_owned(),
        created_at: shop.inventory.now(),
    };
    Ok(shop.inventory.mails().add(asked).await?)
}

pub(crate) fn no_mail() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-mail", "This site sends no mail")
}

/// Shows the form, which works without JavaScript.
async fn show_form(State(shop): State<Arc<Shop>>, prefix: PathPrefix) -> Response {
    match shop.mail {
        Some(_) => page(&prefix, "find.html", &[]),
        None => message(&prefix, StatusCode::NOT_FOUND, "Find your orders", NO_MAIL),
    }
}

async fn take_form(
    State(shop): State<Arc<Shop>>,
    client: Option<Extension<ClientAddress>>,
    prefix: PathPrefix,
    form: Result<Form<OrderLookUp>, FormRejection>,
) -> Response {
    let asked = match form {
        Ok(Form(form)) => ask(&shop, client, form.email.trim()).await,
        Err(_) => Err(Problem::invalid("email", "it is missing")),
    };
    let Err(problem) = asked else {
        return message(&prefix, StatusCode::OK, "Look into your mailbox", ASKED);
    };
    let text = match problem.status() {
        StatusCode::UNPROCESSABLE_ENTITY => {
            "That is no address that a mail can be sent to. Go back and type it again."
        }
        StatusCode::TOO_MANY_REQUESTS => {
            "Many have asked from your network. Go back and try again in some minutes."
        }
        StatusCode::NOT_FOUND => NO_MAIL,
        _ => "We could not take that just now. Go back and try again in a moment.",
    };
    let refusal = problem.into_response();
    let mut response = message(&prefix, refusal.status(), "Find your orders", text);
    if let Some(seconds) = refusal.headers().get(header::RETRY_AFTER) {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.clone());
    }
    response
}
