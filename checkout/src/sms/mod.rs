//! Text messages to the phones of fans in line, by Twilio or a gateway with its interface.

mod gateway;
mod settings;
mod text;

pub use settings::SmsArgs;
pub(crate) use settings::SmsGateway;
