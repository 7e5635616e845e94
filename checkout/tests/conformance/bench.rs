//! Test bench: an engine, its clock, and a way to open it again on the data it kept.

use checkout::inventory::{
    Begun, Best, Buyer, Hold, Inventory, NewSession, Order, PaymentRef, PaymentState, Refused,
    SessionKey, SessionKeys, Verdict, Wish, layout, open, open_sealed,
};
use shared::data_dir::DataFolder;
use shared::http::idempotency::Attempt;
use shared::ids::{EventId, VisitorId};
use shared::sealing::SealingKeys;
use shared::time::{Clock, Time};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, raw_sql};
use std::str::FromStr as _;
use std::sync::Arc;
use testkit::{Shared, shared_postgres};

pub(crate) const START: Time = Time(1_800_000_000_000);

/// Longer than the slack after the end of a hold.
pub(crate) const SLACK_SECONDS: i64 = 6;

pub(crate) struct Bench {
    pub(crate) seats: Inventory,
    pub(crate) clock: Clock,
    pub(crate) event: EventId,
    url: String,
    folder: DataFolder,
    _kept: (Arc<tempfile::TempDir>, Arc<Shared>),
}

async fn benches() -> Vec<Bench> {
    let mut benches = Vec::new();
    let servers = shared_postgres();
    let (postgres, postgres_18) = (&servers.postgres, &servers.postgres_18);
    for url in [
        "sqlite".to_owned(),
        postgres.url(&postgres.database()),
        postgres_18.url(&postgres_18.database()),
        servers.bouncer.url(&postgres.database()),
    ] {
        let kept = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(kept.path()).unwrap();
        let clock = Clock::manual(START);
        benches.push(Bench {
            seats: open(&url, &folder, clock.clone()).await.unwrap().0,
            clock,
            event: EventId::parse("arena").unwrap(),
            url,
            folder,
            _kept: (Arc::new(kept), servers.clone()),
        });
    }
    benches
}

/// Returns two nodes on each kind of Postgres, with the same hall.
pub(crate) async fn pairs() -> Vec<(Bench, Bench)> {
    let mut pairs = Vec::new();
    for bench in halls().await.into_iter().skip(1) {
        let kept = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(kept.path()).unwrap();
        let other = Bench {
            seats: open(&bench.url, &folder, bench.clock.clone())
                .await
                .unwrap()
                .0,
            clock: bench.clock.clone(),
            event: bench.event.clone(),
            url: bench.url.clone(),
            folder,
            _kept: (Arc::new(kept), bench._kept.1.clone()),
        };
        pairs.push((bench, other));
    }
    pairs
}

/// Returns benches with a hall of 12 seats (rows A and B of 6) and an area of 4.
pub(crate) async fn halls() -> Vec<Bench> {
    let benches = benches().await;
    for bench in &benches {
        bench.seats.set_seating(&bench.event, hall()).await.unwrap();
    }
    benches
}

pub(crate) fn hall() -> layout::Layout {
    let plan = br#"{"categories": [{"id": "stalls", "name": "Stalls", "price": 4500}, {"id": "floor", "name": "Floor", "price": 2000}],
        "sections": [{"id": "st", "category": "stalls", "rows": 2, "seats_per_row": 6}],
        "areas": [{"id": "fl", "category": "floor", "capacity": 4}]}"#;
    layout::parse(plan).unwrap()
}

pub(crate) fn named(seats: &[&str]) -> Wish {
    Wish::Seats(seats.iter().map(|seat| (*seat).to_owned()).collect())
}

pub(crate) fn best(quantity: u32) -> Wish {
    Wish::Best(Best {
        quantity,
        ..Best::default()
    })
}

pub(crate) fn buyer() -> Buyer {
    Buyer {
        name: "Ada".into(),
        email: "ada@example.org".into(),
    }
}

pub(crate) fn attempt(id: &str, body: &str) -> Option<Attempt> {
    Some(Attempt {
        id: id.into(),
        body: body.into(),
    })
}

/// Counts the transactions waiting for an event's advisory lock.
pub(crate) const WAITING_FOR_THE_EVENT: &str =
    "select count(*) from pg_locks where locktype = 'advisory' and not granted
    and database = (select oid from pg_database where datname = current_database())";

