//! A complete Fairline on a free port with a clock that tests move, and helpers to talk to it.

use client::{Answer, Client, Socket, next};
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use shared::http::listener::serve;
use shared::ids::{EventId, VisitorId};
use shared::line_contact::Channel;
use shared::mistakes::Mistakes;
use shared::settings::Common;
use shared::time::{Clock, Time};
use standalone::{Fairline, compose};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: &str = "stage-organiser-key";
pub(crate) const PASS_SECRET: &str = "stage-pass-0123456789abcdef0123456789abcdef";
pub(crate) const SERVICE_KEY: &str = "stage-service-0123456789abcdef0123456789abcdef";
pub(crate) const CARD: &str = "4242424242424242";

pub(crate) struct Stage {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: Option<tokio::task::JoinHandle<()>>,
    pub(crate) fairline: Fairline,
    folder: tempfile::TempDir,
}

impl Stage {
    /// Opens a stage without rate limits for its one address.
    pub(crate) async fn open() -> Stage {
        Stage::with(|_| {}).await
    }

    /// Opens a stage whose line is on a Redis.
    pub(crate) async fn on(redis: &testkit::Redis) -> Stage {
        Stage::on_line(redis.url(), |_| {}).await
    }

    /// Opens a stage whose line is on a Redis, with changed settings.
    pub(crate) async fn on_with(redis: &testkit::Redis, change: impl FnOnce(&mut Common)) -> Stage {
        Stage::on_line(redis.url(), change).await
    }

    /// Opens a stage on the line with this URL, with changed settings.
    pub(crate) async fn on_line(url: String, change: impl FnOnce(&mut Common)) -> Stage {
        let line = waiting_room::settings::LineArgs {
            line: Some(url),
            ..secrets()
        };
        Stage::build(change, &line, &Default::default()).await
    }

    /// Opens a stage with secrets set, as in processes that share them.
    pub(crate) async fn with_secrets(change: impl FnOnce(&mut Common)) -> Stage {
        Stage::build(change, &secrets(), &Default::default()).await
    }

