//! A stand-in of Stripe, for tests in other languages. Prints its address, and runs until its
//! standard input is closed.

use testkit::{StripeStandIn, until_input_ends};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let stand_in = StripeStandIn::start().await?;
    println!("{}", stand_in.url());
    until_input_ends().await;
    Ok(())
}
