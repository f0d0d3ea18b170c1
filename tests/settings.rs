//! Settings: what cannot be right is refused in one line that helps, and what is set twice is decided as promised.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::time::Duration;

use event_worker::simulate::{Config, Faults};
use support::node::TestNode;
use support::process::Setup;

/// Nobody listens there.
const NO_NODE: &str = "http://127.0.0.1:9/v1";

/// A setting, its value, and what the message must say besides the two.
const REFUSED: [(&str, &str, &str); 32] = [
    ("DATABASE_URL", "mssql://host/db", "unknown scheme"),
    ("DATABASE_URL", "market.db", "no scheme"),
    ("DATABASE_URL", "mysql://host", "no database name"),
    ("DATABASE_URL", "postgres:///db", "no host"),
    ("DATABASE_URL", "sqlite:///nowhere/at/all.db?mode=rwc", "check its folder"),
    ("DATABASE_URL", "sqlite://absent.db", "?mode=rwc"),
    ("MARKETS", "imartt", "built in: imart"),
    ("MARKETS", "imart,imart", "only once"),
    ("MARKETS", "imart,imart@0x1", "only once"),
    ("MARKETS", "imart@73545d", "expected an address"),
    ("MARKETS", "absent.toml", "cannot be read"),
    ("MARKETS", "mine.toml@0xb", "moved by `address` in it"),
    ("MARKETS", ",", "names no market"),
    ("SUBJECT", "foo", "handles, transactions or stream"),
    ("SUBJECT", "stream", "set STREAM_URL, too"),
    ("STREAM_URL", "grpc.mainnet.aptoslabs.com:443", "like https://grpc"),
    ("STREAM_URL", "https://grpc.mainnet.aptoslabs.com?key=1", "like https://grpc"),
    ("POLL_INTERVAL", "5", "expected a duration like 250ms"),
    ("POLL_INTERVAL", "0s", "longer than nothing"),
    ("POLL_INTERVAL", "-1s", "expected a duration"),
    ("POLL_INTERVAL", "soon", "expected a duration"),
    ("MAX_PARKED", "0", "from 1 to"),
    ("MAX_PARKED", "-1", "from 1 to"),
    ("MAX_PARKED", "many", "from 1 to"),
    ("NODE_URL", "fullnode.testnet.aptoslabs.com/v1", "like https://fullnode"),
    ("NODE_URL", "ftp://fullnode.testnet.aptoslabs.com/v1", "like https://fullnode"),
    ("NODE_URL", "https://node/v1?key=1", "NODE_API_KEY"),
    ("NODE_URL", ",", "names no node"),
    ("NODE_ARCHIVE_URL", "archive", "like https://fullnode"),
    ("API_LISTEN", "8080", "127.0.0.1:8080"),
    ("RUST_LOG", "sqlx=warn,inof", "did you mean `info`?"),
    ("RUST_LOG", "event_worker=loud", "expected error, warn, info, debug"),
];

#[tokio::test]
async fn a_setting_that_cannot_be_right_is_refused_with_status_2_before_anything_is_touched() {
    for (name, value, remedy) in REFUSED {
        println!("{name}={value}");
        let setup = Setup::new().set("NODE_URL", NO_NODE).set(name, value);
        let ended = setup.until_caught_up().await.expect(2);
        // What follows may hold a password.
        let shown = value.split('?').next().unwrap_or_default();
        ended.says(&[&format!("{name}={shown}: "), remedy]);
        let touched: Vec<_> = std::fs::read_dir(setup.folder()).unwrap().collect();
        // Logs have begun where the database is the first to say no.
        assert!(touched.len() <= usize::from(name == "DATABASE_URL"), "{touched:?}");
    }
}

