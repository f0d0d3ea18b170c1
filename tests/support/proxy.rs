//! A wire to a database server that can be cut.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

/// What is done to the connections of a [`Proxy`].
#[derive(Default)]
pub struct Faults {
    /// Each connection is cut after so many messages of the client, and the next one after one more; 0: never.
    cut_after: AtomicU64,
    /// Of so many COMMITs, one is answered by nothing but the end of the connection, after the server has done it; 0: none.
    losing: AtomicU64,
    /// Each message is held for so long.
    delay: Mutex<Duration>,
    /// Nothing arrives any more, and nobody is told.
    swallows: AtomicBool,
    commits: AtomicU64,
    /// Where the next commit stops for ever.
    stop: Mutex<Option<Edge>>,
    stopping: watch::Sender<bool>,
    /// How many connections have been cut, and how many answers lost.
    pub cuts: AtomicU32,
    pub lost: AtomicU32,
}

/// A place within a commit: a message, found by the statement that it names or comes behind.
#[derive(Clone, Debug)]
pub struct Edge {
    /// How a statement begins, as it is sent for the first time on a connection.
    pub statement: String,
    /// 0: the message that tells it; 1: the next one, which executes it.
    pub message: usize,
    pub side: Side,
}

/// How far that message gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The server never hears it.
    Before,
    /// The server may be at it, or have done it.
    Behind,
    /// The server has done it and has said so; nobody hears that.
    Answered,
}

/// Listens on a port of its own, and hands everything on to the server of a database.
pub struct Proxy {
    /// The URL of the same database through the proxy.
    pub url: String,
    pub faults: Arc<Faults>,
    address: SocketAddr,
    server: String,
    serving: Mutex<Option<(CancellationToken, DropGuard)>>,
    kicks: watch::Sender<u32>,
    /// Whether a commit has stopped.
    stopped: watch::Receiver<bool>,
}

impl Proxy {
    /// A proxy before the server of `database_url`.
    pub async fn start(database_url: &str) -> Self {
        let mut url = Url::parse(database_url).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        url.set_port(Some(address.port())).unwrap();
        let (stopping, stopped) = watch::channel(false);
        let proxy = Self {
            url: url.to_string(),
            faults: Arc::new(Faults { stopping, ..Faults::default() }),
            stopped,
            address,
            server,
            serving: Mutex::default(),
            kicks: watch::channel(0).0,
        };
        proxy.serve(listener);
        proxy
    }

    /// Cuts each connection after `messages` of the client, one more each time; 0: no longer.
    pub fn cut_after(&self, messages: u64) {
        self.faults.cut_after.store(messages, Ordering::SeqCst);
    }

    /// Ends all connections that there are.
    pub fn kick(&self) {
        self.kicks.send_modify(|kicks| *kicks += 1);
    }

    /// Loses the answer to one of so many COMMITs; 0: to none.
    pub fn lose_one_of(&self, commits: u64) {
        self.faults.losing.store(commits, Ordering::SeqCst);
    }

    /// Holds each message for so long.
    pub fn delay(&self, delay: Duration) {
        *self.faults.delay.lock().unwrap() = delay;
    }

    /// The next one that gets there stops at that edge, until its client is gone.
    pub fn stop_at(&self, edge: Edge) {
        self.faults.stopping.send_replace(false);
        *self.faults.stop.lock().unwrap() = Some(edge);
    }

    /// Waits until it has.
    pub async fn stopped(&self) {
        self.stopped.clone().wait_for(|stopped| *stopped).await.unwrap();
    }

    /// Lets everything vanish that is sent to and fro, without ending a connection; those that have lost something never work
    /// again.
    pub fn swallow(&self, swallows: bool) {
        self.faults.swallows.store(swallows, Ordering::SeqCst);
    }

    /// Cuts all connections, and refuses new ones: the server is gone.
    pub fn down(&self) {
        self.serving.lock().unwrap().take().unwrap().0.cancel();
    }

