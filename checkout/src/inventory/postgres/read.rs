//! Queries: records of visitors, an event with its seats, lists for organisers. Each is one
//! statement, so that its result is consistent.

use super::database::QueryError;
use super::shard::Shard;
use crate::inventory::charges::{Lines, set_prices};
use crate::inventory::command::Command;
use crate::inventory::commands::Target;
use crate::inventory::event_state::Plan;
use crate::inventory::model::*;
use crate::inventory::order_page::OrderPage;
use crate::inventory::payment_review::Review;
use crate::inventory::personal::Personal;
use crate::inventory::records::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use sqlx::{Row as _, query};
use std::collections::HashMap;
use uuid::Uuid;

/// All records of the visitors with these sessions ($2), admissions ($3), orders ($4) or ids ($5),
/// including these of their ended holds ($6), and stored answers ($7).
/// With the version of the plan in which they name seats.
const VISITOR_RECORDS: &str = "select kind, line from fairline.visits($1, $2, $3, $4, $5, $6, $7)
    union all select 'plan', e.plan_version::text from fairline.event e where e.event = $1";

#[derive(Deserialize)]
struct SessionJson {
    key: String,
    visitor: Uuid,
    number: u64,
    jti: String,
    token: String,
    expires_at: i64,
    is_over: bool,
    report: i16,
}

#[derive(Deserialize)]
struct SequenceJson {
    visitor: Uuid,
    number: i32,
}

#[derive(Deserialize)]
struct HoldJson {
    visitor: Uuid,
    id: Uuid,
    session: String,
    state: usize,
    places: String,
    total: i64,
    currency: Currency,
    expires_at: i64,
    lapses_at: i64,
    max_expires_at: i64,
    order_id: Option<String>,
    lines: Option<String>,
}

#[derive(Deserialize)]
struct OrderJson {
    id: String,
    hold: Uuid,
    visitor: Uuid,
    session: String,
    state: OrderState,
    seats: String,
    total: i64,
    currency: Currency,
    buyer_name: String,
    buyer_email: String,
    decline: Option<String>,
    created_at: i64,
    pay_by: i64,
    lines: Option<String>,
    language: Option<String>,
}

#[derive(Deserialize)]
struct PaymentJson {
    order_id: String,
    attempt: i32,
    id: String,
    state: PaymentState,
    amount: i64,
    currency: Currency,
    client_secret: String,
    begun_at: Option<i64>,
    settles_at: Option<i64>,
    provider: ProviderId,
    reference: Option<String>,
    revision: i32,
    refunded: i64,
    refunds: Option<String>,
    review: Option<String>,
    next_at: Option<i64>,
    outside: Option<String>,
    history: Option<String>,
    disputes: Option<String>,
}

#[derive(Deserialize)]
struct TicketJson {
    order_id: String,
    seat: u32,
    id: String,
    is_used: bool,
}

#[derive(Deserialize)]
struct AnswerJson {
    id: String,
    body_hash: String,
    answer: String,
    at: i64,
}

/// Records loaded for a batch.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) visitors: HashMap<VisitorId, Box<VisitorRecords>>,
    /// Sessions opened by admissions, by `jti`.
    pub(super) opened: HashMap<String, SessionRow>,
    pub(super) answers: HashMap<String, AnswerRow>,
    /// Version of the plan in which they name seats.
    pub(super) plan_version: u32,
}

/// Records needed by the requests of a batch.
#[derive(Default)]
pub(super) struct Wanted {
    keys: Vec<Vec<u8>>,
    jtis: Vec<String>,
    orders: Vec<String>,
    visitors: Vec<Uuid>,
    holds: Vec<Uuid>,
    answers: Vec<String>,
}

impl Wanted {
    pub(super) fn add(&mut self, command: &Command) {
        match &command.target {
            Target::Session(key) => self.keys.push(key.to_vec()),
            Target::Order(order) => self.orders.push(order.clone()),
            Target::Visitor(visitor) => self.visitors.push(visitor_uuid(*visitor)),
            Target::Newcomer(visitor, jti) => {
                self.visitors.push(visitor_uuid(*visitor));
                self.jtis.push(jti.clone());
            }
            Target::Event => {}
        }
        self.holds.extend(command.hold.as_deref().map(hold_uuid));
        self.answers.extend(command.attempt.clone());
    }
}

/// Loads the wanted records; the plan maps the seat indices of holds.
pub(super) async fn load(
    shard: &Shard,
    (event, plan): (&EventId, Option<&Plan>),
    wanted: Wanted,
) -> Result<Loaded, QueryError> {
    let Wanted {
        keys,
        jtis,
        orders,
        visitors,
        holds,
        answers,
    } = wanted;
    let select = query(VISITOR_RECORDS)
        .bind(event.as_str())
        .bind(keys)
        .bind(jtis)
        .bind(orders)
        .bind(&visitors)
        .bind(holds)
        .bind(answers);
    let rows = shard.reader().fetch(select).await?;
    let mut loaded = Loaded::default();
    for visitor in &visitors {
        let visitor = VisitorId(visitor.as_u128());
        loaded
            .visitors
            .insert(visitor, Box::new(VisitorRecords::of(visitor)));
    }
    let mut parts = Parts::of(shard, event);
    for row in rows {
        parts.take((&mut loaded, plan), row.get(0), row.get(1))?;
    }
    parts.join(&mut loaded);
    Ok(loaded)
}

