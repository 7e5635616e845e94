//! Mail of the real program, which is killed while mails are on their way.

use crate::crash::{Program, Promises, command, free_port, journey, open_sale};
use std::collections::BTreeSet;
use std::path::Path;
use testkit::{ReceivedMail, SmtpFault, SmtpServer};

async fn start(data: &Path, server: &SmtpServer) -> Program {
    let mut command = command(data, free_port());
    command.env("FAIRLINE_SMTP", server.url(1));
    command.env("FAIRLINE_MAIL_FROM", "Arena <tickets@arena.example>");
    Program::of(command).await
}

/// Returns the order that a mail is about.
fn order_of(mail: &ReceivedMail) -> String {
    let (_, order) = mail.content.split_once("\r\nOrder: ").unwrap();
    order.split("\r\n").next().unwrap().to_owned()
}

/// Lets fans come until so many orders are confirmed.
async fn sell(program: &Program, promises: &Promises, count: usize) {
    while promises.orders.lock().unwrap().len() < count {
        journey(&program.client, promises).await.unwrap();
    }
}

#[tokio::test]
async fn each_order_has_its_mail_once_though_the_program_is_killed_in_between() {
    let (folder, server) = (tempfile::tempdir().unwrap(), SmtpServer::start().await);
    let promises = Promises::default();
    server.always(SmtpFault::Hangs);
    let mut program = start(folder.path(), &server).await;
    open_sale(&program.client).await;
    sell(&program, &promises, 3).await;
    server.until_begun(1).await;
    program.kill();
    // Events of the outbox that had no mail yet have theirs now, too.
    server.always(SmtpFault::None);
    let program = start(folder.path(), &server).await;
    sell(&program, &promises, 5).await;
    let mails = server.until(5).await;
    let told: BTreeSet<String> = mails.iter().map(order_of).collect();
    let sold: BTreeSet<String> = promises.orders.lock().unwrap().keys().cloned().collect();
    assert_eq!((mails.len(), told), (5, sold));
    drop(program);
}
