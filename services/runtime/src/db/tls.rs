//! Connections to PostgreSQL by TLS.

use std::path::Path;

use sea_orm::{ConnectionTrait as _, Statement};
use url::Url;

use super::{DatabaseUrl, Db, connect, testing};

/// What a server says to a query with one text as its answer.
async fn ask(url: &DatabaseUrl, query: &str) -> String {
    let DatabaseUrl::Postgres(url) = url else {
        panic!("no server");
    };
    let database = connect(url.reveal()).await.unwrap();
    let statement = Statement::from_string(database.get_database_backend(), query);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// A server's URL with the parameters that ask for TLS; without an authority, one of those that browsers know.
fn demanding(url: &DatabaseUrl, authority: Option<&Path>) -> DatabaseUrl {
    let DatabaseUrl::Postgres(url) = url else {
        panic!("no server");
    };
    let mut url = Url::parse(url.reveal()).unwrap();
    let mut parameters = url.query_pairs_mut();
    parameters.append_pair("sslmode", "verify-full");
    if let Some(authority) = authority {
        parameters.append_pair("sslrootcert", authority.to_str().unwrap());
    }
    drop(parameters);
    DatabaseUrl::parse(url.as_str()).unwrap()
}

#[tokio::test]
async fn a_server_is_reached_by_tls_and_only_with_a_certificate_of_the_given_authority() {
    let Some(server) = testing::postgres() else {
        return;
    };
    if ask(&server, "SHOW ssl").await != "on" {
        return;
    }
    crate::install_tls();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.crt");
    let certificate = ask(&server, "SELECT pg_read_file('server.crt')").await;
    std::fs::write(&authority, certificate).unwrap();
    let version = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let trusting = demanding(&server, Some(&authority));
    assert_eq!(ask(&trusting, version).await, "TLSv1.3");
    let refused = Db::open::<testing::Nothing>(&demanding(&server, None), "tls").await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("sslrootcert"), "{said}");
}
