//! Texts of the queue page for fans without JavaScript.

use crate::line::{EventSettings, Phase, VisitorState, WaitReason};
use crate::place::Place;
use shared::event_details::day_and_time;
use shared::texts::Language;
use shared::time::Time;

/// Act that a queue page offers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Join,
    Leave,
    Go,
    Nothing,
}

/// Texts of a queue page, and what a fan may do on it.
pub(crate) struct Words {
    pub(crate) heading: String,
    pub(crate) text: String,
    pub(crate) action: Action,
}

impl Words {
    /// Returns the texts of a phase or a state: heading, text and next step, as the page's script
    /// has them.
    pub(crate) fn of(language: Language, key: &str, action: Action) -> Words {
        let group = if key == "admitted" { "queue" } else { "later" };
        let part = |part: &str| {
            let text = language.find(&format!("{group}.{key}.{part}"));
            text.unwrap_or_default()
        };
        Words {
            heading: part("heading").to_owned(),
            text: format!("{} {}", part("text"), part("next"))
                .trim()
                .to_owned(),
            action,
        }
    }

    /// Returns the texts of an event that fans do not see yet.
    pub(crate) fn of_draft(language: Language) -> Words {
        Words {
            heading: language.phrase("page.draft.heading", &[]),
            text: language.phrase("page.draft.text", &[]),
            action: Action::Go,
        }
    }
}

/// An event's line for a fan without JavaScript.
pub(crate) struct PlainLine<'a> {
    pub(crate) settings: &'a EventSettings,
    pub(crate) phase: Phase,
    pub(crate) language: Language,
}

impl PlainLine<'_> {
    fn say(&self, key: &str) -> String {
        self.language.phrase(key, &[])
    }

    /// Returns the text shown to fans without JavaScript.
    pub(crate) fn words(&self, place: Option<&Place>) -> Words {
        // The message says why.
        if self.settings.cancelled.is_some() {
            return Words::of(self.language, "cancelled", Action::Nothing);
        }
        let Some(place) = place else {
            return self.words_for_strangers();
        };
        let of = |key, action| Words::of(self.language, key, action);
        match place.state {
            VisitorState::Waiting => Words {
                heading: self.waiting_heading(place),
                text: self.waiting_text(place),
                action: Action::Leave,
            },
            VisitorState::Admitted => of("admitted", Action::Go),
            VisitorState::Shopping => of("shopping", Action::Go),
            VisitorState::Finished => of("finished", Action::Join),
            VisitorState::Missed => of("missed", Action::Join),
            VisitorState::Left => of("left", Action::Join),
            VisitorState::Ejected => of("ejected", Action::Nothing),
        }
    }

    fn words_for_strangers(&self) -> Words {
        let of = |key| Words::of(self.language, key, Action::Nothing);
        let join = self.say("page.queue.welcome_text");
        let welcome = |text: String| Words {
            heading: self.say("page.queue.welcome"),
            text,
            action: Action::Join,
        };
        match self.phase {
            Phase::Scheduled => {
                let words = of("scheduled");
                let opens_at = self.settings.line_opens_at();
                let when = opens_at.map(|at| self.at("page.queue.opens", at) + " ");
                Words {
                    text: format!("{}{}", when.unwrap_or_default(), words.text),
                    ..words
                }
            }
            Phase::SoldOut => of("sold_out"),
            Phase::Closed => of("closed"),
            Phase::Prequeue => welcome(format!(
                "{join} {}",
                self.opening(self.settings.sale_opens_at)
            )),
            Phase::Open | Phase::Paused => welcome(join),
        }
    }

    fn at(&self, key: &str, time: Time) -> String {
        let time = day_and_time(time, zone_of(self.settings), self.language);
        self.language.phrase(key, &[("time", &time)])
    }

    fn opening(&self, sale_opens_at: Option<Time>) -> String {
        match sale_opens_at {
            Some(at) => self.at("page.queue.sale_opens", at),
            None => self.say("page.queue.not_open"),
        }
    }

    fn waiting_heading(&self, place: &Place) -> String {
        match (place.number, place.ahead) {
            (None, _) => self.language.phrase_of("undrawn.in_line", place.waiting),
            (Some(_), 0) if place.phase == Phase::Prequeue => self.say("queue.first"),
            (Some(_), 0) => self.say("queue.next_up"),
            (Some(_), ahead) => self.language.phrase_of("queue.ahead", ahead),
        }
    }

    fn waiting_text(&self, place: &Place) -> String {
        let language = self.language;
        let number = match place.number {
            Some(number) => {
                let number = language.number(number);
                language.phrase("page.queue.your_number", &[("number", &number)])
            }
            None => self.say("page.queue.number_drawn"),
        };
        if place.stale {
            return format!("{number} {}", self.say("page.queue.stale"));
        }
        let wait = match (place.phase, place.eta_seconds) {
            (Phase::Prequeue, _) => self.opening(place.sale_opens_at),
            (Phase::Paused, _) => self.say("page.queue.paused"),
            (Phase::SoldOut, _) => self.say("page.queue.sold_out"),
            (_, Some(eta)) => {
                self.minutes(eta.low.div_ceil(60).max(1), eta.high.div_ceil(60).max(1))
            }
            _ => String::new(),
        };
        let reason = place.eta_reason.map(|reason| self.say(reason_key(reason)));
        let kept = self.say("page.queue.kept");
        let text = [number, wait, reason.unwrap_or_default(), kept];
        let text: Vec<String> = text.into_iter().filter(|text| !text.is_empty()).collect();
        text.join(" ")
    }

    fn minutes(&self, low: u32, high: u32) -> String {
        match (low, high) {
            (1, 1) => self.say("page.queue.minute"),
            (low, high) if low == high => self.language.phrase_of("page.queue.minutes", low.into()),
            (low, high) => {
                let [low, high] = [low, high].map(|minutes| self.language.number(minutes.into()));
                let values = [("low", low.as_str()), ("high", &high)];
                self.language.phrase("page.queue.minutes_range", &values)
            }
        }
    }
}

