//! Members of projects, and their API keys.
//!
//! An invitation is a member without issuer and subject. `address` is its e-mail address as addresses are compared. Nulls are never equal,
//! so that any number of members have no address.

use sea_orm_migration::{MigrationTrait, SchemaManager, async_trait::async_trait, sea_orm::DbErr};

pub(super) struct Migration;

impl sea_orm_migration::MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261121_000003_members"
    }
}

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    "CREATE TABLE members (
        project {text} NOT NULL, member {text} NOT NULL,
        role {text} NOT NULL, issuer {text}, subject {text}, email {text} NOT NULL, address {text},
        revision BIGINT NOT NULL, created BIGINT NOT NULL, updated BIGINT NOT NULL,
        PRIMARY KEY (project, member)
    )",
    // Who may call is asked all the time; which projects somebody is in, and which invitations wait, is asked by the start of the same indexes.
    "CREATE UNIQUE INDEX members_principal ON members (issuer, subject, project)",
    "CREATE UNIQUE INDEX members_address ON members (address, project)",
    "CREATE INDEX members_owners ON members (project) WHERE role = 'owner'",
    "CREATE TABLE api_keys (
        project {text} NOT NULL, key {text} NOT NULL,
        display_name {text} NOT NULL, role {text} NOT NULL, digest {text} NOT NULL,
        created BIGINT NOT NULL, last_use BIGINT, expires BIGINT, revoked BIGINT,
        PRIMARY KEY (project, key)
    )",
    // The text of a key says its id and not its project.
    "CREATE UNIQUE INDEX api_keys_key ON api_keys (key)",
    "CREATE INDEX api_keys_oldest ON api_keys (project, created, key)",
    "CREATE INDEX api_keys_unrevoked ON api_keys (project) WHERE revoked IS NULL",
];
