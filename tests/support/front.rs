//! What stands before nodes: one address, and who answers there is decided anew for every request.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::Response;
use tokio::net::TcpListener;

/// Serves an address whose requests go to the node that `choose` names by the path; to nobody, and are never answered, if
/// it names none. Returns what `NODE_URL` has to be.
pub async fn front(choose: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> String {
    // As the program does: there is no other.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (choose, client) = (Arc::new(choose), reqwest::Client::builder().no_proxy().build().unwrap());
    let app = Router::new().fallback(move |request: Request| {
        let (choose, client) = (Arc::clone(&choose), client.clone());
        async move {
            let path = request.uri().path_and_query().unwrap().to_string();
            let Some(node) = choose(&path) else { return std::future::pending().await };
            let url = format!("{}{}", node.trim_end_matches("/v1"), path);
            let method = request.method().clone();
            let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
            let answer = client.request(method, url).body(body).send().await.unwrap();
            let mut response = Response::builder().status(answer.status());
            *response.headers_mut().unwrap() = answer.headers().clone();
            response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}
