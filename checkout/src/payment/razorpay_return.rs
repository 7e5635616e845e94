//! The route by which the fan's browser says that it paid at Razorpay.

use super::razorpay::RazorpayReturn;
use super::webhook::bad_signature;
use crate::app::{App, Shop};
use crate::inventory::{Order, PaymentState, Refused};
use crate::sessions::Sessions;
use axum::Json;
use axum::extract::{Path, State};
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Problem};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(return_from_razorpay))
}

/// Take what Razorpay's checkout gave to the page once the fan had paid, and return the updated
/// order. The payment goes on without this too, by a webhook or a look-up, only later. 400
/// `bad-signature` if it is not signed by Razorpay, or is of another payment.
#[utoipa::path(post, path = "/api/v1/payments/razorpay/{payment}", tag = "checkout",
    params(("payment" = String, Path)),
    request_body = RazorpayReturn, security(("session" = [])),
    responses((status = 200, description = "The order after this", body = Order), Refusals))]
async fn return_from_razorpay(
    State(shop): State<Arc<Shop>>,
    Path(payment): Path<String>,
    Sessions(keys): Sessions,
    Input(returned, _): Input<RazorpayReturn>,
) -> Result<Json<Order>, Problem> {
    let payment = shop.inventory.own_payment(keys, &payment).await?;
    let (Some(razorpay), Some(order)) = (shop.providers.razorpay(), &payment.reference) else {
        return Err(Refused::NoSuchPayment.into());
    };
    if !razorpay.confirms(order, &returned) {
        return Err(bad_signature());
    }
    // It says no more than that it is time to look.
    let asked = shop.drive_and_show(payment, PaymentState::RequiresAction);
    Ok(Json(asked.await?))
}
