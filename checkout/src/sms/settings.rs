//! Settings of text messages.

use crate::inventory::SmsBounds;
use parking_lot::Mutex;
use shared::arguments::filled;
use shared::crypto::basic_authorization;
use shared::mistakes::Mistakes;
use shared::outbound::{Networks, Outbound};
use std::net::IpAddr;
use url::{Host, Url};

/// Largest number of messages of the site in a day, where no other is set.
const PER_DAY: u32 = 10_000;
/// Largest number of messages to one number for one event.
const TO_NUMBER_MAX: u32 = 2;
/// Hexadecimal digits of an id at Twilio, after its two letters.
const SID_DIGITS: usize = 32;
/// Longest sender that is a name.
const SENDER_CHARS_MAX: usize = 11;
/// Largest number of digits of a number.
const PHONE_DIGITS_MAX: usize = 15;
/// Networks of a stand-in on this machine.
const LOOPBACK: &str = "127.0.0.0/8,::1/128";

const FORM: &str = "a URL such as twilio://ACCOUNT-SID@api.twilio.com?from=%2B4915112345678, or with messaging_service=MG…";

/// The gateway of text messages, and the bounds.
pub(crate) struct SmsGateway {
    /// Address to which messages are posted.
    pub(super) url: Url,
    pub(super) authorization: String,
    /// Field of the form that names the sender, and its value.
    pub(super) sender: (&'static str, String),
    /// Beginnings of the numbers that messages go to.
    pub(crate) prefixes: Vec<String>,
    pub(super) bounds: SmsBounds,
    pub(super) outbound: Outbound,
    /// Troubles that the log has been told of. Locked for a look-up.
    pub(super) told: Mutex<ToldTroubles>,
}

/// Troubles that the log has been told of, so that each is told once, not with every message.
#[derive(Default)]
pub(super) struct ToldTroubles {
    /// Whether the gateway refuses the site.
    pub(super) is_denied: bool,
    /// Whether the messages of the day are used up.
    pub(super) is_day_full: bool,
}

/// The gateway's address, and who sends.
struct GatewayAddress {
    url: Url,
    account: String,
    sender: (&'static str, String),
    is_local: bool,
}

impl GatewayAddress {
    fn parse(text: &str) -> Result<GatewayAddress, String> {
        let url = Url::parse(text).map_err(|_| FORM)?;
        let (scheme, is_local) = match url.scheme() {
            "twilio" => ("https", false),
            "twilio+http" => ("http", true),
            _ => return Err(FORM.to_owned()),
        };
        if url.password().is_some() {
            return Err("the token belongs into FAIRLINE_SMS_TOKEN".to_owned());
        }
        if !["", "/"].contains(&url.path()) || url.fragment().is_some() {
            return Err(FORM.to_owned());
        }
        let account = url.username().to_owned();
        if !is_sid("AC", &account) {
            return Err(
                "the user name is the account SID: AC and 32 hexadecimal digits".to_owned(),
            );
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(FORM)?;
        if is_local && !is_loopback(host) {
            return Err("twilio+http is for a stand-in on this machine alone".to_owned());
        }
        let port = url
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        let address =
            format!("{scheme}://{host}{port}/2010-04-01/Accounts/{account}/Messages.json");
        Ok(GatewayAddress {
            url: Url::parse(&address).map_err(|_| FORM)?,
            sender: parse_sender(&url)?,
            account,
            is_local,
        })
    }
}

fn parse_sender(url: &Url) -> Result<(&'static str, String), String> {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let [(name, value)] = &*pairs else {
        return Err("names the sender by one of from and messaging_service".to_owned());
    };
    match &**name {
        "from" if value.starts_with(' ') => Err("from: write the + of a number as %2B".to_owned()),
        "from" if is_sender(value) => Ok(("From", value.clone())),
        "from" => Err(
            "from is a number such as %2B4915112345678, or a name of up to 11 letters and digits"
                .to_owned(),
        ),
        "messaging_service" if is_sid("MG", value) => Ok(("MessagingServiceSid", value.clone())),
        "messaging_service" => Err("messaging_service is MG and 32 hexadecimal digits".to_owned()),
        _ => Err("the parameters are from and messaging_service".to_owned()),
    }
}

fn is_sid(kind: &str, text: &str) -> bool {
    let digits = text.strip_prefix(kind).unwrap_or_default();
    digits.len() == SID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_sender(text: &str) -> bool {
    let is_name = text.len() <= SENDER_CHARS_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    is_name || is_prefix(text) && text.len() > 4
}

/// Returns whether a text is `+` and the first digits of a number.
fn is_prefix(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let is_length = (1..=PHONE_DIGITS_MAX).contains(&digits.len());
    is_length && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_loopback(host: &str) -> bool {
    let address = match Host::parse(host) {
        Ok(Host::Ipv4(v4)) => IpAddr::V4(v4),
        Ok(Host::Ipv6(v6)) => IpAddr::V6(v6),
        _ => return false,
    };
    address.is_loopback()
}

/// Settings of text messages, as written by the operator.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SmsArgs {
    /// Gateway of text messages to fans in line: twilio://ACCOUNT-SID@api.twilio.com?from=%2B4915112345678, or
    /// with messaging_service=MG… [default: none, and no text messages are sent]
    #[arg(long, env = "FAIRLINE_SMS", global = true)]
    pub sms: Option<String>,
    /// Auth token of the account in FAIRLINE_SMS
    #[arg(
        long,
        env = "FAIRLINE_SMS_TOKEN",
        hide_env_values = true,
        global = true
    )]
    pub sms_token: Option<String>,
    /// Beginnings of the numbers that text messages may go to, such as +49,+43; needed with FAIRLINE_SMS
    #[arg(long, env = "FAIRLINE_SMS_PREFIXES", global = true)]
    pub sms_prefixes: Option<String>,
    /// Text messages that the site sends at most in a day (of UTC) [default: 10000]
    #[arg(long, env = "FAIRLINE_SMS_PER_DAY", global = true)]
    pub sms_per_day: Option<String>,
}

impl SmsArgs {
    /// Reads the settings, and records every mistake. None if no gateway is set.
    pub(crate) fn read(&self, mistakes: &mut Mistakes) -> Option<SmsGateway> {
        let (token, prefixes) = (
            filled(self.sms_token.as_deref()),
            filled(self.sms_prefixes.as_deref()),
        );
        let per_day = filled(self.sms_per_day.as_deref());
        let Some(url) = filled(self.sms.as_deref()) else {
            let needing = [
                ("TOKEN", token),
                ("PREFIXES", prefixes),
                ("PER_DAY", per_day),
            ];
            for (name, _) in needing.into_iter().filter(|(_, value)| value.is_some()) {
                mistakes.add(format!("FAIRLINE_SMS_{name}: needs FAIRLINE_SMS"));
            }
            return None;
        };
        let address = mistakes.take("FAIRLINE_SMS", GatewayAddress::parse(url));
        let token = token.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
        let token = token
            .ok_or_else(|| "the auth token of the account, needed with FAIRLINE_SMS".to_owned());
        let token = mistakes.take("FAIRLINE_SMS_TOKEN", token);
        let prefixes = mistakes.take("FAIRLINE_SMS_PREFIXES", parse_prefixes(prefixes));
        let per_day = per_day.map_or(Ok(PER_DAY), |text| {
            let number = text.trim().parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| "a whole number from 1".to_owned())
        });
        let per_day = mistakes.take("FAIRLINE_SMS_PER_DAY", per_day);
        let address = address?;
        let networks = if address.is_local { LOOPBACK } else { "" };
        let networks = mistakes.take("FAIRLINE_SMS", Networks::parse(networks));
        Some(SmsGateway {
            authorization: basic_authorization(&address.account, token?),
            url: address.url,
            sender: address.sender,
            prefixes: prefixes?,
            bounds: SmsBounds {
                to_number: TO_NUMBER_MAX,
                in_day: per_day?,
            },
            outbound: Outbound::new(networks?),
            told: Mutex::default(),
        })
    }
}

