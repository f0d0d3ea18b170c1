//! Being asked over HTTP. For now only whether the worker is alive.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

/// Serves until `stop`. A port that is taken is a warning: the worker's main job does not depend on it.
pub async fn serve(config: Config, stop: CancellationToken) {
    let Some(listen) = config.listen else { return };
    let routes = Router::new().route("/healthz", get(async || "ok\n"));
    let served = match TcpListener::bind(listen).await {
        Ok(listener) => axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::warn!(
            "API_LISTEN: cannot listen on {listen}: {error}; going on without, set another address or `off`"
        );
    }
}
