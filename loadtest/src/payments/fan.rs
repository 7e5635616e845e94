//! A fan who pays through the provider, or does not.

use super::stage::{EVENT, Ordered, PAUSE, Stage, text};
use crate::private::KEY;
use client::Failed;
use hyper::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longest time for which a fan waits for a step of the checkout.
const PATIENCE: Duration = Duration::from_secs(50);
const GOOD: &str = "pm_card_visa";
const BAD: &str = "pm_card_chargeDeclined";

/// Buys two seats as people do: most pay, some at the second try, some let the seats go or forget
/// them, some get a ticket or both refunded. `chance` is from 0 to 99. The fan gives up when nothing
/// happens for long: the books have to agree all the same.
pub(super) async fn shop(stage: &Stage, token: String, chance: u32) -> Result<(), Failed> {
    let ordered = stage.order(&token, 2).await?;
    match chance {
        0..4 => {
            let path = format!("/api/v1/holds/{}", ordered.hold);
            // The order may be paid or over by now.
            let _ = stage
                .ask(Method::DELETE, &path, &ordered.session, None)
                .await;
            return Ok(());
        }
        4..7 => return Ok(()),
        7..15 => {
            let Some(secret) = secret(stage, &ordered, "").await? else {
                return Ok(());
            };
            let _ = stage.stripe.confirm(&secret, BAD);
            pay(stage, &ordered, &secret).await?;
        }
        _ => pay(stage, &ordered, "").await?,
    }
    if (90..95).contains(&chance) {
        refund(stage, &ordered, chance < 93).await?;
    }
    Ok(())
}

/// Pays with a card that is good, once the browser is told another secret than before.
async fn pay(stage: &Stage, ordered: &Ordered, before: &str) -> Result<(), Failed> {
    if let Some(secret) = secret(stage, ordered, before).await? {
        let _ = stage.stripe.confirm(&secret, GOOD);
    }
    Ok(())
}

/// Waits for the secret by which a browser pays; none if the fan gives up.
async fn secret(stage: &Stage, ordered: &Ordered, before: &str) -> Result<Option<String>, Failed> {
    let found = watch(stage, ordered, |order| {
        let secret = text(&order["payment"]["client_secret"]);
        !secret.is_empty() && secret != before
    });
    Ok(found
        .await?
        .map(|order| text(&order["payment"]["client_secret"])))
}

/// Looks at the order until it is as expected; none if the fan gives up.
async fn watch(
    stage: &Stage,
    ordered: &Ordered,
    is_so: impl Fn(&Value) -> bool,
) -> Result<Option<Value>, Failed> {
    let path = format!("/api/v1/orders/{}", text(&ordered.order["id"]));
    let began = Instant::now();
    let mut order = ordered.order.clone();
    while !is_so(&order) {
        if began.elapsed() > PATIENCE {
            return Ok(None);
        }
        tokio::time::sleep(PAUSE).await;
        order = stage
            .ask(Method::GET, &path, &ordered.session, None)
            .await?;
    }
    Ok(Some(order))
}

/// Has an organiser refund one of the seats, or all, once they are paid.
async fn refund(stage: &Stage, ordered: &Ordered, is_part: bool) -> Result<(), Failed> {
    let Some(order) = watch(stage, ordered, |order| order["state"] == "confirmed").await? else {
        return Ok(());
    };
    let id = text(&order["id"]);
    let path = format!("/api/v1/organiser/events/{EVENT}/orders/{id}/refund");
    let body = if is_part {
        json!({"seats": [order["seats"][0]["id"]]})
    } else {
        json!({})
    };
    // One that was made before its answer was lost is refused the second time.
    let _ = stage.ask(Method::POST, &path, KEY, Some(body)).await;
    Ok(())
}