/// Returns the SQL of a batch that takes the seat `st-A-4`, written by a node of this name.
pub(crate) fn hold_by_hand(config: &str, node: &str) -> String {
    let id = "0b7a3a52-7a3e-4c8e-9d1a-5f6b7c8d9e0f";
    let takes = format!("'{{0}}', '{{3}}', '{{{id}}}', '{{{id}}}', '{{3}}', '{{3}}', '{{1}}'");
    let arrays = ["'{}'"; 19].join(", ");
    let lists = ["null"; 10].join(", ");
    let changes = "\\x0000000000000001000000000000000301ffffffff";
    format!(
        "select fairline.apply('arena', {config}, '{node}', 1, false, null, '{{}}', {takes}, {arrays},
            '{changes}', '', {lists})"
    )
}

/// A connection beside the engine, for statements by hand.
pub(crate) struct Client(PgConnection);

impl Client {
    pub(crate) async fn connect(url: &str) -> Client {
        // PgBouncer does not know this parameter.
        let options = PgConnectOptions::from_str(url).unwrap();
        let options = options.extra_float_digits(None);
        Client(PgConnection::connect_with(&options).await.unwrap())
    }

    /// Executes statements without parameters.
    pub(crate) async fn run(&mut self, sql: &str) {
        let statements = raw_sql(AssertSqlSafe(sql));
        statements.execute(&mut self.0).await.unwrap();
    }
}

impl Bench {
    /// Refunds some seats, or all, and returns what went back and the order.
    pub(crate) async fn refund(&self, order: &Order, seats: Option<&[&str]>) -> (i64, Order) {
        let seats = seats.map(|seats| seats.iter().map(|seat| (*seat).to_owned()).collect());
        let inventory = &self.seats;
        let begun = inventory.begin_refund_of(&self.event, &order.id, seats);
        let refund = begun.await.unwrap();
        let amount = refund.refund.as_ref().unwrap().amount;
        (amount, inventory.refunded(&refund).await.unwrap())
    }

    /// Sweeps, and takes the payments that the provider is to be asked about.
    pub(crate) async fn due(&self) -> Vec<PaymentRef> {
        self.take(|state| state != PaymentState::Refunding).await
    }

    /// Sweeps, and takes the refunds that are to be asked for.
    pub(crate) async fn refunds(&self) -> Vec<PaymentRef> {
        self.take(|state| state == PaymentState::Refunding).await
    }

    async fn take(&self, is_wanted: impl Fn(PaymentState) -> bool) -> Vec<PaymentRef> {
        self.seats.sweep().await.unwrap();
        let due = self.seats.due().await.unwrap().into_iter();
        due.filter(|due| is_wanted(due.state))
            .map(|due| due.payment)
            .collect()
    }

    pub(crate) async fn reopen(&mut self) {
        let opened = open(&self.url, &self.folder, self.clock.clone()).await;
        self.seats = opened.unwrap().0;
    }

    /// Opens it again with these keys for personal data.
    pub(crate) async fn reopen_with(&mut self, keys: &str) -> Result<(), String> {
        let keys = Arc::new(SealingKeys::parse(keys).unwrap());
        let clock = self.clock.clone();
        let opened = open_sealed(&self.url, &self.folder, clock, keys).await;
        self.seats = opened?.0;
        Ok(())
    }

    /// Returns everything that is stored: the bytes of the files, or the rows of all tables.
    pub(crate) fn everything_stored(&self) -> String {
        if self.url == "sqlite" {
            let files = std::fs::read_dir(self.folder.join("")).unwrap();
            let read = |file: std::io::Result<std::fs::DirEntry>| {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                String::from_utf8_lossy(&bytes).into_owned()
            };
            return files.map(read).collect();
        }
        let tables =
            "select string_agg(format('select t::text from %s t', oid::regclass), ' union all ')
            from pg_class where relnamespace = 'fairline'::regnamespace and relkind = 'r'";
        let tables = self.by_hand(tables).unwrap();
        self.by_hand(&tables).unwrap()
    }

