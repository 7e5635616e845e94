//! `fairline demo`: a ready-made sale with a simulated crowd.

use crate::Fairline;
use shared::settings::{Common, Settings};
use tokio_util::sync::CancellationToken;

/// What may be set for a demo.
#[derive(clap::Args, Clone, Debug)]
pub struct DemoArgs {
    /// Simulated fans in line at the beginning
    #[arg(long, default_value_t = 2000)]
    pub crowd: u32,
}

/// A demo about to begin.
pub struct Demo;

/// x
pub fn start(_: &mut Common, _: DemoArgs) -> Result<Demo, String> {
    Ok(Demo)
}

impl Demo {
    /// x
    pub fn begin(&self, _: &Settings, _: &Fairline, _: &str, _: CancellationToken) {}
}
