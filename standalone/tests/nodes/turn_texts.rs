//! Text messages to fans in line, by services of their own: the waiting room hands the number over, the checkout
//! tells of the turn, and no log has the number or the token.

use crate::site::Site;
use hyper::StatusCode;
use serde_json::json;
use testkit::{Postgres, TWILIO_TOKEN, TwilioStandIn};

const SMS: &str = "/api/v1/events/night/line/me/sms";
const PHONE: &str = "+4915112345678";

#[tokio::test]
async fn services_of_their_own_send_one_text_message_and_log_no_number() {
    let (server, twilio) = (Postgres::start(), TwilioStandIn::start().await);
    let shop = vec![
        ("FAIRLINE_INVENTORY", server.url(&server.database())),
        ("FAIRLINE_SMS", twilio.setting()),
        ("FAIRLINE_SMS_TOKEN", TWILIO_TOKEN.to_owned()),
        ("FAIRLINE_SMS_PREFIXES", "+49".to_owned()),
        ("FAIRLINE_LOG", "debug".to_owned()),
    ];
    let site = Site::of(vec![Vec::new(); 2], vec![shop]).await;
    let [ada, ben] = site.night_with_two().await;
    let offers = |page: &str| page.contains("begin with: +49<").then_some(());
    site.until_page("/e/night/mail", &ada, offers).await;
    let refused = site
        .leave(SMS, &ada, json!({"phone": "+15550100123"}))
        .await;
    assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.1);
    for (pass, phone) in [(&ada, PHONE), (&ben, "+4915112345679")] {
        let left = site.leave(SMS, pass, json!({"phone": phone})).await;
        assert_eq!(left.0, StatusCode::NO_CONTENT, "{}", left.1);
    }
    let withdrawn = site.client.delete(SMS, &ben).await.unwrap();
    assert_eq!(withdrawn.status, StatusCode::NO_CONTENT);
    // The site's token is refused at first.
    twilio.set_token(Some("another"));
    site.pause("night", false).await;
    twilio.until_requests(1).await;
    twilio.set_token(None);
    let messages = twilio.until(1).await;
    assert_eq!(messages[0].to, PHONE);
    let denied = "the SMS gateway refuses the account or FAIRLINE_SMS_TOKEN";
    testkit::until("the refusal is logged", || {
        site.checkout.log().contains(denied)
    });
    let logs = [&site.checkout, &site.rooms[0], &site.rooms[1]];
    let log: String = logs.map(|node| node.log()).concat();
    for secret in ["15112345678", "15112345679", "5550100123", TWILIO_TOKEN] {
        assert!(!log.contains(secret), "{secret} is logged");
    }
    assert_eq!(twilio.messages().len(), 1);
}