    /// Whether it is on a file, in which deleted rows may be found until they are written over.
    pub(crate) fn is_sqlite(&self) -> bool {
        self.url == "sqlite"
    }

    /// Returns the path of the file.
    pub(crate) fn file(&self) -> std::path::PathBuf {
        self.folder.join("inventory.sqlite")
    }

    /// Returns the same node, for another event.
    pub(crate) fn on(&self, event: &EventId) -> Bench {
        Bench {
            seats: self.seats.clone(),
            clock: self.clock.clone(),
            event: event.clone(),
            url: self.url.clone(),
            folder: self.folder.clone(),
            _kept: self._kept.clone(),
        }
    }

    /// Returns a hold's id as Postgres stores it.
    pub(crate) fn hold_in_store(&self, id: &str) -> String {
        let id = uuid::Uuid::try_parse(&id["hold_".len()..]).unwrap();
        id.to_string()
    }

    /// Opens a separate connection that bypasses PgBouncer.
    pub(crate) async fn connect(&self) -> Client {
        let database = self.url.rsplit_once('/').unwrap().1;
        let servers = &self._kept.1;
        let is_newer = self.url.contains(&servers.postgres_18.port().to_string());
        let server = if is_newer {
            &servers.postgres_18
        } else {
            &servers.postgres
        };
        Client::connect(&server.url(database)).await
    }

    /// Opens another node on the same store.
    pub(crate) async fn open_again(&self) -> Result<(), String> {
        let opened = open(&self.url, &self.folder, self.clock.clone()).await;
        opened.map(|_| ())
    }

    pub(crate) fn keys(&self, hash: [u8; 32]) -> SessionKeys {
        vec![SessionKey {
            event: self.event.clone(),
            hash,
        }]
    }

    /// Copies the only hold, which has ended, this many times, as if its visitor had made them, and
    /// opens the engine again.
    pub(crate) async fn repeat_hold(&mut self, count: u32) {
        if self.url == "sqlite" {
            let path = self.folder.join("inventory.sqlite");
            let file = rusqlite::Connection::open(path).unwrap();
            let columns = "session, visitor, state, seats, total, currency, expires_at, max_expires_at, lapses_at";
            let repeat = format!(
                "with recursive n(i) as (select 1 union all select i + 1 from n where i < {count})
                 insert into hold (event, id, {columns}) select event, id || '-' || i, {columns} from hold, n"
            );
            file.execute_batch(&repeat).unwrap();
        } else {
            let columns =
                "session, state, places, total, currency, expires_at, lapses_at, max_expires_at";
            let repeat = format!(
                "insert into fairline.hold (event, visitor, number, id, {columns})
                 select event, visitor, number + i, gen_random_uuid(), {columns} from fairline.hold, generate_series(1, {count}) i"
            );
            self.by_hand(&repeat).unwrap();
        }
        self.reopen().await;
    }

    /// Changes stored orders by hand, and opens the engine again.
    pub(crate) async fn change_orders(&mut self, change: &str) {
        if self.url == "sqlite" {
            let path = self.folder.join("inventory.sqlite");
            let file = rusqlite::Connection::open(path).unwrap();
            file.execute_batch(&format!("update orders set {change}"))
                .unwrap();
        } else {
            self.by_hand(&format!("update fairline.orders set {change}"))
                .unwrap();
        }
        self.reopen().await;
    }

    /// Changes the store by hand while it is in use.
    pub(crate) fn change_store(&self, postgres: &str, sqlite: &str) {
        if self.url == "sqlite" {
            let path = self.folder.join("inventory.sqlite");
            let file = rusqlite::Connection::open(path).unwrap();
            file.execute_batch(sqlite).unwrap();
        } else {
            self.by_hand(postgres).unwrap();
        }
    }

    /// Runs SQL on the database; returns `None` if it is refused.
    pub(crate) fn by_hand(&self, sql: &str) -> Option<String> {
        let database = self.url.rsplit_once('/').unwrap().1;
        let servers = &self._kept.1;
        // Database names are the same on both servers, so the URL selects the server: by its port,
        // or else the one behind PgBouncer.
        if self.url.contains(&servers.postgres_18.port().to_string()) {
            servers.postgres_18.run(database, sql)
        } else {
            servers.postgres.run(database, sql)
        }
    }

