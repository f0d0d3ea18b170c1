//! Being asked over HTTP: whether the worker is alive, and its metrics.

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics::{self, Metric};

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

/// Serves until `stop`; `told` are the metrics at the moment of the question. A port that is taken is a warning: the worker's
/// main job does not depend on it.
pub async fn serve(
    config: Config,
    told: impl Fn() -> Vec<Metric> + Clone + Send + Sync + 'static,
    stop: CancellationToken,
) {
    let Some(listen) = config.listen else { return };
    let served = match TcpListener::bind(listen).await {
        Ok(listener) => axum::serve(listener, routes(told)).with_graceful_shutdown(stop.cancelled_owned()).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::warn!(
            "API_LISTEN: cannot listen on {listen}: {error}; going on without, set another address or `off`"
        );
    }
}

/// What is answered, wherever that is.
pub fn routes(told: impl Fn() -> Vec<Metric> + Clone + Send + Sync + 'static) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(async move || answered(metrics::text(&told()))))
}

fn answered(text: Result<String, String>) -> Response {
    match text {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