const LIST: &str = "with own as materialized (
        select o.* from fairline.orders o where o.event = $1
            and ($3::text is null or (o.created_at, o.id) <
                (select a.created_at, a.id from fairline.orders a where a.event = $1 and a.id = $3))
            and ($4::text is null or o.state = $4)
        order by o.created_at desc, o.id desc limit $2
    )
    select 'order', row_to_json(o)::text from (
        select id, hold, visitor, encode(session, 'hex') as session, state, seats, total, currency, buyer_name,
            buyer_email, decline, created_at, pay_by, lines, language from own order by created_at desc, id desc
    ) o
    union all select 'plan', e.plan_version::text from fairline.event e where e.event = $1
    union all select 'payment', row_to_json(p)::text from (
        select p.order_id, p.attempt, p.id, p.state, p.amount, p.currency, p.client_secret, p.begun_at, p.settles_at,
            p.provider, p.reference, p.revision, p.refunded, p.refunds, p.review, p.next_at,
            p.outside, p.history, p.disputes
        from own join fairline.payment p on p.event = $1 and p.order_id = own.id
    ) p
    union all select 'ticket', row_to_json(t)::text from (
        select t.order_id, t.seat, t.id, t.admitted_at is not null as is_used from own
        join fairline.hold h on h.event = $1 and h.visitor = own.visitor and h.id = own.hold
        join fairline.ticket t on t.event = $1 and t.seat = any(string_to_array(h.places, ',')::integer[]) and t.order_id = own.id
    ) t";

/// Returns a page of an event's orders, and the version of the plan in which they name seats.
pub(super) async fn list_orders(
    shard: &Shard,
    event: &EventId,
    page: &OrderPage,
) -> Result<(Vec<OrderRow>, u32), QueryError> {
    let select = query(LIST)
        .bind(event.as_str())
        .bind(i64::from(page.limit))
        .bind(&page.after)
        .bind(&page.state);
    let mut parts = Parts::of(shard, event);
    let mut loaded = Loaded::default();
    for row in shard.lists().fetch(select).await? {
        parts.take((&mut loaded, None), row.get(0), row.get(1))?;
    }
    let mut orders = parts.complete();
    orders.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
    Ok((orders, loaded.plan_version))
}

/// Rows that belong to orders.
struct Parts<'a> {
    personal: Personal<'a>,
    orders: Vec<OrderRow>,
    payments: HashMap<String, Vec<PaymentRow>>,
    tickets: HashMap<String, Vec<TicketRow>>,
}

impl<'a> Parts<'a> {
    fn of(shard: &'a Shard, event: &'a EventId) -> Parts<'a> {
        let keys = &shard.keys;
        Parts {
            personal: Personal { keys, event },
            orders: Vec::new(),
            payments: HashMap::new(),
            tickets: HashMap::new(),
        }
    }

    fn take(
        &mut self,
        (loaded, plan): (&mut Loaded, Option<&Plan>),
        kind: &str,
        row: &str,
    ) -> Result<(), QueryError> {
        match kind {
            "session" => {
                let row = session(read(row)?);
                records(loaded, row.visitor).sessions.push(row);
            }
            "opened" => {
                let row = session(read(row)?);
                loaded.opened.insert(row.jti.clone(), row);
            }
            "turn" => {
                let row: SequenceJson = read(row)?;
                records(loaded, VisitorId(row.visitor.as_u128())).next = row.number + 1;
            }
            "hold" => {
                let row: HoldJson = read(row)?;
                let records = records(loaded, VisitorId(row.visitor.as_u128()));
                records.holds.extend(hold(row, plan)?);
            }
            "plan" => loaded.plan_version = read(row)?,
            "order" => self.orders.push(order(read(row)?, self.personal)?),
            "payment" => {
                let row: PaymentJson = read(row)?;
                let of_order = self.payments.entry(row.order_id.clone()).or_default();
                of_order.push(payment(row)?);
            }
            "ticket" => {
                let row: TicketJson = read(row)?;
                let ticket = TicketRow {
                    seat: row.seat,
                    id: row.id,
                    is_used: row.is_used,
                };
                self.tickets.entry(row.order_id).or_default().push(ticket);
            }
            _ => {
                let row: AnswerJson = read(row)?;
                let answer = AnswerRow {
                    id: row.id.clone(),
                    body: row.body_hash,
                    answer: row.answer,
                    at: Time(row.at),
                };
                loaded.answers.insert(row.id, answer);
            }
        }
        Ok(())
    }

    fn complete(&mut self) -> Vec<OrderRow> {
        let mut orders = std::mem::take(&mut self.orders);
        for order in &mut orders {
            order.payments = self.payments.remove(&order.id).unwrap_or_default();
            order.payments.sort_by_key(|payment| payment.attempt);
            order.tickets = self.tickets.remove(&order.id).unwrap_or_default();
            order.tickets.sort_by_key(|ticket| ticket.seat);
        }
        orders
    }

    fn join(&mut self, loaded: &mut Loaded) {
        for order in self.complete() {
            records(loaded, order.visitor).orders.push(order);
        }
    }
}