    /// Waits until a transaction in the database waits for a lock.
    pub(crate) async fn until_one_waits(&self) {
        let waiting = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        while self.by_hand(waiting).unwrap() == "0" {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn admit_number(&self, visitor: u32) -> SessionKeys {
        let key: [u8; 32] = shared::crypto::random();
        let session = NewSession {
            key,
            event: self.event.clone(),
            visitor: VisitorId(1000 + u128::from(visitor)),
            number: 1,
            jti: format!("n-{visitor}"),
            token: String::new(),
            expires_at: self.clock.now().plus_seconds(3600),
            is_reported: true,
        };
        self.seats.open_session(session).await.unwrap();
        self.keys(key)
    }

    /// Opens a session for a visitor.
    pub(crate) async fn fan(&self, visitor: u8) -> SessionKeys {
        self.admit(visitor, &format!("adm-{visitor}"))
            .await
            .unwrap()
    }

    pub(crate) async fn admit(&self, visitor: u8, jti: &str) -> Result<SessionKeys, Refused> {
        let key = shared::crypto::random();
        let session = NewSession {
            key,
            event: self.event.clone(),
            visitor: VisitorId(u128::from(visitor)),
            number: u64::from(visitor),
            jti: jti.to_owned(),
            token: format!("token-{jti}"),
            expires_at: self.clock.now().plus_seconds(3600),
            is_reported: true,
        };
        let opened = self.seats.open_session(session).await;
        opened.map(|_| self.keys(key))
    }

    pub(crate) async fn hold(&self, fan: &SessionKeys, wish: Wish) -> Result<Hold, Refused> {
        let held = self.seats.hold(fan.clone(), &self.event, wish, None).await;
        held.map(|once| once.value)
    }

    pub(crate) async fn order(&self, fan: &SessionKeys, hold: &Hold) -> Result<Order, Refused> {
        let made = self.seats.order(fan.clone(), &hold.id, buyer(), None).await;
        made.map(|once| once.value)
    }

    pub(crate) async fn pay(
        &self,
        fan: &SessionKeys,
        order: &Order,
        verdict: Verdict,
    ) -> Result<Order, Refused> {
        let id = &order.payment.id;
        match self.seats.begin_payment(fan.clone(), id, None).await? {
            Begun::Ask(payment) => self.seats.settle(&payment, verdict, None).await,
            Begun::Replayed(order) => Ok(*order),
        }
    }

    pub(crate) async fn buy(&self, fan: &SessionKeys, seats: &[&str]) -> Order {
        let hold = self.hold(fan, named(seats)).await.unwrap();
        let order = self.order(fan, &hold).await.unwrap();
        self.pay(fan, &order, Verdict::Captured).await.unwrap()
    }

    pub(crate) async fn see(&self, fan: &SessionKeys, order: &Order) -> Order {
        use checkout::inventory::Reader;
        let reader = Reader::Session(fan.clone());
        self.seats.show_order(reader, &order.id).await.unwrap()
    }

    /// Returns the number of available, held, booked and blocked seats; the sales figures and the
    /// seat map must agree and add up.
    pub(crate) async fn counts(&self) -> [u32; 4] {
        let sales = self.seats.sales(&self.event).await.unwrap();
        assert_eq!(
            sales.available + sales.held + sales.booked + sales.blocked,
            sales.capacity
        );
        self.show().await;
        let seat_map = self.seats.seat_map(&self.event).unwrap();
        let counts = [sales.available, sales.held, sales.booked, sales.blocked];
        assert_eq!(seat_map.current().counts, counts);
        counts
    }

    /// Publishes all changes committed so far.
    pub(crate) async fn show(&self) {
        self.clock.advance_ms(200);
        self.seats.publish().await.unwrap();
    }

    pub(crate) async fn sweep_after(&self, seconds: i64) -> u32 {
        self.clock.advance_ms(seconds * 1000);
        self.seats.sweep().await.unwrap().seats_released
    }
}
