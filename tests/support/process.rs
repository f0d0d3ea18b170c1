//! The program as its users start it: a process with an environment and a working directory of its own.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longer than anything here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A working directory, an environment and arguments, for one process or several after one another.
#[derive(Clone)]
pub struct Setup {
    folder: Arc<TempDir>,
    environment: Vec<(String, String)>,
    /// What starts the program: nothing, or a program of the system with its arguments.
    starter: Vec<String>,
    arguments: Vec<String>,
}

/// A running process. Killed when dropped.
pub struct Worker {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    folder: PathBuf,
}

/// What a process has left behind.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    /// Empty if there is none.
    pub error_log: String,
}

struct Lines {
    lines: watch::Receiver<Vec<String>>,
    reading: JoinHandle<()>,
}

impl Setup {
    /// `event-worker run` in an empty folder, with no API, and its own folder for logs.
    pub fn new() -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let logs = folder.path().display().to_string();
        let setup = Self { folder, environment: vec![], starter: vec![], arguments: vec!["run".to_owned()] };
        setup.set("API_LISTEN", "off").set("LOG_DIR", &logs)
    }

    /// The same for a database and a node, quick to poll and to take over.
    pub fn of(database_url: &str, node_url: &str) -> Self {
        let setup = Self::new().set("DATABASE_URL", database_url).set("NODE_URL", node_url);
        setup.set("POLL_INTERVAL", "50ms").set("LEASE", "500ms")
    }

    /// Says nothing of leases that it could not renew in time on a busy machine.
    pub fn patient(self) -> Self {
        self.set("LEASE", "20s")
    }

    /// `event-worker NAME` instead.
    pub fn command(mut self, name: &str) -> Self {
        name.clone_into(&mut self.arguments[0]);
        self
    }

    /// Another one in the same folder, to be changed.
    pub fn again(&self) -> Self {
        self.clone()
    }

    /// With a variable set, or set otherwise.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self = self.unset(name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a variable.
    pub fn unset(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// With an argument more.
    pub fn with(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Started by another program, which becomes it.
    pub fn by(mut self, starter: &[&str]) -> Self {
        self.starter = starter.iter().map(|&word| word.to_owned()).collect();
        self
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a process.
    pub fn start(&self) -> Worker {
        self.start_with(&[])
    }

    /// Starts it, runs it with `--until-caught-up`, and waits for its end.
    pub async fn until_caught_up(&self) -> Ended {
        self.start_with(&["--until-caught-up"]).ended(PATIENCE).await
    }

    /// Starts it and waits for its end.
    pub async fn to_end(&self) -> Ended {
        self.start().ended(PATIENCE).await
    }

    pub fn start_with(&self, more: &[&str]) -> Worker {
        let program = env!("CARGO_BIN_EXE_event-worker").to_owned();
        let mut words = self.starter.iter().chain([&program]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .args(&self.arguments)
            .args(more)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        Worker {
            stdout: Lines::of(child.stdout.take().unwrap()),
            stderr: Lines::of(child.stderr.take().unwrap()),
            child,
            folder: self.folder.path().to_owned(),
        }
    }
}

impl Worker {
    /// Waits for a line on stdout that contains `text`.
    pub async fn line(&mut self, text: &str) {
        self.times(text, 1).await;
    }

    /// Whether a line on stdout contains `text` before the process ends, or time is up.
    pub async fn says(&mut self, text: &str, limit: Duration) -> bool {
        let said = |lines: &Vec<String>| lines.iter().any(|line| line.contains(text));
        matches!(tokio::time::timeout(limit, self.stdout.lines.wait_for(said)).await, Ok(Ok(_)))
    }

    /// How many lines on stdout contain `text` so far.
    pub fn count(&self, text: &str) -> usize {
        self.stdout.lines.borrow().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for so many lines on stdout that contain `text`.
    pub async fn times(&mut self, text: &str, count: usize) {
        let said = |lines: &Vec<String>| lines.iter().filter(|line| line.contains(text)).count() >= count;
        let waiting = tokio::time::timeout(PATIENCE, self.stdout.lines.wait_for(said));
        if !matches!(waiting.await, Ok(Ok(_))) {
            let all = self.stdout.lines.borrow().join("\n");
            panic!("no line with {text:?} within {PATIENCE:?}; stdout:\n{all}");
        }
    }

    /// What comes of `what`, unless the process ends before.
    pub async fn unless_ended<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = what => Some(done),
            _ = self.child.wait() => None,
        }
    }

    /// SIGTERM.
    pub async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// The signal of that name.
    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("the process has not ended").to_string();
        let kill = Command::new("kill").args([&format!("-{name}"), &pid]).status().await.unwrap();
        assert!(kill.success(), "kill -{name} {pid}");
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(mut self) -> Ended {
        // An error here says that it has ended already.
        let _ = self.child.start_kill();
        self.ended(PATIENCE).await
    }

    /// Waits for its end.
    pub async fn ended(mut self, limit: Duration) -> Ended {
        let Ok(status) = tokio::time::timeout(limit, self.child.wait()).await else {
            let all = self.stdout.lines.borrow().join("\n");
            panic!("still running after {limit:?}; stdout:\n{all}");
        };
        Ended {
            status: status.unwrap(),
            stdout: self.stdout.all().await,
            stderr: self.stderr.all().await,
            error_log: std::fs::read_to_string(self.folder.join("error.log")).unwrap_or_default(),
        }
    }
}

impl Ended {
    /// The exit status, unless a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Panics with everything it said, unless it ended with that status.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        let Self { status, stdout, stderr, .. } = &self;
        assert_eq!(self.code(), Some(code), "{status}; stdout:\n{stdout}\nstderr:\n{stderr}");
        self
    }

    /// Panics unless stderr is one line that has all these parts.
    #[track_caller]
    pub fn says(&self, parts: &[&str]) {
        let line = self.stderr.trim_end();
        assert!(!line.contains('\n'), "more than one line:\n{line}");
        assert!(line.starts_with("error: "), "no error: {line:?}; stdout:\n{}", self.stdout);
        for part in parts {
            assert!(line.contains(part), "{part:?} is not in: {line}");
        }
    }
}

impl Lines {
    fn of(output: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (sender, lines) = watch::channel(vec![]);
        let reading = tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                sender.send_modify(|lines| lines.push(line));
            }
        });
        Self { lines, reading }
    }

    async fn all(self) -> String {
        self.reading.await.unwrap();
        self.lines.borrow().join("\n")
    }
}
