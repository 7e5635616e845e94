//! Server skeleton through which every strategy sells: one route to buy, one to poll for the
//! result.

use super::combined::Combined;
use super::locks::Transactions;
use super::redis::{Counter, Lock, Queue};
use super::strategy::{Bought, Seller, ShopArgs, Strategy, Wanted};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use client::Failed;
use serde::Serialize;
use shared::http::listener::{Caps, serve};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Runs the server until it is killed.
///
/// # Errors
/// Fails if a store does not answer.
pub async fn run(args: ShopArgs) -> Result<(), Failed> {
    let seller: Arc<dyn Seller> = match args.strategy {
        Strategy::ForUpdate | Strategy::SkipLocked | Strategy::Optimistic => {
            Arc::new(Transactions::open(&args).await?)
        }
        Strategy::RedisLock => Arc::new(Lock::open(&args).await?),
        Strategy::RedisCounter => Arc::new(Counter::open(&args).await?),
        Strategy::Queue => Arc::new(Queue::open(&args).await?),
        Strategy::Combined => Arc::new(Combined::open(&args).await?),
    };
    let app = Router::new()
        .route("/buy", post(buy))
        .route("/orders/{order}", get(ask))
        .with_state(seller);
    let listener = TcpListener::bind(&args.listen).await;
    let listener = listener.map_err(|error| format!("{}: {error}", args.listen))?;
    let caps = Caps {
        connections_max: 10_000,
        connections_per_address_max: 0,
    };
    serve(listener, app, caps, CancellationToken::new()).await;
    Ok(())
}

#[derive(Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<Vec<i32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

async fn buy(
    State(seller): State<Arc<dyn Seller>>,
    Json(wanted): Json<Wanted>,
) -> (StatusCode, Json<Answer>) {
    answer(seller.buy(wanted).await)
}

async fn ask(
    State(seller): State<Arc<dyn Seller>>,
    Path(order): Path<String>,
) -> (StatusCode, Json<Answer>) {
    answer(seller.ask(&order).await)
}

fn answer(bought: Result<Bought, Failed>) -> (StatusCode, Json<Answer>) {
    let (status, order, seats, why) = match bought {
        Ok(Bought::Sold { order, seats }) => (StatusCode::OK, Some(order), Some(seats), None),
        Ok(Bought::Later(order)) => (StatusCode::ACCEPTED, Some(order), None, None),
        Ok(Bought::Taken) => (StatusCode::CONFLICT, None, None, Some("taken")),
        Ok(Bought::SoldOut) => (StatusCode::CONFLICT, None, None, Some("sold-out")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, None, None, Some("failed")),
    };
    (status, Json(Answer { order, seats, why }))
}