fn records(loaded: &mut Loaded, visitor: VisitorId) -> &mut VisitorRecords {
    let visitors = &mut loaded.visitors;
    visitors
        .entry(visitor)
        .or_insert_with(|| Box::new(VisitorRecords::of(visitor)))
}

fn session(row: SessionJson) -> SessionRow {
    SessionRow {
        key: key(&row.key),
        visitor: VisitorId(row.visitor.as_u128()),
        number: row.number,
        jti: row.jti,
        token: row.token,
        expires_at: Time(row.expires_at),
        is_over: row.is_over,
        report: row.report,
    }
}

/// Converts a hold, or returns `None` if its state is unknown.
fn hold(row: HoldJson, plan: Option<&Plan>) -> Result<Option<HoldRow>, QueryError> {
    let Some(state) = HoldState::ALL.get(row.state).copied() else {
        return Ok(None);
    };
    let places = row.places.split(',').filter_map(|place| place.parse().ok());
    let places: Vec<u32> = places.collect();
    let lines = lines(row.lines)?;
    let mut seats = plan.map(|plan| plan.priced(&places, row.currency));
    if let Some(seats) = &mut seats {
        set_prices(&lines, seats);
    }
    Ok(Some(HoldRow {
        id: hold_id(row.id),
        session: key(&row.session),
        state,
        seats: seats.unwrap_or_default().into(),
        lines,
        total: Money {
            amount: row.total,
            currency: row.currency,
        },
        expires_at: Time(row.expires_at),
        lapses_at: Time(row.lapses_at),
        max_expires_at: Time(row.max_expires_at),
        order: row.order_id,
    }))
}

fn lines(text: Option<String>) -> Result<Lines, QueryError> {
    text.map(|text| read(&text)).transpose()
}

fn order(row: OrderJson, personal: Personal<'_>) -> Result<OrderRow, QueryError> {
    let columns = Buyer {
        name: row.buyer_name,
        email: row.buyer_email,
    };
    Ok(OrderRow {
        buyer: personal.open_buyer(&row.id, &columns),
        id: row.id,
        hold: hold_id(row.hold),
        visitor: VisitorId(row.visitor.as_u128()),
        session: key(&row.session),
        state: row.state,
        seats: read(&row.seats)?,
        lines: lines(row.lines)?,
        total: Money {
            amount: row.total,
            currency: row.currency,
        },
        language: row.language,
        decline: row.decline,
        created_at: Time(row.created_at),
        pay_by: Time(row.pay_by),
        payments: Vec::new(),
        tickets: Vec::new(),
    })
}

fn payment(row: PaymentJson) -> Result<PaymentRow, QueryError> {
    Ok(PaymentRow {
        id: row.id,
        attempt: row.attempt,
        state: row.state,
        amount: Money {
            amount: row.amount,
            currency: row.currency,
        },
        client_secret: row.client_secret,
        begun_at: row.begun_at.map(Time),
        settles_at: row.settles_at.map(Time),
        provider: row.provider,
        reference: row.reference,
        revision: row.revision,
        refunded: row.refunded,
        refunds: row.refunds.map_or(Ok(Vec::new()), |text| read(&text))?,
        review: row.review.map(Review::read),
        next_at: row.next_at.map(Time),
        outside: row.outside,
        history: row.history.map_or(Ok(Vec::new()), |text| read(&text))?,
        disputes: row.disputes.map_or(Ok(Vec::new()), |text| read(&text))?,
    })
}

/// Reads a payment of any event, as `PAYMENT_COLUMNS` selects it.
pub(super) fn found_payment(line: &str) -> Result<FoundPayment, QueryError> {
    let found: FoundJson = read(line)?;
    let event = EventId::parse(&found.event).map_err(QueryError::Rejected)?;
    let order = found.payment.order_id.clone();
    let row = payment(found.payment)?;
    Ok(FoundPayment {
        payment: row.as_ref(event, order),
        row,
    })
}

#[derive(Deserialize)]
struct FoundJson {
    event: String,
    #[serde(flatten)]
    payment: PaymentJson,
}

/// A payment of any event.
pub(super) struct FoundPayment {
    pub(super) payment: PaymentRef,
    pub(super) row: PaymentRow,
}

/// Decodes a session key; a malformed one matches no session.
fn key(text: &str) -> Key {
    shared::crypto::unhex(text).unwrap_or_default()
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, QueryError> {
    serde_json::from_str(text).map_err(|error| QueryError::Rejected(error.to_string()))
}
