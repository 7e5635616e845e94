//! Mail to buyers by a real SMTP conversation, whatever the mail server does.

use crate::at_provider::AtProvider;
use crate::mailing::mail_to;
use crate::node::Node;
use crate::pdf::codes_of;
use crate::stage::ProviderStage;
use checkout::inventory::Order;
use checkout::inventory::mail::{MailRecord, MailState};
use checkout::mail::MailArgs;
use checkout::settings::SeatsArgs;
use serde_json::Value;
use shared::crypto::decode;
use shared::time::{Clock, Time};
use std::collections::HashSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::{Authority, ReceivedMail, SmtpFault, SmtpSecurity, SmtpServer};
use tokio::time::sleep;

/// Stages with a mail server each, whose nodes run.
pub(crate) async fn stages() -> Vec<(ProviderStage, SmtpServer)> {
    stages_with_patience(60).await
}

/// Stages that wait so many seconds for an answer of their mail servers.
async fn stages_with_patience(seconds: u64) -> Vec<(ProviderStage, SmtpServer)> {
    let stages = mailing(seconds).await;
    for (stage, _) in &stages {
        tokio::spawn(checkout::run(stage.node.shop.clone()));
    }
    stages
}

/// Stages whose nodes do not run.
pub(crate) async fn mailing(patience_seconds: u64) -> Vec<(ProviderStage, SmtpServer)> {
    let servers = [SmtpServer::start().await, SmtpServer::start().await];
    let urls = servers
        .each_ref()
        .map(|server| server.url(patience_seconds));
    let stages = ProviderStage::mailing(urls).await;
    stages.into_iter().zip(servers).collect()
}

