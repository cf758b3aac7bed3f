//! Databases of a test's own.

use granary_runtime::db::DatabaseUrl;
use sea_orm::{ConnectionTrait as _, Database};

/// The PostgreSQL that is there for tests, if one is.
#[allow(
    clippy::disallowed_methods,
    reason = "how a test learns of the servers that are there for it"
)]
pub(crate) fn postgres() -> Option<String> {
    std::env::var("GRANARY_TEST_POSTGRES").ok()
}

/// A database of it that nobody else uses.
pub(crate) async fn fresh_postgres() -> DatabaseUrl {
    let url = postgres().unwrap();
    let name = granary_core::id::new("metadata_test_");
    let admin = Database::connect(&url).await.unwrap();
    admin
        .execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    admin.close().await.unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    DatabaseUrl::parse(&format!("{server}/{name}")).unwrap()
}
