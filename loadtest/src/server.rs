//! Settings of the tests that run against a server.

/// Server under test.
#[derive(clap::Args, Clone, Debug)]
pub struct ServerArgs {
    /// URL of the server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// Admin key of an organiser: an event is created for the test
    #[arg(long, env = "FAIRLINE_ORGANISER_KEY", hide_env_values = true)]
    pub organiser_key: String,
    /// Process id of the server on this machine, for its memory and processor time
    #[arg(long)]
    pub pid: Option<u32>,
}