/// Pause after the first attempt of a mail; it doubles with each further one.
const RETRY_FIRST_MS: i64 = 5_000;
/// Longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let from = Instant::now();
    while !is_so().await {
        assert!(from.elapsed() < WAIT_MAX, "never: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Returns the mails about an order once all of them are done.
pub(crate) async fn done(stage: &ProviderStage, order: &str, count: usize) -> Vec<MailRecord> {
    let from = Instant::now();
    let mut passed = HashSet::new();
    loop {
        let mails = stage.node.shop.inventory.mails();
        let records = mails.of_order("arena", order).await.unwrap();
        let is_done = |record: &MailRecord| record.state != MailState::Waiting;
        if records.len() == count && records.iter().all(is_done) {
            return records;
        }
        for record in records.iter().filter(|record| record.reason.is_some()) {
            // The pause after an attempt passes once: more would take from the leases of other mails.
            if !is_done(record) && passed.insert((record.id.clone(), record.attempts)) {
                stage
                    .clock
                    .advance_ms(RETRY_FIRST_MS << (record.attempts - 1));
            }
        }
        assert!(from.elapsed() < WAIT_MAX, "never done: {records:?}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Reads a mail with another library: its header, its parts with their types, and their texts.
pub(crate) fn parsed(mail: &ReceivedMail) -> Value {
    let script = "
import base64, email, email.policy, json, sys
mail = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.strict)
def parts(part):
    if part.is_multipart():
        return [part.get_content_type(), [parts(one) for one in part.iter_parts()]]
    content = part.get_content()
    if part.get_content_type() == 'application/pdf':
        return ['application/pdf', base64.urlsafe_b64encode(content).decode().rstrip('=')]
    return [part.get_content_type(), content if isinstance(content, str) else len(content)]
head = [[name, str(value)] for name, value in mail.items()]
to = [[one.display_name, one.addr_spec] for one in mail['to'].addresses]
print(json.dumps({'head': head, 'to': to, 'parts': parts(mail),
    'ids': [part['content-id'] for part in mail.walk() if part['content-id']]}))
";
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(mail.content.as_bytes()).unwrap();
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", mail.content);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn head<'a>(mail: &'a Value, name: &str) -> &'a str {
    let mut lines = mail["head"].as_array().unwrap().iter();
    let line = lines.find(|line| line[0] == name);
    line.map_or("", |line| line[1].as_str().unwrap())
}

/// Returns the first part of a type, wherever it is.
pub(crate) fn part<'a>(parts: &'a Value, kind: &str) -> Option<&'a str> {
    match &parts[1] {
        Value::Array(inner) => inner.iter().find_map(|one| part(one, kind)),
        text if parts[0] == kind => text.as_str(),
        _ => None,
    }
}

pub(crate) fn text(mail: &ReceivedMail) -> String {
    let mail = parsed(mail);
    part(&mail["parts"], "text/plain").unwrap().to_owned()
}

fn seats_of(order: &Order) -> Vec<&str> {
    order.seats.iter().map(|seat| &*seat.label).collect()
}

/// Checks that a mail with two tickets has all of its parts, in their order.
fn check_kinds(mail: &Value) {
    let kinds = mail["parts"].to_string();
    let order_of_kinds = [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "image/png",
        "text/calendar",
        "application/pdf",
    ];
    let mut from = 0;
    for kind in order_of_kinds {
        let found = kinds[from..].find(&format!("\"{kind}\""));
        from += found.unwrap_or_else(|| panic!("{kind} after {from}: {kinds}")) + 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmed_order_brings_its_tickets_by_mail_once() {
    for (stage, server) in stages().await {
        let order = stage.buy(&["s-A-1", "s-A-2"]).await;
        let received = server.until(1).await;
        assert_eq!(done(&stage, &order.id, 1).await[0].state, MailState::Sent);
        assert_eq!(received[0].from, "tickets@arena.example");
        assert_eq!(received[0].to, ["ada@example.org"]);
        assert!(received[0].content.is_ascii());
        let mail = parsed(&received[0]);
        assert_eq!(mail["to"], serde_json::json!([["Ada", "ada@example.org"]]));
        assert_eq!(
            head(&mail, "Subject"),
            "Your tickets for A night <in> the arena"
        );
        assert_eq!(head(&mail, "From"), "Arena Tickets <tickets@arena.example>");
        assert_eq!(head(&mail, "Reply-To"), "help@arena.example");
        assert_eq!(head(&mail, "Auto-Submitted"), "auto-generated");
        assert!(head(&mail, "Message-ID").ends_with("@arena.example>"));
        assert!(!head(&mail, "Date").is_empty());
        check_kinds(&mail);
        assert_eq!(mail["ids"], serde_json::json!(["<qr1>", "<qr2>"]));
        let link = format!(
            "{}{}",
            stage.node.shop.site.public_url,
            order.link.clone().unwrap()
        );
        let tickets = order.tickets.clone().unwrap();
        let pdf = decode(part(&mail["parts"], "application/pdf").unwrap()).unwrap();
        let printed: Vec<String> = codes_of(&pdf).into_iter().map(|code| code.text).collect();
        let codes: Vec<&String> = tickets.iter().map(|ticket| &ticket.code).collect();
        assert_eq!(printed.iter().collect::<Vec<_>>(), codes);
        let (plain, html) = (
            part(&mail["parts"], "text/plain").unwrap(),
            part(&mail["parts"], "text/html").unwrap(),
        );
        for place in seats_of(&order) {
            assert!(plain.contains(place) && html.contains(place), "{place}");
        }
        for ticket in &tickets {
            assert!(plain.contains(&ticket.short_code) && html.contains(&ticket.short_code));
            assert!(
                !plain.contains(&ticket.code),
                "the code is in the picture alone"
            );
        }
        for fact in [
            "Saturday, 20 March 2027, 20:00 Berlin time (UTC+1)",
            "Doors: 19:00",
            "Große Halle, Am Platz 1, Berlin",
            "Total: 90.00 EUR",
            "2 × C: 90.00 EUR",
            &order.id,
            &link,
        ] {
            assert!(plain.contains(fact), "{fact}: {plain}");
        }
        assert!(html.contains("A night &lt;in&gt; the arena") && html.contains("#5a35c8"));
        assert!(html.contains("cid:qr1") && html.contains("cid:qr2"));
        let calendar = part(&mail["parts"], "text/calendar").unwrap();
        assert!(calendar.contains("DTSTART:20270320T190000Z"), "{calendar}");
        assert!(!calendar.contains("lnk_"), "calendars are shared");
        assert_eq!(server.mails().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_of_a_part_and_of_the_rest_and_a_cancelled_order_are_told() {
    for (stage, server) in stages().await {
        let order = stage.buy(&["s-A-1", "s-A-2"]).await;
        server.until(1).await;
        for (seats, count) in [(Some(&["s-A-1"][..]), 2), (None, 3)] {
            stage.refund(&order.id, seats).await;
            stage.settle_all().await;
            stage.deliver().await;
            server.until(count).await;
        }
        let mails = server.mails();
        let (part, rest) = (text(&mails[1]), text(&mails[2]));
        assert!(
            part.starts_with("A part of your order was refunded"),
            "{part}"
        );
        assert!(part.contains("45.00 EUR goes back"), "{part}");
        let stays = format!("These tickets stay valid: {}.", seats_of(&order)[1]);
        assert!(part.contains(&stays), "{part}");
        assert!(rest.starts_with("Your order was refunded"), "{rest}");
        assert!(
            rest.contains("45.00 EUR goes back") && !rest.contains("stay valid"),
            "{rest}"
        );
        let given_up = stage.order(&["s-A-3"]).await;
        stage.release(&given_up).await;
        let cancelled = text(&server.until(4).await[3]);
        assert!(
            cancelled.starts_with("Your order was cancelled"),
            "{cancelled}"
        );
        assert!(cancelled.contains("You were not charged"), "{cancelled}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_is_deferred_is_tried_again_until_it_is_taken() {
    for (stage, server) in stages_with_patience(2).await {
        server.then([
            SmtpFault::Defers,
            SmtpFault::DefersContent,
            SmtpFault::Drops,
            SmtpFault::Hangs,
        ]);
        let order = stage.buy(&["s-A-1"]).await;
        let records = done(&stage, &order.id, 1).await;
        assert_eq!(
            (records[0].state, records[0].reason.clone()),
            (MailState::Sent, None)
        );
        assert!(records[0].attempts >= 4, "{records:?}");
        assert_eq!(server.mails().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_is_refused_for_good_is_kept_with_the_reason_and_without_the_address() {
    for (stage, server) in stages().await {
        for (fault, said) in [
            (SmtpFault::Rejects, "550"),
            (SmtpFault::RejectsContent, "554"),
        ] {
            server.then([fault]);
            let order = stage.buy(&["s-A-1"]).await;
            let failed = done(&stage, &order.id, 1).await;
            let reason = failed[0].reason.clone().unwrap();
            assert_eq!(
                (failed[0].state, failed[0].attempts),
                (MailState::Failed, 1)
            );
            assert!(
                reason.contains(said) && !reason.contains("ada@"),
                "{reason}"
            );
            let mails = stage.node.shop.inventory.mails();
            assert!(mails.retry("arena", &failed[0].id).await.unwrap());
            assert_eq!(done(&stage, &order.id, 1).await[0].state, MailState::Sent);
            stage.refund(&order.id, None).await;
            stage.settle_all().await;
            stage.deliver().await;
            done(&stage, &order.id, 2).await;
        }
        assert_eq!(server.mails().len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_drops_after_the_content_gets_at_most_one_duplicate() {
    for (stage, server) in stages().await {
        server.then([SmtpFault::DropsAfterData]);
        let once = stage.buy(&["s-A-1"]).await;
        assert_eq!(done(&stage, &once.id, 1).await[0].state, MailState::Sent);
        let mails = server.mails();
        assert_eq!(mails.len(), 2);
        let id = |mail: &ReceivedMail| head(&parsed(mail), "Message-ID").to_owned();
        assert_eq!(id(&mails[0]), id(&mails[1]));
        server.always(SmtpFault::DropsAfterData);
        let ever = stage.buy(&["s-A-2"]).await;
        let failed = done(&stage, &ever.id, 1).await;
        assert_eq!(failed[0].state, MailState::Failed);
        let reason = failed[0].reason.clone().unwrap();
        assert!(
            reason.contains("twice; the mail may have arrived"),
            "{reason}"
        );
        assert_eq!(server.mails().len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_silent_after_the_content_gets_at_most_one_duplicate() {
    for (stage, server) in stages_with_patience(2).await {
        server.then([SmtpFault::Rejects]);
        let order = stage.buy(&["s-A-1"]).await;
        let refused = done(&stage, &order.id, 1).await;
        server.always(SmtpFault::HangsAfterData);
        let mails = stage.node.shop.inventory.mails();
        assert!(mails.retry("arena", &refused[0].id).await.unwrap());
        let failed = done(&stage, &order.id, 1).await;
        assert_eq!(
            (failed[0].state, failed[0].attempts),
            (MailState::Failed, 2)
        );
        let reason = failed[0].reason.clone().unwrap();
        assert!(
            reason.contains("did not answer within 2 seconds, twice"),
            "{reason}"
        );
        assert_eq!(server.mails().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_goes_on_while_the_mail_server_hangs_and_each_order_has_its_mail_afterwards() {
    for (stage, server) in stages_with_patience(8).await {
        server.always(SmtpFault::Hangs);
        // No lease of a mail that is being sent may run out by the clock of the test.
        let mut orders = Vec::new();
        for seat in ["s-A-1", "s-A-2", "s-A-3"] {
            let order = stage.buy_at_once(&[seat]).await;
            assert_eq!(order.state, "confirmed");
            orders.push(order.id);
        }
        server.until_begun(1).await;
        assert_eq!(server.mails().len(), 0);
        server.always(SmtpFault::None);
        for order in &orders {
            assert_eq!(done(&stage, order, 1).await[0].state, MailState::Sent);
        }
        assert_eq!(server.mails().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_while_the_mail_server_is_away_and_another_node_sends_later() {
    let server = SmtpServer::start().await;
    let (port, servers) = (server.port(), [server, SmtpServer::start().await]);
    let urls = servers.each_ref().map(|server| server.url(60));
    let mut stages = ProviderStage::mailing(urls).await;
    drop(servers);
    let stage = stages.remove(0);
    let running = tokio::spawn(checkout::run(stage.node.shop.clone()));
    let order = stage.buy(&["s-A-1"]).await;
    let trouble = &stage.node.shop.site.health.mail_trouble;
    until("mail has trouble", async || trouble.lock().is_some()).await;
    let said = trouble.lock().clone().unwrap();
    assert!(said.starts_with("mails are not sent, and wait: "), "{said}");
    assert!(stage.node.shop.site.health.is_ready());
    running.abort();
    let server = SmtpServer::start_with(port, SmtpSecurity::Clear, None, None).await;
    tokio::spawn(checkout::run(stage.node.shop.clone()));
    assert_eq!(done(&stage, &order.id, 1).await[0].state, MailState::Sent);
    until("mail has none", async || trouble.lock().is_none()).await;
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_who_was_erased_gets_no_mail() {
    for (stage, server) in stages().await {
        server.always(SmtpFault::Defers);
        let order = stage.buy(&["s-A-1"]).await;
        server.until_begun(1).await;
        let inventory = &stage.node.shop.inventory;
        assert_eq!(inventory.erase_person("ada@example.org").await.unwrap(), 1);
        server.always(SmtpFault::None);
        done(&stage, &order.id, 0).await;
        assert_eq!(server.mails().len(), 0);
    }
}

/// Returns why a node with this mail server does not start, if it does not.
async fn refusal(mail: MailArgs) -> Option<String> {
    let args = SeatsArgs {
        payments: AtProvider::stripe().await.settings(),
        mail,
        ..SeatsArgs::default()
    };
    let opened = Node::try_open(args, Clock::manual(Time(1_800_000_000_000))).await;
    opened.err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_the_login_are_kept_to() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = authority.issue(&["127.0.0.1"]);
    for (security, scheme) in [
        (SmtpSecurity::Tls, "smtps"),
        (SmtpSecurity::StartTls, "smtp"),
    ] {
        let login = Some(("arena", "pass word"));
        let server = SmtpServer::start_with(0, security, Some(&certificate), login).await;
        let mail = |password: &str, authority: &Authority| {
            let (port, root) = (server.port(), authority.root());
            let parameters = format!("tls=on&sslrootcert={}", root.display());
            MailArgs {
                smtp_password: Some(password.to_owned()),
                ..mail_to(&format!("{scheme}://arena@127.0.0.1:{port}?{parameters}"))
            }
        };
        assert_eq!(refusal(mail("pass word", &authority)).await, None);
        let wrong = refusal(mail("wrong", &authority)).await.unwrap();
        assert!(
            wrong.contains("FAIRLINE_SMTP: ") && wrong.contains("535"),
            "{wrong}"
        );
        let strange = refusal(mail("pass word", &stranger)).await.unwrap();
        assert!(strange.contains("certificate"), "{strange}");
    }
    let clear = SmtpServer::start().await;
    let url = format!("smtp://127.0.0.1:{}?tls=on", clear.port());
    let refused = refusal(mail_to(&url)).await.unwrap();
    assert!(refused.contains("offers no TLS (STARTTLS)"), "{refused}");
    let nowhere = refusal(mail_to("smtp://no-such-host.invalid:25?tls=off")).await;
    assert_eq!(
        nowhere.unwrap(),
        "FAIRLINE_SMTP: there is no host no-such-host.invalid"
    );
}
