//! Text messages to fans in line, on both engines, with a stand-in of Twilio.

use crate::turns::{ADA, BEN, Engine, TurnStage};
use checkout::settings::SeatsArgs;
use checkout::sms::SmsArgs;
use shared::ids::VisitorId;
use shared::line_contact::{Channel, LineContact, LineSms};
use testkit::{SmsFault, TWILIO_TOKEN, TwilioStandIn};

const PHONE: &str = "+4915112345678";

/// A node that sends text messages.
struct SmsStage {
    turns: TurnStage,
    twilio: TwilioStandIn,
}

impl SmsStage {
    /// Returns one stage for each engine, which sends at most so many messages in a day.
    async fn both(per_day: u32) -> Vec<SmsStage> {
        let mut stages = Vec::new();
        for engine in Engine::BOTH {
            let twilio = TwilioStandIn::start().await;
            let args = SeatsArgs {
                sms: SmsArgs {
                    sms: Some(twilio.setting()),
                    sms_token: Some(TWILIO_TOKEN.to_owned()),
                    sms_prefixes: Some("+49".to_owned()),
                    sms_per_day: Some(per_day.to_string()),
                },
                ..SeatsArgs::default()
            };
            let turns = TurnStage::open(Channel::Sms, engine, args).await;
            stages.push(SmsStage { turns, twilio });
        }
        stages
    }

    async fn leave(&self, visitor: VisitorId, phone: &str) {
        let sms = LineContact::Sms(LineSms {
            phone: phone.to_owned(),
            language: "de".to_owned(),
        });
        self.turns.leave(visitor, &sms).await;
    }

    /// Tells a fan of the turn, until the number is forgotten.
    async fn tell(&self, visitor: VisitorId, seconds: u32) {
        self.turns.admit(&[visitor], seconds).await;
        self.turns.until_forgotten(visitor).await;
    }

    /// Ends the node.
    async fn end(self) {
        self.twilio.check();
        self.turns.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fan_whose_turn_has_come_gets_one_text_message() {
    for stage in SmsStage::both(100).await {
        stage.leave(ADA, PHONE).await;
        stage.turns.admit(&[ADA, BEN], 120).await;
        let messages = stage.twilio.until(1).await;
        let message = &messages[0];
        assert_eq!((&*message.to, &*message.from), (PHONE, "+15550100"));
        assert_eq!(message.validity_seconds, 120);
        let start =
            "A night <in> the arena: Sie sind an der Reihe. Kommen Sie bis 09:02 Uhr (UTC+1): http";
        assert!(message.body.starts_with(start), "{}", message.body);
        assert!(message.body.ends_with("/e/arena"), "{}", message.body);
        assert!(message.body.chars().count() <= 160, "{}", message.body);
        stage.turns.until_forgotten(ADA).await;
        // The next fan is told after all that would have been told before.
        stage.leave(BEN, "+4915112345679").await;
        stage.tell(BEN, 120).await;
        assert_eq!(stage.twilio.messages().len(), 2);
        assert_eq!(stage.twilio.requests(), 2);
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_gateway_is_asked_again_and_a_number_that_takes_no_messages_is_forgotten() {
    for stage in SmsStage::both(100).await {
        stage.leave(ADA, PHONE).await;
        let busy = SmsFault::Refused(503, 20_503);
        let faults = [SmsFault::TooMany(20), busy, busy, busy];
        stage.twilio.then(faults);
        stage.tell(ADA, 3600).await;
        let messages = stage.twilio.messages();
        assert_eq!((messages.len(), stage.twilio.requests()), (1, 5));
        // It was asked to wait for 20 seconds.
        assert!(messages[0].validity_seconds <= 3580, "{messages:?}");
        for (number, code) in [21_610, 21_211, 21_614, 30_000].into_iter().enumerate() {
            let fan = VisitorId(10 + number as u128);
            stage.leave(fan, &format!("+49151123456{number}")).await;
            stage.twilio.then([SmsFault::Refused(400, code)]);
            stage.tell(fan, 120).await;
            assert_eq!(stage.twilio.requests(), 6 + number, "{code}");
        }
        assert_eq!(stage.twilio.messages().len(), 1);
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_may_have_been_sent_is_sent_once_more_at_most() {
    for stage in SmsStage::both(100).await {
        stage.leave(ADA, PHONE).await;
        stage.twilio.then([SmsFault::FailedAfter; 10]);
        stage.tell(ADA, 3600).await;
        assert_eq!(stage.twilio.messages().len(), 2);
        assert_eq!(stage.twilio.requests(), 2);
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_hangs_is_given_up_in_time_and_asked_once_more() {
    let stages = SmsStage::both(100).await;
    let hung = stages.into_iter().map(async |stage| {
        stage.leave(ADA, PHONE).await;
        stage.twilio.then([SmsFault::Hung]);
        stage.tell(ADA, 3600).await;
        assert_eq!(stage.twilio.messages().len(), 2);
        stage.end().await;
    });
    futures_util::future::join_all(hung).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_refused_keeps_the_message_until_it_is_right_again() {
    for stage in SmsStage::both(100).await {
        stage.twilio.set_token(Some("another"));
        stage.leave(ADA, PHONE).await;
        stage.turns.admit(&[ADA], 3600).await;
        for asked in 1..=4 {
            stage
                .turns
                .advance_until(async || stage.twilio.requests() >= asked)
                .await;
        }
        assert_eq!(stage.twilio.messages().len(), 0);
        stage.twilio.set_token(None);
        stage.turns.until_forgotten(ADA).await;
        assert_eq!(stage.twilio.messages().len(), 1);
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_one_floods_the_phone_of_a_stranger() {
    for stage in SmsStage::both(100).await {
        for visitor in (10..15).map(VisitorId) {
            stage.leave(visitor, PHONE).await;
            stage.tell(visitor, 120).await;
        }
        assert_eq!(stage.twilio.messages().len(), 2);
        assert_eq!(stage.twilio.requests(), 2);
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_sends_no_more_in_a_day_than_it_is_set_to() {
    for stage in SmsStage::both(3).await {
        for visitor in (10..16).map(VisitorId) {
            let phone = format!("+491511234567{visitor}", visitor = visitor.0);
            stage.leave(visitor, &phone).await;
            stage.tell(visitor, 120).await;
        }
        assert_eq!(stage.twilio.requests(), 3);
        stage.turns.clock.advance_ms(24 * 3_600_000);
        stage.leave(ADA, PHONE).await;
        stage.tell(ADA, 120).await;
        assert_eq!(stage.twilio.messages().len(), 4);
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_once_the_turn_is_over() {
    for stage in SmsStage::both(100).await {
        stage.leave(ADA, PHONE).await;
        stage.tell(ADA, 0).await;
        assert_eq!(stage.twilio.requests(), 0);
        stage.leave(BEN, PHONE).await;
        stage.twilio.then([SmsFault::TooMany(120)]);
        stage.tell(BEN, 120).await;
        assert_eq!(stage.twilio.requests(), 1);
        assert!(stage.twilio.messages().is_empty());
        stage.end().await;
    }
}
