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
    /// How many connections have been cut, and how many answers lost.
    pub cuts: AtomicU32,
    pub lost: AtomicU32,
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
}

impl Proxy {
    /// A proxy before the server of `database_url`.
    pub async fn start(database_url: &str) -> Self {
        let mut url = Url::parse(database_url).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        url.set_port(Some(address.port())).unwrap();
        let proxy = Self {
            url: url.to_string(),
            faults: Arc::default(),
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
    let (mut messages, mut is_lost_for_good) = (0, false);
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
                messages += 1;
                if messages > most {
                    faults.cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                let delay = *faults.delay.lock().unwrap();
                tokio::time::sleep(delay).await;
                if server.write_all(&asked[..length]).await.is_err() {
                    return;
                }
                if is_commit(&asked[..length]) && is_lost(faults) {
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

fn is_commit(message: &[u8]) -> bool {
    message.len() < 64 && message.windows(6).any(|word| word == b"COMMIT")
}

fn is_lost(faults: &Faults) -> bool {
    let one_of = faults.losing.load(Ordering::SeqCst);
    one_of > 0 && faults.commits.fetch_add(1, Ordering::SeqCst) % one_of == one_of - 1
}
