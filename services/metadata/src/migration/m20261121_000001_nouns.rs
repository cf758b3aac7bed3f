//! Projects, datasets, sessions, assets, labels, snapshots. Everything starts with its project.
//!
//! Attributes stand in their row, as JSON, which is what reading gives. The tables of attributes are an index of them, for filters: `head`
//! is the start of a text, short enough for an index of either database. What a snapshot holds is stored before the snapshot itself is,
//! under an id of its own: its `content`, which is a draft until then.

use sea_orm_migration::{MigrationTrait, SchemaManager, async_trait::async_trait, sea_orm::DbErr};

pub(super) struct Migration;

impl sea_orm_migration::MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261121_000001_nouns"
    }
}

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    "CREATE TABLE projects (
        project {text} NOT NULL PRIMARY KEY,
        display_name {text} NOT NULL,
        created BIGINT NOT NULL
    )",
    "CREATE TABLE datasets (
        project {text} NOT NULL, dataset {text} NOT NULL,
        kind {text} NOT NULL, display_name {text} NOT NULL, revision BIGINT NOT NULL,
        created BIGINT NOT NULL, updated BIGINT NOT NULL,
        PRIMARY KEY (project, dataset)
    )",
    "CREATE TABLE sessions (
        project {text} NOT NULL, dataset {text} NOT NULL, session {text} NOT NULL,
        state {text} NOT NULL, attributes {text} NOT NULL, metadata_path {text} NOT NULL,
        derived_from {text} NOT NULL, producer {text} NOT NULL, errors {text} NOT NULL, opened_with {text} NOT NULL,
        asset_count BIGINT NOT NULL, pending_count BIGINT NOT NULL, ready_count BIGINT NOT NULL, rejected_count BIGINT NOT NULL,
        size_bytes BIGINT NOT NULL,
        created BIGINT NOT NULL, completed BIGINT, finished BIGINT,
        PRIMARY KEY (project, dataset, session)
    )",
    "CREATE INDEX sessions_newest ON sessions (project, created, dataset, session)",
    "CREATE INDEX sessions_newest_of_dataset ON sessions (project, dataset, created, session)",
    "CREATE TABLE session_attributes (
        project {text} NOT NULL, dataset {text} NOT NULL, session {text} NOT NULL, key {text} NOT NULL,
        number {number}, head {text}, text {text}, boolean BOOLEAN, time BIGINT,
        PRIMARY KEY (project, dataset, session, key)
    ){clustered}",
    "CREATE INDEX session_attributes_number ON session_attributes (project, key, number) WHERE number IS NOT NULL",
    "CREATE INDEX session_attributes_text ON session_attributes (project, key, head) WHERE head IS NOT NULL",
    "CREATE TABLE assets (
        project {text} NOT NULL, dataset {text} NOT NULL, asset {text} NOT NULL,
        session {text} NOT NULL, path {text} NOT NULL, media_type {text} NOT NULL, size_bytes BIGINT NOT NULL, sha256 {text} NOT NULL,
        state {text} NOT NULL, attributes {text} NOT NULL, errors {text} NOT NULL,
        derived_from {text} NOT NULL, producer {text} NOT NULL,
        created BIGINT NOT NULL, updated BIGINT NOT NULL,
        PRIMARY KEY (project, dataset, asset)
    )",
    "CREATE UNIQUE INDEX assets_path ON assets (project, dataset, session, path)",
    "CREATE INDEX assets_sha256 ON assets (project, sha256)",
    "CREATE TABLE asset_attributes (
        project {text} NOT NULL, dataset {text} NOT NULL, asset {text} NOT NULL, key {text} NOT NULL,
        number {number}, head {text}, text {text}, boolean BOOLEAN, time BIGINT,
        PRIMARY KEY (project, dataset, asset, key)
    ){clustered}",
    "CREATE INDEX asset_attributes_number ON asset_attributes (project, key, number) WHERE number IS NOT NULL",
    "CREATE INDEX asset_attributes_text ON asset_attributes (project, key, head) WHERE head IS NOT NULL",
    "CREATE TABLE labels (
        project {text} NOT NULL, dataset {text} NOT NULL, asset {text} NOT NULL, label {text} NOT NULL,
        class {text} NOT NULL, x {number}, y {number}, width {number}, height {number},
        author {text} NOT NULL, revision BIGINT NOT NULL, created BIGINT NOT NULL, updated BIGINT NOT NULL,
        PRIMARY KEY (project, dataset, asset, label)
    )",
    "CREATE INDEX labels_oldest ON labels (project, dataset, asset, created, label)",
    "CREATE INDEX labels_class ON labels (project, class)",
    "CREATE TABLE snapshots (
        project {text} NOT NULL, dataset {text} NOT NULL, snapshot {text} NOT NULL,
        content {text} NOT NULL, filter {text} NOT NULL, digest {text} NOT NULL,
        asset_count BIGINT NOT NULL, label_count BIGINT NOT NULL, size_bytes BIGINT NOT NULL,
        author {text} NOT NULL, created BIGINT NOT NULL,
        PRIMARY KEY (project, dataset, snapshot)
    )",
    "CREATE INDEX snapshots_newest ON snapshots (project, created, dataset, snapshot)",
    "CREATE INDEX snapshots_newest_of_dataset ON snapshots (project, dataset, created, snapshot)",
    "CREATE TABLE snapshot_drafts (
        project {text} NOT NULL, dataset {text} NOT NULL, content {text} NOT NULL,
        PRIMARY KEY (project, dataset, content)
    ){clustered}",
    "CREATE TABLE snapshot_assets (
        project {text} NOT NULL, dataset {text} NOT NULL, content {text} NOT NULL, session {text} NOT NULL, path {text} NOT NULL,
        asset {text} NOT NULL, media_type {text} NOT NULL, size_bytes BIGINT NOT NULL, sha256 {text} NOT NULL,
        PRIMARY KEY (project, dataset, content, session, path)
    ){clustered}",
    "CREATE TABLE snapshot_labels (
        project {text} NOT NULL, dataset {text} NOT NULL, content {text} NOT NULL, asset {text} NOT NULL, label {text} NOT NULL,
        class {text} NOT NULL, x {number}, y {number}, width {number}, height {number},
        author {text} NOT NULL, revision BIGINT NOT NULL, created BIGINT NOT NULL, updated BIGINT NOT NULL,
        PRIMARY KEY (project, dataset, content, asset, label)
    ){clustered}",
];
