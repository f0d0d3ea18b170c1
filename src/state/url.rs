//! `DATABASE_URL`: which database, with its password kept out of every message.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sea_orm::DbBackend;
use url::Url;

/// A database's URL. Displaying it hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: String,
    backend: DbBackend,
}

impl DatabaseUrl {
    /// The URL with its password: for drivers only.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.text
    }

    /// The password as it is written in the URL, if there is one.
    #[must_use]
    pub fn password(&self) -> Option<String> {
        self.parsed().and_then(|url| url.password().map(str::to_owned))
    }

    /// The same database, which must exist: an SQLite file is not created.
    #[must_use]
    pub fn existing(mut self) -> Self {
        if self.backend == DbBackend::Sqlite {
            self.text = self.text.replace("mode=rwc", "mode=rw");
        }
        self
    }

    /// Whether it is an SQLite file that is not there yet.
    #[must_use]
    pub fn is_missing_file(&self) -> bool {
        self.file().is_some_and(|file| !file.exists())
    }

    /// The file of an SQLite database.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        let path = self.text.split_once(':').map_or("", |(_, path)| path);
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = path.split('?').next().unwrap_or_default();
        (self.backend == DbBackend::Sqlite && path != ":memory:").then(|| path.into())
    }

    /// Host and port of a server that is reached by TCP.
    pub(super) fn server(&self) -> Option<String> {
        let default = match self.backend {
            DbBackend::MySql => 3306,
            DbBackend::Postgres => 5432,
            _ => return None,
        };
        let url = self.parsed()?;
        // A socket may be named there.
        let elsewhere = url.query_pairs().any(|(name, _)| matches!(&*name, "host" | "port" | "hostaddr" | "socket"));
        (!elsewhere).then_some(format!("{}:{}", url.host_str()?, url.port().unwrap_or(default)))
    }

    pub(super) fn backend(&self) -> DbBackend {
        self.backend
    }

    fn parsed(&self) -> Option<Url> {
        Url::parse(&self.text).ok()
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected mysql://user:password@host:3306/database, postgres://user:password@host:5432/database or sqlite://file.db?mode=rwc";
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(format!("no scheme; {EXPECTED}"));
        };
        let backend = match scheme {
            "mysql" | "mariadb" => DbBackend::MySql,
            "postgres" | "postgresql" => DbBackend::Postgres,
            "sqlite" => {
                return Ok(Self { text: text.to_owned(), backend: DbBackend::Sqlite });
            }
            other => return Err(format!("unknown scheme {other:?}; {EXPECTED}")),
        };
        let url = Url::parse(text)
            .map_err(|error| format!("{error}; {EXPECTED} (special characters of a password percent-encoded)"))?;
        if url.host_str().unwrap_or_default().is_empty() || !rest.starts_with("//") {
            return Err(format!("no host; {EXPECTED}"));
        }
        if url.path().trim_matches('/').is_empty() {
            return Err(format!("no database name; {EXPECTED}"));
        }
        // The driver knows MariaDB by the scheme of MySQL only.
        let text = text.strip_prefix("mariadb:").map_or_else(|| text.to_owned(), |rest| format!("mysql:{rest}"));
        Ok(Self { text, backend })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parsed() {
            Some(mut url) if url.password().is_some() => {
                let _ = url.set_password(Some("***"));
                url.set_query(None);
                write!(f, "{url}")
            }
            Some(_) | None => f.write_str(self.text.split('?').next().unwrap_or_default()),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let url: DatabaseUrl = "mysql://worker:s3cr%40t@db:3306/market?ssl-mode=REQUIRED".parse().unwrap();
        assert_eq!(url.to_string(), "mysql://worker:***@db:3306/market");
        assert_eq!(format!("{url:?}"), url.to_string());
    }

    #[test]
    fn a_file_is_where_the_driver_has_it() {
        for (text, expected) in [
            ("sqlite://event-worker.db?mode=rwc", Some("event-worker.db")),
            ("sqlite:event-worker.db", Some("event-worker.db")),
            ("sqlite:///var/market.db?mode=rwc", Some("/var/market.db")),
            ("sqlite:////var/market.db", Some("/var/market.db")),
            ("sqlite://:memory:", None),
            ("mysql://worker@db/market", None),
        ] {
            let file = text.parse::<DatabaseUrl>().unwrap().file();
            assert_eq!(file.map(|file| file.components().collect()), expected.map(PathBuf::from), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        for (text, expected) in [
            ("market.db", "no scheme"),
            ("mssql://h/d", "unknown scheme \"mssql\""),
            ("mysql://h", "no database name"),
            ("postgres:///d", "no host"),
            ("mysql://u:p@h:99999/d", "invalid port"),
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
