//! A mail server that keeps what it is handed, and misbehaves as it is told to. It runs on the
//! runtime of its test, and ends with it.

use crate::ServerCertificate;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Longest time for which a test waits for mails.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Fate of a mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmtpFault {
    /// It is taken.
    #[default]
    None,
    /// 451 to its recipient.
    Defers,
    /// 550 to its recipient, with the address in the answer.
    Rejects,
    /// 452 to its content.
    DefersContent,
    /// 554 to its content.
    RejectsContent,
    /// No answer to its recipient.
    Hangs,
    /// No answer to its content, which is kept.
    HangsAfterData,
    /// Its content is kept, and the connection closed without an answer.
    DropsAfterData,
    /// The connection is closed when its sender is named.
    Drops,
}

/// Encryption of a mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// None.
    Clear,
    /// By STARTTLS.
    StartTls,
    /// From the beginning.
    Tls,
}

/// A mail that was handed over.
#[derive(Clone, Debug)]
pub struct ReceivedMail {
    /// Address of the sender, as the envelope has it.
    pub from: String,
    /// Addresses of the recipients.
    pub to: Vec<String>,
    /// The mail: header and body, lines ending with CR LF.
    pub content: String,
    /// Whether it came by TLS.
    pub was_encrypted: bool,
    /// Name and password that were shown.
    pub login: Option<(String, String)>,
}

/// A mail server on a port of this machine.
pub struct SmtpServer {
    port: u16,
    state: Arc<State>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

struct State {
    security: SmtpSecurity,
    tls: Option<TlsAcceptor>,
    /// Name and password that it asks for.
    login: Option<(String, String)>,
    /// Fates of the next mails.
    next: Mutex<VecDeque<SmtpFault>>,
    /// Fate of all others.
    otherwise: Mutex<SmtpFault>,
    mails: watch::Sender<Vec<ReceivedMail>>,
    /// Number of mails that were begun, whatever became of them.
    begun: watch::Sender<usize>,
}

impl SmtpServer {
    /// Starts one without TLS and without a login.
    ///
    /// # Panics
    /// Panics if there is no free port.
    pub async fn start() -> SmtpServer {
        SmtpServer::start_with(0, SmtpSecurity::Clear, None, None).await
    }

    /// Starts one at a port; 0 is any.
    ///
    /// # Panics
    /// Panics if the port is taken.
    pub async fn start_with(
        port: u16,
        security: SmtpSecurity,
        certificate: Option<&ServerCertificate>,
        login: Option<(&str, &str)>,
    ) -> SmtpServer {
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.expect("the port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State {
            security,
            tls: certificate.map(tls_acceptor),
            login: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
            next: Mutex::default(),
            otherwise: Mutex::default(),
            mails: watch::Sender::default(),
            begun: watch::Sender::default(),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        tokio::spawn(serve(listener, state.clone(), stopped));
        SmtpServer {
            port,
            state,
            _stop: stop,
        }
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns its address without TLS, for a client that waits so many seconds for an answer.
    pub fn url(&self, patience_seconds: u64) -> String {
        let port = self.port;
        format!("smtp://127.0.0.1:{port}?tls=off&timeout_seconds={patience_seconds}")
    }

    /// Sets the fates of the next mails, in their order.
    pub fn then(&self, faults: impl IntoIterator<Item = SmtpFault>) {
        self.state.next.lock().extend(faults);
    }

    /// Sets the fate of all mails that have none of their own.
    pub fn always(&self, fault: SmtpFault) {
        *self.state.otherwise.lock() = fault;
    }

    /// Returns what it has.
    pub fn mails(&self) -> Vec<ReceivedMail> {
        self.state.mails.borrow().clone()
    }

    /// Waits until it has so many mails, and returns them.
    ///
    /// # Panics
    /// Panics if they do not come.
    pub async fn until(&self, count: usize) -> Vec<ReceivedMail> {
        let mut mails = self.state.mails.subscribe();
        let waiting = mails.wait_for(|mails| mails.len() >= count);
        let waited = timeout(WAIT_MAX, waiting).await;
        assert!(
            waited.is_ok(),
            "{} of {count} mails came",
            self.mails().len()
        );
        self.mails()
    }

    /// Waits until so many mails were begun, whatever became of them.
    ///
    /// # Panics
    /// Panics if they are not.
    pub async fn until_begun(&self, count: usize) {
        let mut begun = self.state.begun.subscribe();
        let waiting = begun.wait_for(|begun| *begun >= count);
        let waited = timeout(WAIT_MAX, waiting).await;
        assert!(waited.is_ok(), "fewer than {count} mails were begun");
    }
}

/// Returns what speaks TLS with a certificate.
///
/// # Panics
/// Panics if its files cannot be read.
pub fn tls_acceptor(certificate: &ServerCertificate) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(&certificate.certificate).expect("it is PEM");
    let chain: Result<Vec<_>, _> = chain.collect();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("it is PEM");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports them")
        .with_no_client_auth()
        .with_single_cert(chain.expect("it is PEM"), key)
        .expect("the key is that of the certificate");
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(
    listener: TcpListener,
    state: Arc<State>,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => return,
        };
        if let Ok((stream, _)) = accepted {
            tokio::spawn(greet(stream, state.clone()));
        }
    }
}

/// Speaks with a client until it is gone, which is no failure.
async fn greet(stream: TcpStream, state: Arc<State>) -> io::Result<()> {
    let tls = state
        .tls
        .clone()
        .filter(|_| state.security == SmtpSecurity::Tls);
    let mut session = Session {
        stream: match &tls {
            Some(tls) => Box::new(BufReader::new(tls.accept(stream).await?)),
            None => Box::new(BufReader::new(stream)),
        },
        is_encrypted: tls.is_some(),
        login: None,
        state,
    };
    session.say("220 test ready").await?;
    session.run().await
}

trait Stream: AsyncRead + AsyncWrite + tokio::io::AsyncBufRead + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + tokio::io::AsyncBufRead + Send + Unpin> Stream for T {}

struct Session {
    stream: Box<dyn Stream>,
    is_encrypted: bool,
    login: Option<(String, String)>,
    state: Arc<State>,
}

impl Session {
    async fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream
            .write_all(format!("{line}\r\n").as_bytes())
            .await?;
        self.stream.flush().await
    }

