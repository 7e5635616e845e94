//! A proxy before a Redis server, or in its place, that makes it slow or answers for it: for faults
//! that are hard to provoke.

use parking_lot::Mutex;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Behaviour of the proxy.
#[derive(Clone, Debug, Default)]
pub enum Fault {
    /// Nothing: it passes everything on.
    #[default]
    None,
    /// Passes each answer on so much later.
    Slow(Duration),
    /// Answers every command with an error, such as `LOADING Redis is loading`.
    Refuses(&'static str),
    /// Answers with an error the commands that run a script; passes the others on.
    RefusesScripts(&'static str),
}

/// A proxy before a server.
pub struct Faulty {
    port: u16,
    fault: Arc<Mutex<Fault>>,
    is_over: Arc<AtomicBool>,
}

impl Faulty {
    /// Starts a proxy before the server at a Unix socket.
    ///
    /// # Panics
    /// Panics if no port can be listened on.
    pub fn before(server: PathBuf) -> Faulty {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (fault, is_over) = (Arc::<Mutex<Fault>>::default(), Arc::<AtomicBool>::default());
        let faulty = Faulty {
            port,
            fault: fault.clone(),
            is_over: is_over.clone(),
        };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let _ = join(client, &server, &fault);
            }
        });
        faulty
    }

    /// Sets what it does from now on, also on open connections.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock() = fault;
    }

    /// Returns the value of `FAIRLINE_LINE` for it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread, which ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn join(client: TcpStream, server: &PathBuf, fault: &Arc<Mutex<Fault>>) -> io::Result<()> {
    let server = UnixStream::connect(server)?;
    client.set_nodelay(true)?;
    // Answers, each with the time at which it is due.
    let (answers, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    let to_client = client.try_clone()?;
    thread::spawn(move || {
        let mut to_client = to_client;
        for (at, answer) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to_client.write_all(&answer).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (mut from_server, of_server, slow) = (server.try_clone()?, answers.clone(), fault.clone());
    thread::spawn(move || {
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = from_server.read(&mut bytes) {
            let delay = match *slow.lock() {
                Fault::Slow(delay) => delay,
                _ => Duration::ZERO,
            };
            let answer = bytes[..count].to_vec();
            if of_server.send((Instant::now() + delay, answer)).is_err() {
                break;
            }
        }
    });
    let fault = fault.clone();
    thread::spawn(move || {
        let (mut to_server, mut commands) = (server, BufReader::new(client));
        while let Ok(command) = read(&mut commands) {
            let refusal = refusal(&fault.lock(), &command);
            let passed = match refusal {
                Some(why) => {
                    let answer = format!("-{why}\r\n").into_bytes();
                    answers.send((Instant::now(), answer)).is_ok()
                }
                None => to_server.write_all(&command).is_ok(),
            };
            if !passed {
                break;
            }
        }
        let _ = to_server.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// Returns the error that answers a command, if it is not passed on.
fn refusal(fault: &Fault, command: &[u8]) -> Option<&'static str> {
    match fault {
        Fault::Refuses(why) => Some(why),
        Fault::RefusesScripts(why) => {
            let is_script = command.windows(4).any(|word| word == b"EVAL");
            is_script.then_some(why)
        }
        Fault::None | Fault::Slow(_) => None,
    }
}

/// Reads one command, as its bytes.
fn read(commands: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let words = head(commands, &mut bytes)?;
    for _ in 0..words {
        let length = head(commands, &mut bytes)? + 2;
        let from = bytes.len();
        bytes.resize(from + length, 0);
        commands.read_exact(&mut bytes[from..])?;
    }
    Ok(bytes)
}

/// Reads the line before a list or a text, and returns its count.
fn head(commands: &mut BufReader<TcpStream>, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let from = bytes.len();
    if commands.read_until(b'\n', bytes)? < 4 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = String::from_utf8_lossy(&bytes[from + 1..]);
    line.trim().parse().map_err(io::Error::other)
}