#[tokio::test]
async fn what_is_refused_is_shown_without_its_secrets() {
    for (name, value, shown) in [
        ("DATABASE_URL", "mysql://me:hush@host:99999/db", "mysql://me:***@host:99999/db"),
        ("DATABASE_URL", "mssql://me:hu@sh@host/db", "mssql://me:***@host/db"),
        ("NODE_URL", "ftp://me:hush@host/v1", "ftp://me:***@host/v1"),
        ("NODE_API_KEY", "hush,another", "***"),
        ("STREAM_URL", "ftp://me:hush@host", "ftp://me:***@host"),
    ] {
        let ended = Setup::new().set(name, value).until_caught_up().await.expect(2);
        ended.says(&[&format!("{name}={shown}: ")]);
        assert!(!ended.stderr.contains("sh@") && !ended.stderr.contains("hush"), "{}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_nearly_settings_are_told() {
    let node = small_node().await;
    let setup = Setup::new().set("NODE_URL", &node.url).set("MARKETSS", "imart").set("LES", "-R");
    std::fs::write(setup.folder().join(".env"), "POLL_INTERVALL=1s\nSOMEBODY_ELSES=1\n").unwrap();
    let ended = setup.until_caught_up().await.expect(0);
    let told: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(
        told,
        [
            "warning: MARKETSS is no setting, and is ignored; did you mean `MARKETS`?",
            "warning: POLL_INTERVALL is no setting, and is ignored; did you mean `POLL_INTERVAL`?"
        ]
    );
}

#[tokio::test]
async fn a_database_that_is_not_there_yet_is_told_by_commands_that_read_it() {
    let setup = Setup::new().set("DATABASE_URL", "sqlite://absent.db?mode=rwc").command("status");
    let ended = setup.to_end().await.expect(2);
    ended.says(&["there is no database absent.db yet", "start `event-worker` first"]);
    assert!(databases(setup.folder()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_name_the_driver_decodes_is_found_again() {
    let node = small_node().await;
    let setup = Setup::of("sqlite://my%20market.db?mode=rwc", &node.url);
    setup.until_caught_up().await.expect(0);
    assert_eq!(databases(setup.folder()), ["my market.db"]);
    setup.command("status").to_end().await.expect(0);
}

#[tokio::test]
async fn wrong_usage_is_one_line_and_status_2() {
    for (argument, part) in [("--no-such-flag", "--no-such-flag"), ("nonsense", "nonsense")] {
        let ended = Setup::new().with(argument).to_end().await.expect(2);
        ended.says(&[part, "--help"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_beats_the_environment_which_beats_the_file() {
    let node = small_node().await;
    let setup = Setup::new().set("NODE_URL", &node.url);
    let url = |name: &str| format!("sqlite://{name}.db?mode=rwc");
    let made = |setup: &Setup| databases(setup.folder());

    std::fs::write(setup.folder().join(".env"), format!("DATABASE_URL={}\n", url("file"))).unwrap();
    setup.until_caught_up().await.expect(0);
    assert_eq!(made(&setup), ["file.db"]);

    let setup = setup.set("DATABASE_URL", &url("environment"));
    setup.until_caught_up().await.expect(0);
    assert_eq!(made(&setup), ["environment.db", "file.db"]);

    let setup = setup.with("--database-url").with(&url("flag"));
    setup.until_caught_up().await.expect(0);
    assert_eq!(made(&setup), ["environment.db", "file.db", "flag.db"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_settings_the_database_is_a_file_in_the_working_directory() {
    let node = small_node().await;
    let setup = Setup::new().set("NODE_URL", &node.url);
    setup.until_caught_up().await.expect(0);
    assert_eq!(databases(setup.folder()), ["event-worker.db"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_that_is_set_to_nothing_is_not_set() {
    let node = small_node().await;
    let mut setup = Setup::new().set("NODE_URL", &node.url);
    for name in [
        "DATABASE_URL",
        "DB_URL",
        "NODE_ARCHIVE_URL",
        "NODE_API_KEY",
        "MARKETS",
        "SUBJECT",
        "POLL_INTERVAL",
        "MAX_PARKED",
    ] {
        setup = setup.set(name, "");
    }
    setup.until_caught_up().await.expect(0);
    assert_eq!(databases(setup.folder()), ["event-worker.db"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_url_wins_over_db_url_and_says_so() {
    let node = small_node().await;
    let setup = Setup::new().set("NODE_URL", &node.url);
    let setup = setup.set("DB_URL", "sqlite://second.db?mode=rwc");
    let ended = setup.until_caught_up().await.expect(0);
    assert_eq!(databases(setup.folder()), ["second.db"]);
    assert!(!ended.stdout.contains("WARN"), "{}", ended.stdout);

    let setup = setup.set("DATABASE_URL", "sqlite://first.db?mode=rwc");
    let ended = setup.until_caught_up().await.expect(0);
    assert_eq!(databases(setup.folder()), ["first.db", "second.db"]);
    let warning = ended.stdout.lines().find(|line| line.contains("WARN")).unwrap_or_default();
    assert!(warning.contains("DATABASE_URL") && warning.contains("DB_URL"), "{}", ended.stdout);
    assert!(ended.error_log.contains("DB_URL"), "{}", ended.error_log);
}

#[tokio::test]
async fn a_line_of_the_file_that_cannot_be_read_is_named_without_its_value() {
    let setup = Setup::new();
    std::fs::write(setup.folder().join(".env"), "MARKETS=imart\nNODE_API_KEY=hush hush\n").unwrap();
    let ended = setup.until_caught_up().await.expect(2);
    ended.says(&[".env", "NODE_API_KEY"]);
    assert!(!ended.stderr.contains("hush"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_folder_that_cannot_be_written_is_a_warning_on_stdout() {
    let node = small_node().await;
    for folder in ["a-file", "absent/folder"] {
        let setup = Setup::new().set("NODE_URL", &node.url).set("LOG_DIR", folder);
        std::fs::write(setup.folder().join("a-file"), "").unwrap();
        let ended = setup.until_caught_up().await.expect(0);
        assert_eq!(ended.stderr, "");
        let warnings: Vec<_> = ended.stdout.lines().filter(|line| line.contains("WARN")).collect();
        assert!(warnings.len() == 1 && warnings[0].contains("LOG_DIR"), "{}", ended.stdout);
    }
}

/// The kernel's own full disk.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_for_the_log_is_one_warning_on_stdout() {
    let node = small_node().await;
    let setup = Setup::of("sqlite://event-worker.db?mode=rwc", &node.url).set("DB_URL", "sqlite://other.db?mode=rwc");
    std::os::unix::fs::symlink("/dev/full", setup.folder().join("error.log")).unwrap();
    // Two that have nothing to do with it, of which one comes later.
    let mut worker = setup.start();
    worker.line("DB_URL differ").await;
    worker.line("error.log cannot be written").await;
    node.node.set_faults("500:1.0".parse().unwrap());
    worker.line("node unreachable").await;
    node.node.set_faults(Faults::default());
    // One of them, or several.
    worker.line(" on after ").await;
    // Whoever reads it reads no end of zeros.
    std::fs::remove_file(setup.folder().join("error.log")).unwrap();
    worker.terminate().await;
    let ended = worker.ended(Duration::from_secs(10)).await.expect(0);
    assert_eq!(ended.stdout.matches("error.log").count(), 1, "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn error_log_gets_warnings_and_errors_only_and_stdout_the_rest_too() {
    let faults = "500:0.2".parse().unwrap();
    let node = TestNode::start(Config { events: 500, faults, ..Config::default() }).await;
    let setup = Setup::new().set("NODE_URL", &node.url);
    let ended = setup.until_caught_up().await.expect(0);
    assert!(ended.stdout.contains(" INFO "), "{}", ended.stdout);
    assert!(!ended.error_log.is_empty());
    for line in ended.error_log.lines() {
        assert!(line.contains(" WARN ") || line.contains(" ERROR "), "{line}");
        // Each writes its own time in front.
        let (_, said) = line.split_once(' ').unwrap();
        assert!(ended.stdout.contains(said), "only in error.log: {line}");
    }
    assert_eq!(std::fs::read_to_string(setup.folder().join("error.log")).unwrap(), ended.error_log);
}

async fn small_node() -> TestNode {
    TestNode::start(Config { events: 30, ..Config::default() }).await
}

/// The SQLite files in a folder.
fn databases(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.strip_suffix(".db").is_some()).collect();
    names.sort();
    names
}