/// Returns the time zone in which an event's times are shown.
pub(crate) fn zone_of(settings: &EventSettings) -> Option<&str> {
    settings.details.as_ref()?.time_zone.as_deref()
}

/// Returns the key of why no wait is told, or a longer one.
fn reason_key(reason: WaitReason) -> &'static str {
    match reason {
        WaitReason::Measuring => "page.queue.reason.measuring",
        WaitReason::Stopped => "page.queue.reason.stopped",
        WaitReason::Full => "page.queue.reason.full",
        WaitReason::Recovering => "page.queue.reason.recovering",
        WaitReason::Lowered => "page.queue.reason.lowered",
        WaitReason::Slower => "page.queue.reason.slower",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::event_details::EventDetails;
    use shared::ids::EventId;

    #[test]
    fn every_phase_has_a_text_in_every_language() {
        let phases = [
            Phase::Scheduled,
            Phase::Prequeue,
            Phase::SoldOut,
            Phase::Closed,
        ];
        for language in Language::all() {
            for phase in phases {
                let settings = &EventSettings::new(EventId::parse("night").unwrap(), "Night");
                let plain = PlainLine {
                    settings,
                    phase,
                    language,
                };
                let words = plain.words(None);
                assert!(!words.heading.is_empty() && words.text.ends_with('.'));
            }
        }
    }

    #[test]
    fn the_page_without_scripts_says_when_the_line_and_the_sale_open() {
        let mut settings = EventSettings::new(EventId::parse("night").unwrap(), "Night");
        settings.sale_opens_at = Some(Time(1_800_000_000_000));
        let text = |settings: &EventSettings, phase| {
            let language = Language::english();
            let plain = PlainLine {
                settings,
                phase,
                language,
            };
            plain.words(None).text
        };
        let sale = "Friday, 15 January 2027, 08:00 UTC";
        let scheduled = text(&settings, Phase::Scheduled);
        assert!(
            scheduled.starts_with(&format!("It opens on {sale}. ")),
            "{scheduled}"
        );
        settings.prequeue_opens_at = Some(Time(1_799_996_400_000));
        let scheduled = text(&settings, Phase::Scheduled);
        assert!(
            scheduled.contains("15 January 2027, 07:00 UTC"),
            "{scheduled}"
        );
        let prequeue = text(&settings, Phase::Prequeue);
        assert!(
            prequeue.ends_with(&format!("The sale opens on {sale}.")),
            "{prequeue}"
        );
        assert!(!text(&settings, Phase::Open).contains("opens on"));
        settings.details = Some(EventDetails {
            time_zone: Some("Asia/Tokyo".to_owned()),
            ..EventDetails::default()
        });
        let prequeue = text(&settings, Phase::Prequeue);
        let sale = "Friday, 15 January 2027, 17:00 Tokyo time (UTC+9)";
        assert!(
            prequeue.ends_with(&format!("The sale opens on {sale}.")),
            "{prequeue}"
        );
    }
}