    /// It is back.
    pub fn up(&self) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        self.serve(socket.listen(64).unwrap());
    }

    fn serve(&self, listener: TcpListener) {
        let stop = CancellationToken::new();
        let (stopped, server, faults) = (stop.clone(), self.server.clone(), Arc::clone(&self.faults));
        let kicks = self.kicks.subscribe();
        tokio::spawn(async move {
            while let Some(Ok((client, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let (stopped, server, faults) = (stopped.clone(), server.clone(), Arc::clone(&faults));
                let mut kicks = kicks.clone();
                kicks.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = stopped.run_until_cancelled(hand_on(client, &server, &faults)) => {}
                        _ = kicks.changed() => {}
                    }
                });
            }
        });
        *self.serving.lock().unwrap() = Some((stop.clone(), stop.drop_guard()));
    }
}

/// Until one of both hangs up, or a fault does.
async fn hand_on(mut client: TcpStream, server: &str, faults: &Faults) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let most = match faults.cut_after.load(Ordering::SeqCst) {
        0 => u64::MAX,
        _ => faults.cut_after.fetch_add(1, Ordering::SeqCst),
    };
    let (mut messages, mut place, mut is_lost_for_good) = (0, Place::default(), false);
    let mut swallows = || {
        is_lost_for_good |= faults.swallows.load(Ordering::SeqCst);
        is_lost_for_good
    };
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                if swallows() {
                    continue;
                }
                let message = &asked[..length];
                messages += 1;
                if messages > most {
                    faults.cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                let delay = *faults.delay.lock().unwrap();
                tokio::time::sleep(delay).await;
                if let Some(side) = faults.stops(&mut place, message) {
                    return stop(&mut client, &mut server, message, side, faults).await;
                }
                if server.write_all(message).await.is_err() {
                    return;
                }
                if is_commit(message) && is_lost(faults) {
                    // The answer says that it has been done; nobody hears it.
                    let _ = server.read(&mut answered).await;
                    faults.lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if swallows() {
                    continue;
                }
                if client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Goes no further than that side of the message, and waits until the client hangs up.
async fn stop(client: &mut TcpStream, server: &mut TcpStream, message: &[u8], side: Side, faults: &Faults) {
    let mut heard = vec![0; 64 << 10];
    if side != Side::Before && server.write_all(message).await.is_err() {
        return;
    }
    if side == Side::Answered {
        let _ = server.read(&mut heard).await;
    }
    faults.stopping.send_replace(true);
    while matches!(client.read(&mut heard).await, Ok(1..)) {}
}

/// Where a connection is.
#[derive(Default)]
struct Place {
    /// It is the one for commits.
    commits: bool,
    /// How many messages ago the statement of the edge came.
    behind: Option<usize>,
}

impl Faults {
    /// Whether to stop at a message, and on which side of it. Once.
    fn stops(&self, place: &mut Place, message: &[u8]) -> Option<Side> {
        place.commits |= holds(message, "UPDATE `commits`") || holds(message, "UPDATE \"commits\"");
        let mut stop = self.stop.lock().unwrap();
        let edge = stop.as_ref()?;
        let is_told = place.commits && holds(message, &edge.statement);
        place.behind = if is_told { Some(0) } else { place.behind.map(|messages| messages + 1) };
        if place.behind == Some(edge.message) { stop.take().map(|edge| edge.side) } else { None }
    }
}

fn holds(message: &[u8], text: &str) -> bool {
    message.windows(text.len()).any(|window| window == text.as_bytes())
}

fn is_commit(message: &[u8]) -> bool {
    message.len() < 64 && holds(message, "COMMIT")
}

fn is_lost(faults: &Faults) -> bool {
    let one_of = faults.losing.load(Ordering::SeqCst);
    one_of > 0 && faults.commits.fetch_add(1, Ordering::SeqCst) % one_of == one_of - 1
}
