//! A load test that is told to stop leaves nothing running.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use testkit::{signal, until};

#[test]
fn a_load_test_that_is_stopped_takes_its_servers_and_its_command_with_it() {
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let script = "sleep 600 & echo $FAIRLINE_INVENTORY; echo $!; wait";
        let mut load = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["on-postgres", "sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(load.stdout.take().unwrap()).lines();
        let url = lines.next().unwrap().unwrap();
        let sleeper = lines.next().unwrap().unwrap();
        let port = url.rsplit([':', '/']).nth(1).unwrap().parse().unwrap();
        let can_connect = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(can_connect(), "{url}");
        signal(load.id(), name);
        assert_eq!(load.wait().unwrap().code(), Some(code), "{name}");
        assert!(!can_connect(), "{name}");
        let state = || fs::read_to_string(format!("/proc/{sleeper}/status"));
        // It may wait for its parent as a zombie.
        let has_ended = || state().map_or(true, |state| state.contains("State:\tZ"));
        until("the command has ended", has_ended);
    }
}
