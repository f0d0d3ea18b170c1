//! A node made of a few given answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use event_worker::chain::Address;
use event_worker::import::{self, Progress, Summary, Target};
use event_worker::state::Store;
use event_worker::state::entities::{collections, tokens};
use event_worker::subject::{Config, Nodes};
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A node that answers these paths, with status 200, and everything else as a node does that knows nothing of it.
#[derive(Default, Clone)]
pub struct Answers(Arc<Mutex<HashMap<String, Value>>>);

impl Answers {
    /// Answers this path, query included, with that.
    pub fn get(&self, path: String, body: Value) {
        self.0.lock().unwrap().insert(path, body);
    }

    /// The item of a table, by the request that the sample tells.
    pub fn item(&self, table: &str, sample: &Value) {
        let asked = json!([table, sample["_request_body"]["key"]]).to_string();
        self.0.lock().unwrap().insert(asked, sample["_response_body"].clone());
    }

    /// Serves them; returns what `NODE_URL` has to be.
    pub async fn serve(&self) -> String {
        let answers = Arc::clone(&self.0);
        let app = Router::new().fallback(move |request: Request| {
            let answers = Arc::clone(&answers);
            async move {
                let path = request.uri().path_and_query().unwrap().to_string();
                let path = path.trim_start_matches("/v1").to_owned();
                let body: Bytes = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
                let asked = match serde_json::from_slice::<Value>(&body) {
                    Ok(body) => json!([path.split('/').nth(2), body["key"]]).to_string(),
                    Err(_) => path.clone(),
                };
                match answers.lock().unwrap().get(&asked) {
                    Some(body) => (StatusCode::OK, body.to_string()),
                    None if path.contains("/resources") || path.contains("start=") => (StatusCode::OK, "[]".to_owned()),
                    None => {
                        let code =
                            if path.starts_with("/tables") { "table_item_not_found" } else { "resource_not_found" };
                        let body =
                            json!({ "message": format!("no {asked}"), "error_code": code, "vm_error_code": null });
                        (StatusCode::NOT_FOUND, body.to_string())
                    }
                }
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        self.get(String::new(), json!({ "chain_id": 1, "ledger_version": "3000000000", "ledger_timestamp": "1" }));
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }
}

/// What an import has found and left behind.
pub struct Imported {
    pub summary: Summary,
    pub collections: Vec<collections::Model>,
    pub tokens: Vec<tokens::Model>,
}

/// Imports `account` from such a node into an empty SQLite database.
pub async fn imported(answers: &Answers, account: &str, collection: Option<&str>) -> Imported {
    imported_from(&answers.serve().await, account, collection).await
}

/// The same from any node.
pub async fn imported_from(url: &str, account: &str, collection: Option<&str>) -> Imported {
    let folder = tempfile::TempDir::new().unwrap();
    let database = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display());
    let store = Store::connect(&database.parse().unwrap()).await.unwrap();
    store.migrate_up().await.unwrap();
    let nodes = Arc::new(Nodes::new(Config { nodes: vec![(url.parse().unwrap(), None)], archive: None }).unwrap());
    let config = import::Config { collection: collection.map(str::to_owned), tokens: true, parallel: 4 };
    let target = Target { store: Some(store.clone()), dry_run: false };
    let account: Address = account.parse().unwrap();
    let progress = Arc::new(Progress::default());
    let summary =
        import::account(account, &config, nodes, None, &target, progress, &CancellationToken::new()).await.unwrap();
    let collections = collections::Entity::find().all(store.connection()).await.unwrap();
    let tokens = tokens::Entity::find().all(store.connection()).await.unwrap();
    Imported { summary, collections, tokens }
}
