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
use shared::http::page_request::PageRequest;
use shared::http::problem::{Input, Problem};
use shared::http::static_files::page;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const NO_MAIL: &str = "page.message.no_mail";

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
    let mailer = shop.mail.as_ref().ok_or_else(Problem::no_mail)?;
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

/// Shows the form, which works without JavaScript.
async fn show_form(State(shop): State<Arc<Shop>>, request: PageRequest) -> Response {
    match shop.mail {
        Some(_) => page(&request, request.language(), "find.html", &[]),
        None => message(
            &request,
            StatusCode::NOT_FOUND,
            "page.find.heading",
            NO_MAIL,
        ),
    }
}

async fn take_form(
    State(shop): State<Arc<Shop>>,
    client: Option<Extension<ClientAddress>>,
    request: PageRequest,
    form: Result<Form<OrderLookUp>, FormRejection>,
) -> Response {
    let asked = match form {
        Ok(Form(form)) => ask(&shop, client, form.email.trim()).await,
        Err(_) => Err(Problem::invalid("email", "it is missing")),
    };
    let Err(problem) = asked else {
        let (title, text) = ("page.message.mailbox", "page.message.asked");
        return message(&request, StatusCode::OK, title, text);
    };
    let text = match problem.status() {
        StatusCode::UNPROCESSABLE_ENTITY => "page.message.no_address",
        StatusCode::TOO_MANY_REQUESTS => "page.message.many_asked",
        StatusCode::NOT_FOUND => NO_MAIL,
        _ => "page.message.not_taken",
    };
    let refusal = problem.into_response();
    let mut response = message(&request, refusal.status(), "page.find.heading", text);
    if let Some(seconds) = refusal.headers().get(header::RETRY_AFTER) {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.clone());
    }
    response
}