    /// Opens a stage with changed settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Common)) -> Stage {
        Stage::build(change, &Default::default(), &Default::default()).await
    }

    /// Opens a stage with other settings of the line and the gate.
    pub(crate) async fn with_line(line: waiting_room::settings::LineArgs) -> Stage {
        Stage::build(|_| {}, &line, &Default::default()).await
    }

    /// Opens a stage that sends mail.
    pub(crate) async fn mailing(server: &testkit::SmtpServer) -> Stage {
        let seats = checkout::settings::SeatsArgs {
            mail: checkout::mail::MailArgs {
                smtp: Some(server.url(10)),
                mail_from: Some("Arena <tickets@arena.example>".to_owned()),
                ..Default::default()
            },
            ..Default::default()
        };
        Stage::build(|_| {}, &Default::default(), &seats).await
    }

    /// Opens a stage that sends notifications, also to push services of these networks.
    pub(crate) async fn pushing(networks: &str) -> Stage {
        let key = shared::token::SigningAlgorithm::Es256.generate_pem();
        let seats = checkout::settings::SeatsArgs {
            push: checkout::web_push::PushArgs {
                push_key: key.ok(),
                push_contact: Some("mailto:tech@arena.example".to_owned()),
                push_services: Some(
                    "127.0.0.1,[::1],169.254.169.254,10.0.0.1,push.example".to_owned(),
                ),
            },
            webhooks: checkout::webhooks::WebhookArgs {
                webhook_networks: Some(networks.to_owned()),
            },
            ..Default::default()
        };
        Stage::build(|_| {}, &Default::default(), &seats).await
    }

    /// Opens a stage that sends text messages, at most so many in a day.
    pub(crate) async fn texting(gateway: &testkit::TwilioStandIn, per_day: u32) -> Stage {
        let seats = checkout::settings::SeatsArgs {
            sms: checkout::sms::SmsArgs {
                sms: Some(gateway.setting()),
                sms_token: Some(testkit::TWILIO_TOKEN.to_owned()),
                sms_prefixes: Some("+49,+43".to_owned()),
                sms_per_day: Some(per_day.to_string()),
            },
            ..Default::default()
        };
        Stage::build(|_| {}, &Default::default(), &seats).await
    }

    async fn build(
        change: impl FnOnce(&mut Common),
        line: &waiting_room::settings::LineArgs,
        seats: &checkout::settings::SeatsArgs,
    ) -> Stage {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut common = Common {
            listen: Some(address.to_string()),
            data: Some(folder.path().join("data")),
            organiser_key: Some(KEY.into()),
            organiser_keys: Some(
                "vi:viewer:viewer-key-0123456,op:operator:operator-key-01234,north:door:door-key-012345678"
                    .into(),
            ),
            requests_per_second: Some("0".into()),
            joins_per_minute: Some("0".into()),
            rejoins_per_hour: Some("0".into()),
            visitor_requests_per_second: Some("0".into()),
            connections_per_address: Some("0".into()),
            ..Common::default()
        };
        // The delay of a busy machine is no subject of these tests.
        common.load.delay_ms = Some("0".into());
        change(&mut common);
        let mut mistakes = Mistakes::default();
        let settings = common.read("127.0.0.1:1", &mut mistakes);
        assert_eq!(mistakes.0, Vec::<String>::new());
        let clock = Clock::manual(Time(1_800_000_000_000));
        let stop = CancellationToken::new();
        let fairline = compose(&settings, line, seats, clock.clone(), stop.clone())
            .await
            .unwrap();
        let serving = tokio::spawn(serve(
            listener,
            fairline.app.clone(),
            settings.transport,
            stop.clone(),
        ));
        let url = format!("http://{address}");
        let client = Client::new(&url);
        Stage {
            url,
            client,
            clock,
            stop,
            serving: Some(serving),
            fairline,
            folder,
        }
    }

    /// Creates an event with 2 rows of 6 seats and a floor of 8, admitting all at the first tick;
    /// returns its id.
    pub(crate) async fn event(&self, id: &str, settings: Value) -> String {
        let mut all = json!({"id": id, "name": format!("The {id}"),
            "admission": {"rate_per_minute": 6_000_000, "batch_seconds": 1, "max_active": 1000}});
        for (name, value) in settings.as_object().unwrap() {
            all[name] = value.clone();
        }
        let plan = json!({
            "categories": [{"id": "stalls", "name": "Stalls", "price": 4500}, {"id": "floor", "name": "Floor", "price": 2000}],
            "sections": [{"id": "st", "category": "stalls", "rows": 2, "seats_per_row": 6}],
            "areas": [{"id": "fl", "category": "floor", "capacity": 8}]});
        self.client
            .create_event(KEY, &all, Some(plan))
            .await
            .unwrap();
        id.to_owned()
    }

    /// Joins and waits for admission; returns pass and token.
    pub(crate) async fn admit(&self, event: &str) -> (String, String) {
        let place = self.client.join(event).await.unwrap();
        let pass = word(&place["pass"]);
        self.clock.advance_ms(1000);
        let place = self
            .until(&format!("/api/v1/events/{event}/line/me"), &pass, |place| {
                place["state"] == "admitted"
            })
            .await;
        (pass, word(&place["token"]))
    }

    /// Opens a checkout session for a new fan.
    pub(crate) async fn session(&self, event: &str) -> String {
        let (_, token) = self.admit(event).await;
        let path = format!("/api/v1/events/{event}/sessions");
        word(
            &self
                .client
                .post(&path, &token, json!({}))
                .await
                .unwrap()
                .ok()
                .unwrap()["session"],
        )
    }

    pub(crate) async fn hold(&self, event: &str, session: &str, wish: Value) -> Answer {
        self.client
            .post(&format!("/api/v1/events/{event}/holds"), session, wish)
            .await
            .unwrap()
    }

    pub(crate) async fn order(&self, session: &str, hold: &Value) -> Value {
        let body =
            json!({"hold": hold["id"], "buyer": {"name": "Ada", "email": "ada@example.org"}});
        self.client
            .post("/api/v1/orders", session, body)
            .await
            .unwrap()
            .ok()
            .unwrap()
    }

    pub(crate) async fn pay(&self, session: &str, order: &Value, card: &str) -> Answer {
        let path = format!(
            "/api/v1/payments/simulated/{}",
            word(&order["payment"]["id"])
        );
        self.client
            .post(&path, session, json!({"card": card}))
            .await
            .unwrap()
    }

    /// Holds the best seats, orders and pays them; returns the order as it was before the payment.
    pub(crate) async fn buy(&self, event: &str, session: &str, quantity: u32) -> Value {
        let wish = json!({"best_available": {"quantity": quantity}});
        let hold = self.hold(event, session, wish).await;
        let order = self.order(session, &hold.body).await;
        let paid = self.pay(session, &order, CARD).await;
        assert_eq!(paid.body["state"], "confirmed");
        order
    }

    /// Returns whether the subscription or the number of a fan in the line of `night` is kept.
    pub(crate) async fn is_contact_kept(&self, visitor: &str, channel: Channel) -> bool {
        let place = checkout::inventory::InLine {
            event: EventId::parse("night").unwrap(),
            visitor: VisitorId::parse(visitor).unwrap(),
        };
        let messages = self.fairline.shop.inventory.line_messages();
        messages.find(&place, channel).await.unwrap().is_some()
    }

    /// Returns the data folder.
    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Returns the newest entry of the audit log with this action.
    pub(crate) async fn audited(&self, action: &str) -> Value {
        let audit = self.get("/api/v1/organiser/audit", KEY).await;
        let audit = audit.ok().unwrap();
        let mut entries = audit.as_array().unwrap().iter();
        let entry = entries.find(|entry| entry["action"] == action);
        entry.unwrap().clone()
    }

    pub(crate) async fn get(&self, path: &str, bearer: &str) -> Answer {
        self.client.get(path, bearer).await.unwrap()
    }

    pub(crate) async fn organise(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.client
            .call(method, &format!("/api/v1/organiser{path}"), KEY, body)
            .await
            .unwrap()
    }

    /// Moves the clock with ticks in between: to a line a longer gap is an outage, in which no time
    /// passes.
    pub(crate) async fn pass_seconds(&self, event: &str, seconds: i64) {
        for second in 1..=seconds {
            self.clock.advance_ms(1000);
            if second % 4 == 0 || second == seconds {
                let event = shared::ids::EventId::parse(event).unwrap();
                self.fairline.room.line.tick(&event).await.unwrap();
            }
        }
    }

    /// Repeats a request until the answer is as expected; the ticks run in real time, a few times a
    /// second.
    pub(crate) async fn until(
        &self,
        path: &str,
        bearer: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let asking = async {
            loop {
                let body = self.get(path, bearer).await.body;
                if is_so(&body) {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asking)
            .await
            .unwrap_or_else(|_| panic!("{path} never became so"))
    }

    /// Returns all bytes of the files in the data folder.
    pub(crate) fn files(&self) -> String {
        let files = std::fs::read_dir(self.folder.path().join("data")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        paths.filter(|path| path.is_file()).map(read).collect()
    }

    /// Fetches a page as a browser without cookies.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.client.raw(Method::GET, path, &[], Vec::new()).await;
        String::from_utf8(answer.unwrap().body().to_vec()).unwrap()
    }

    /// Sends a request with these headers; returns status and body.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        heads: &[(&str, &str)],
        body: &str,
    ) -> (StatusCode, Value) {
        let answer = self
            .client
            .raw(method, path, heads, body.as_bytes().to_vec())
            .await
            .unwrap();
        (
            answer.status(),
            serde_json::from_slice(answer.body()).unwrap_or(Value::Null),
        )
    }
}