    async fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        }
    }

    async fn run(mut self) -> io::Result<()> {
        loop {
            let line = self.hear().await?;
            let verb = line.split([' ', ':']).next().unwrap_or_default();
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => self.introduce().await?,
                "STARTTLS" => self = self.start_tls().await?,
                "AUTH" => self.log_in(&line).await?,
                "MAIL" if self.state.login.is_some() && self.login.is_none() => {
                    self.say("530 5.7.0 log in first").await?;
                }
                "MAIL" => self.take(&line).await?,
                "QUIT" => return self.say("221 bye").await,
                "NOOP" | "RSET" => self.say("250 fine").await?,
                _ => self.say("500 what").await?,
            }
        }
    }

    async fn introduce(&mut self) -> io::Result<()> {
        let mut offers = vec!["test", "8BITMIME"];
        if self.state.security == SmtpSecurity::StartTls && !self.is_encrypted {
            offers.push("STARTTLS");
        }
        if self.state.login.is_some() {
            offers.push("AUTH PLAIN LOGIN");
        }
        let last = offers.len() - 1;
        for (at, offer) in offers.into_iter().enumerate() {
            let mark = if at == last { ' ' } else { '-' };
            self.say(&format!("250{mark}{offer}")).await?;
        }
        Ok(())
    }

    async fn start_tls(mut self) -> io::Result<Session> {
        self.say("220 go on").await?;
        let tls = self.state.tls.clone().ok_or(io::ErrorKind::Unsupported)?;
        // Nothing is buffered: the client waits for the answer.
        let stream = BufReader::new(tls.accept(self.stream).await?);
        Ok(Session {
            stream: Box::new(stream),
            is_encrypted: true,
            ..self
        })
    }

    /// Takes `AUTH PLAIN` with its answer on the same line.
    async fn log_in(&mut self, line: &str) -> io::Result<()> {
        let shown = line.rsplit(' ').next().unwrap_or_default();
        let shown = STANDARD.decode(shown).unwrap_or_default();
        let shown = String::from_utf8(shown).unwrap_or_default();
        let mut parts = shown.split('\0').skip(1).map(str::to_owned);
        let login = parts.next().zip(parts.next());
        if login == self.state.login {
            self.login = login;
            self.say("235 2.7.0 welcome").await
        } else {
            self.say("535 5.7.8 wrong name or password").await
        }
    }

    /// Takes a mail, or does what it is told.
    async fn take(&mut self, line: &str) -> io::Result<()> {
        let fault = self.state.next.lock().pop_front();
        let fault = fault.unwrap_or_else(|| *self.state.otherwise.lock());
        self.state.begun.send_modify(|begun| *begun += 1);
        if fault == SmtpFault::Drops {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let from = address(line);
        self.say("250 fine").await?;
        let mut to = Vec::new();
        loop {
            let line = self.hear().await?;
            match line.split([' ', ':']).next().unwrap_or_default() {
                "RCPT" => match fault {
                    SmtpFault::Hangs => return self.fall_silent().await,
                    SmtpFault::Defers => return self.say("451 4.7.1 come back later").await,
                    SmtpFault::Rejects => {
                        let to = address(&line);
                        let answer = format!("550 5.1.1 <{to}> is not known here");
                        return self.say(&answer).await;
                    }
                    _ => {
                        to.push(address(&line));
                        self.say("250 fine").await?;
                    }
                },
                "DATA" => break,
                _ => return self.say("503 what").await,
            }
        }
        self.say("354 go on").await?;
        let content = self.content().await?;
        match fault {
            SmtpFault::DefersContent => return self.say("452 4.2.2 no room now").await,
            SmtpFault::RejectsContent => return self.say("554 5.6.0 not that").await,
            _ => {}
        }
        let mail = ReceivedMail {
            from,
            to,
            content,
            was_encrypted: self.is_encrypted,
            login: self.login.clone(),
        };
        self.state.mails.send_modify(|mails| mails.push(mail));
        match fault {
            SmtpFault::HangsAfterData => self.fall_silent().await,
            SmtpFault::DropsAfterData => Err(io::ErrorKind::ConnectionAborted.into()),
            _ => self.say("250 2.0.0 taken").await,
        }
    }

    /// Answers nothing until the client is gone.
    async fn fall_silent(&mut self) -> io::Result<()> {
        loop {
            self.hear().await?;
        }
    }

    async fn content(&mut self) -> io::Result<String> {
        let mut content = String::new();
        loop {
            let line = self.hear().await?;
            if line == "." {
                return Ok(content);
            }
            content.push_str(line.strip_prefix('.').unwrap_or(&line));
            content.push_str("\r\n");
        }
    }
}

/// Returns the address between the angle brackets of a command.
fn address(line: &str) -> String {
    let start = line.find('<').map_or(0, |at| at + 1);
    let end = line.find('>').unwrap_or(line.len());
    line.get(start..end).unwrap_or_default().to_owned()
}
