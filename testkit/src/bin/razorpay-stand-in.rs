//! A stand-in of Razorpay, for tests in other languages. Prints its address, and runs until its
//! standard input is closed.

use std::io::Read as _;
use testkit::RazorpayStandIn;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let stand_in = RazorpayStandIn::start().await?;
    println!("{}", stand_in.url());
    let waiting = tokio::task::spawn_blocking(|| {
        let mut rest = Vec::new();
        std::io::stdin().read_to_end(&mut rest)
    });
    let _ = waiting.await;
    Ok(())
}
