//! Logs: INFO and up on stdout, WARN and up also in `error.log`. Every line can be read alone.
//!
//! Never logged: passwords and keys. Code does not log them; [`Redacting`] makes sure of it.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::bars::AboveBars;

const FILE: &str = "error.log";
const LONGEST: usize = 5 << 20;
const OLDER_FILES: usize = 3;
/// Lines that wait for a slow disk; beyond that they are on stdout only. Each takes 32 bytes, whether it waits or not.
const BUFFERED_LINES: usize = 8_192;

/// Where logs go, and what must never be in them.
#[derive(Debug)]
pub struct Config {
    /// The folder of `error.log`; none for commands that only answer on stdout.
    pub folder: Option<PathBuf>,
    /// What stdout (or stderr) shows, in the words of `RUST_LOG`.
    pub filter: EnvFilter,
    /// Whether stdout is taken by a command's answer, so that logs go to stderr.
    pub to_stderr: bool,
    /// Passwords and keys.
    pub secrets: Vec<String>,
}

/// Starts logging. The file is written until the guard is dropped.
#[must_use]
pub fn start(config: Config) -> Option<WorkerGuard> {
    let secrets: Arc<[String]> = config.secrets.into_iter().filter(|secret| secret.len() > 2).collect();
    let console = Arc::clone(&secrets);
    let console = move || -> Box<dyn Write> {
        let secrets = Arc::clone(&console);
        if config.to_stderr {
            Box::new(Redacting { inner: AboveBars(io::stderr()), secrets })
        } else {
            Box::new(Redacting { inner: AboveBars(io::stdout()), secrets })
        }
    };
    let colours = if config.to_stderr { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
    let console = fmt::layer().with_target(false).with_ansi(colours).with_writer(console).with_filter(config.filter);
    let file = config.folder.as_deref().map(open);
    let (layer, guard, failure) = match file {
        None => (None, None, None),
        Some(Err(failure)) => (None, None, Some(failure)),
        Some(Ok(file)) => {
            let file = Telling { inner: file, is_failing: false };
            let builder = NonBlockingBuilder::default().buffered_lines_limit(BUFFERED_LINES);
            let (writer, guard) = builder.finish(Redacting { inner: file, secrets });
            let layer = fmt::layer()
                .with_target(false)
                .with_ansi(false)
                .with_writer(writer)
                .with_filter(EnvFilter::new(quieted("warn")));
            (Some(layer), Some(guard), None)
        }
    };
    // A second start, in tests, changes nothing.
    let _ = Registry::default().with(console).with(layer).try_init();
    if let Some(failure) = failure {
        tracing::warn!("{failure}; warnings and errors go to stdout only (LOG_DIR names the folder)");
    }
    guard
}

/// `error.log`: always a regular file of that name; when it is full it is renamed to `error.log.1`, and so on.
fn open(folder: &Path) -> Result<FileRotate<AppendCount>, String> {
    let path = folder.join(FILE);
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok(FileRotate::new(
        path,
        AppendCount::new(OLDER_FILES),
        ContentLimit::BytesSurpassed(LONGEST),
        Compression::None,
        None,
    ))
}

/// `filter`, but for what libraries say: where it matters, we say it in the user's words.
#[must_use]
pub fn quieted(filter: &str) -> String {
    format!("sqlx=error,sea_orm_migration=warn,{filter}")
}

/// Writes lines with every secret replaced by `***`.
struct Redacting<W> {
    inner: W,
    secrets: Arc<[String]>,
}

impl<W: Write> Write for Redacting<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if self.secrets.iter().any(|secret| text.contains(secret)) {
            let clean = self.secrets.iter().fold(text.into_owned(), |text, secret| text.replace(secret, "***"));
            self.inner.write_all(clean.as_bytes())?;
        } else {
            self.inner.write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A file that cannot be written, as on a full disk, costs its lines: told once, and once when it goes on.
struct Telling<W> {
    inner: W,
    is_failing: bool,
}

impl<W: Write> Write for Telling<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(line);
        let was_failing = std::mem::replace(&mut self.is_failing, written.is_err());
        match &written {
            Err(error) if !was_failing => {
                tracing::warn!(
                    "{FILE} cannot be written: {error}; until it can, warnings and errors go to stdout only"
                );
            }
            Ok(_) if was_failing => tracing::warn!("{FILE} is written again; what was said meanwhile is not in it"),
            _ => {}
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full now and then.
    struct Disk {
        free: std::vec::IntoIter<bool>,
    }

    impl Write for Disk {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let is_free = self.free.next().unwrap();
            if is_free { Ok(line.len()) } else { Err(io::ErrorKind::StorageFull.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_told_once_and_so_is_its_end() {
        let told = Arc::new(std::sync::Mutex::new(vec![]));
        let heard = Arc::clone(&told);
        let console = move || -> Box<dyn Write> { Box::new(Hearing(Arc::clone(&heard))) };
        let console = Registry::default().with(fmt::layer().with_ansi(false).with_writer(console));
        tracing::subscriber::with_default(console, || {
            let free = vec![true, false, false, true, true, false].into_iter();
            let mut file = Telling { inner: Disk { free }, is_failing: false };
            let written: Vec<_> = (0..6).map(|_| file.write(b"a line\n").is_ok()).collect();
            assert_eq!(written, [true, false, false, true, true, false]);
        });
        let told = String::from_utf8(told.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = told.lines().collect();
        let expected = ["error.log cannot be written", "error.log is written again", "error.log cannot be written"];
        assert!(lines.len() == 3 && lines.iter().zip(expected).all(|(line, text)| line.contains(text)), "{told}");
    }

    struct Hearing(Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Hearing {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn secrets_do_not_get_through() {
        let mut out = Redacting { inner: vec![], secrets: ["s3cret".to_owned(), "key".to_owned()].into() };
        out.write_all("mysql://u:s3cret@h key é\n".as_bytes()).unwrap();
        out.write_all(b"nothing here\n").unwrap();
        assert_eq!(String::from_utf8(out.inner).unwrap(), "mysql://u:***@h *** é\nnothing here\n");
    }
}
