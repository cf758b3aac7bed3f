//! Where the database is.

use std::path::PathBuf;

use granary_core::{Error, Result};

use crate::secret::Secret;

/// `sqlite:DIR`, a folder with one file for each service, or `postgres://USER:PASSWORD@HOST/DATABASE`.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    /// A folder.
    Sqlite(PathBuf),
    /// A server; the URL may hold a password.
    Postgres(Secret),
}

impl DatabaseUrl {
    /// Reads a database URL. The error does not repeat it, since it may hold a password.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(folder) = text.strip_prefix("sqlite:") {
            let folder = folder.strip_prefix("//").unwrap_or(folder);
            if !folder.is_empty() && !folder.contains(['?', '\0']) {
                return Ok(Self::Sqlite(folder.into()));
            }
        } else if (text.starts_with("postgres://") || text.starts_with("postgresql://"))
            && url::Url::parse(text).is_ok_and(|url| url.has_host())
        {
            return Ok(Self::Postgres(Secret::new(text)));
        }
        Err(Error::invalid(
            "database_url",
            "expected sqlite:DIR or postgres://USER:PASSWORD@HOST:PORT/DATABASE",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_understood_and_passwords_stay_hidden() {
        assert!(
            matches!(DatabaseUrl::parse("sqlite:data/db").unwrap(), DatabaseUrl::Sqlite(p) if p.ends_with("db"))
        );
        let url = DatabaseUrl::parse("postgres://granary:hunter2@127.0.0.1:5432/granary").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
        let error = DatabaseUrl::parse("mysql://granary:hunter2@127.0.0.1/x").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