fn secrets() -> waiting_room::settings::LineArgs {
    waiting_room::settings::LineArgs {
        pass_secret: Some(PASS_SECRET.to_owned()),
        service_key: Some(SERVICE_KEY.to_owned()),
        ..Default::default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Makes the request that opens a socket as a browser would, by the cookie.
pub(crate) fn handshake(site: &str, path: &str, cookie: &str, origin: &str) -> Request<()> {
    let url = format!("{}{path}", site.replacen("http", "ws", 1));
    let mut request = url.into_client_request().unwrap();
    for (name, value) in [("cookie", cookie), ("origin", origin)] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

pub(crate) fn word(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}

/// Asserts that an answer is this problem.
pub(crate) fn assert_problem(answer: &Answer, status: u16, kind: &str) {
    let wanted = (status, format!("/problems/{kind}"));
    let found = (
        answer.status.as_u16(),
        answer.body["type"].as_str().unwrap_or("").to_owned(),
    );
    assert_eq!(found, wanted, "{}", answer.body);
    assert_eq!(answer.body["status"], status);
    assert!(answer.body["title"].is_string());
}

/// Returns the next message of a socket.
pub(crate) async fn place(socket: &mut Socket) -> Value {
    let message = tokio::time::timeout(Duration::from_secs(10), next(socket)).await;
    message
        .expect("a message should come")
        .expect("the socket should be open")
}
