//! A port that leads to one server, and later to another: for tests of failovers.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;

/// A TCP proxy on loopback. Connections stay with the server that they were made to.
pub struct Switch {
    port: u16,
    /// Port of the server that new connections lead to; 0 once the switch is dropped.
    target: Arc<AtomicU16>,
}

impl Switch {
    /// Starts a proxy to a port on loopback.
    ///
    /// # Panics
    /// Panics if no port can be listened on.
    pub fn to(port: u16) -> Switch {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let own = listener.local_addr().expect("it is bound").port();
        let target = Arc::new(AtomicU16::new(port));
        let current = target.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                match current.load(Ordering::Relaxed) {
                    0 => return,
                    port => drop(join(client, port)),
                }
            }
        });
        Switch { port: own, target }
    }

    /// Leads new connections to another port.
    pub fn switch(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    /// Returns the port of the proxy.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.switch(0);
        // Wakes the thread, which ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Joins a client with the server; without one the client is disconnected.
fn join(client: TcpStream, port: u16) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || pass(from_client, to_server));
    thread::spawn(move || pass(server, client));
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    for stream in [&from, &to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
