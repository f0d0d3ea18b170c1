//! The listening side of the wire, where an answer can be cut short: HTTP itself would not let a server lie about a length.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Accepts connections that can be cut.
pub struct Wire(pub TcpListener);

/// A connection that can be cut.
pub struct Line {
    stream: TcpStream,
    scissors: Scissors,
}

/// Cuts the connection within the answer that is sent next; shared by a connection and its handler.
#[derive(Clone, Debug, Default)]
pub struct Scissors(Arc<AtomicUsize>);

impl Scissors {
    const NOTHING_AT_ALL: usize = usize::MAX;

    /// The last so many bytes of the answer are never sent.
    pub fn hold_back(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Nothing is sent, and the peer sees a reset.
    pub fn reset(&self) {
        self.hold_back(Self::NOTHING_AT_ALL);
    }
}

impl Listener for Wire {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        // The listener of the server waits and tries again where no connection can be accepted.
        let (stream, address) = Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not set TCP_NODELAY");
        }
        (Line { stream, scissors: Scissors::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Wire>> for Scissors {
    fn connect_info(stream: IncomingStream<'_, Wire>) -> Self {
        stream.io().scissors.clone()
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let held_back = self.scissors.0.load(Ordering::Relaxed);
        if held_back == 0 {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        if held_back == Scissors::NOTHING_AT_ALL {
            self.stream.set_zero_linger()?;
        }
        // An answer is offered whole, and its rest again until it is written; so what is left tells where to stop.
        match bytes.len().checked_sub(held_back) {
            None | Some(0) => Poll::Ready(Err(ErrorKind::ConnectionAborted.into())),
            Some(allowed) => Pin::new(&mut self.stream).poll_write(cx, &bytes[..allowed]),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