fn parse_prefixes(text: Option<&str>) -> Result<Vec<String>, String> {
    let text = text.ok_or(
        "the beginnings of the numbers that messages may go to, such as +49,+43; needed with FAIRLINE_SMS, as \
         messages to some countries cost much, and fraudsters have them sent there",
    )?;
    let prefixes: Vec<String> = text.split(',').map(|it| it.trim().to_owned()).collect();
    match prefixes.iter().find(|prefix| !is_prefix(prefix)) {
        Some(wrong) => Err(format!(
            "'{wrong}' is not + and the first digits of numbers, such as +49"
        )),
        None => Ok(prefixes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

    fn read(
        sms: &str,
        token: &str,
        prefixes: &str,
        per_day: &str,
    ) -> (Option<SmsGateway>, Vec<String>) {
        let args = SmsArgs {
            sms: Some(sms.replace("AC1", ACCOUNT)),
            sms_token: Some(token.to_owned()),
            sms_prefixes: Some(prefixes.to_owned()),
            sms_per_day: Some(per_day.to_owned()),
        };
        let mut mistakes = Mistakes::default();
        (args.read(&mut mistakes), mistakes.0)
    }

    const GOOD: &str = "twilio://AC1@api.twilio.com?from=%2B15550100";

    /// Checks that settings have one mistake, which names the setting and does not show the token.
    fn refused(sms: &str, token: &str, prefixes: &str, per_day: &str, name: &str) {
        let (gateway, mistakes) = read(sms, token, prefixes, per_day);
        assert!(gateway.is_none());
        assert_eq!(mistakes.len(), 1, "{sms} {prefixes}: {mistakes:?}");
        let start = format!("FAIRLINE_{name}: ");
        assert!(mistakes[0].starts_with(&start), "{sms}: {mistakes:?}");
        assert!(!mistakes[0].contains("secret"), "{mistakes:?}");
    }

    #[test]
    fn a_gateway_that_cannot_be_is_refused_and_its_token_not_shown() {
        for sms in [
            "https://api.twilio.com",
            "twilio://api.twilio.com?from=Arena",
            "twilio://AC12@api.twilio.com?from=Arena",
            "twilio://AC1:secret@api.twilio.com?from=Arena",
            "twilio://AC1@?from=Arena",
            "twilio://AC1@api.twilio.com",
            "twilio://AC1@api.twilio.com?from=+15550100",
            "twilio://AC1@api.twilio.com?from=15550100",
            "twilio://AC1@api.twilio.com?from=Arena%20Tickets",
            "twilio://AC1@api.twilio.com?from=A&to=B",
            "twilio://AC1@api.twilio.com?to=%2B15550100",
            "twilio://AC1@api.twilio.com?messaging_service=MG0123",
            "twilio://AC1@api.twilio.com/v1?from=Arena",
            "twilio+http://AC1@api.twilio.com?from=Arena",
            "twilio+http://AC1@localhost?from=Arena",
            "twilio+http://AC1@10.0.0.1?from=Arena",
        ] {
            refused(sms, "secret", "+49", "", "SMS");
        }
    }

    #[test]
    fn each_other_mistake_is_named_and_none_shows_the_token() {
        for token in ["", "secret\r\nx"] {
            refused(GOOD, token, "+49", "", "SMS_TOKEN");
        }
        for prefixes in [
            "",
            "+",
            "49",
            "*",
            "+49,",
            "+49 +43",
            "+0",
            "+49151123456789012",
        ] {
            refused(GOOD, "secret", prefixes, "", "SMS_PREFIXES");
        }
        for per_day in ["0", "-1", "many", "4294967296"] {
            refused(GOOD, "secret", "+49", per_day, "SMS_PER_DAY");
        }
        refused("", "secret", "", "", "SMS_TOKEN");
        refused("", "", "+49", "", "SMS_PREFIXES");
        refused("", "", "", "5", "SMS_PER_DAY");
        assert!(read("", "", "", "").1.is_empty());
    }

    #[test]
    fn the_address_the_sender_and_the_bounds_are_read() {
        let (gateway, mistakes) = read(GOOD, "token", "+49, +43", "5");
        assert_eq!(mistakes, Vec::<String>::new());
        let gateway = gateway.unwrap();
        let url = format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
        assert_eq!(gateway.url.as_str(), url);
        assert_eq!(gateway.sender, ("From", "+15550100".to_owned()));
        assert_eq!(gateway.prefixes, ["+49", "+43"]);
        assert_eq!((gateway.bounds.in_day, gateway.bounds.to_number), (5, 2));
        let service = "MG0123456789abcdef0123456789abcdef";
        let by_service = format!("twilio://AC1@api.twilio.com?messaging_service={service}");
        let gateway = read(&by_service, "token", "+49", "").0.unwrap();
        assert_eq!(gateway.sender, ("MessagingServiceSid", service.to_owned()));
        assert_eq!(gateway.bounds.in_day, 10_000);
        for local in [
            "twilio+http://AC1@127.0.0.1:8080?from=Arena",
            "twilio+http://AC1@[::1]:8080?from=Arena",
        ] {
            let gateway = read(local, "token", "+49", "").0.unwrap();
            assert!(gateway.url.as_str().starts_with("http://"), "{local}");
        }
    }
}
