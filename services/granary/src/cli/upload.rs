//! `granary upload`: folders become sessions.

use std::{collections::HashSet, path::PathBuf};

use granary_core::Error;
use tokio_util::sync::CancellationToken;

use super::{context::Context, dataset::ensure, session};
use crate::{
    client::Client,
    failure::{Failure, Outcome},
    folder::{Choice, Folder, loose},
    ingest, names,
    output::Out,
    refs::{self, Pair},
    wait,
};

/// Sends folders as sessions, and files
///
/// Each folder becomes a session, named like the folder, with each file in it as an asset; files that are named themselves become one session
/// together, whose id follows from their names, sizes and times. A file of metadata (`key: value` lines, JSON, YAML, TOML or INI) gives the session's
/// attributes. After an interruption, the same command again goes on where it ended.
///
/// Symbolic links are sent as the files that they lead to, and refused if they lead out of the folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Upload {
    /// Folders, or files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Where they go; made if it is missing
    #[arg(long, value_name = "DATASET")]
    dataset: String,
    /// The session's id, if there is only one [default: the folder's name]
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    #[command(flatten)]
    describe: DescribeFlags,
    /// How many files and parts are on their way at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: Option<u8>,
    /// Waits until pipelines have processed each session; exits with 1 if one failed
    #[arg(long)]
    wait: bool,
    /// No progress and no notes
    #[arg(long, short = 'q')]
    quiet: bool,
}

/// What describes sessions.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DescribeFlags {
    /// The file of metadata: a name, or a pattern with * and ? [default: metadata.*, or what looks most like it]
    #[arg(long, value_name = "NAME", conflicts_with = "no_metadata")]
    metadata: Option<String>,
    /// There is no file of metadata
    #[arg(long)]
    no_metadata: bool,
    /// An attribute beside those of the metadata; may come several times
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<Pair>,
}

impl DescribeFlags {
    /// Which file holds the metadata.
    pub(crate) fn choice(&self) -> Choice {
        match &self.metadata {
            Some(name) => Choice::Named(name.clone()),
            None if self.no_metadata => Choice::Nothing,
            None => Choice::Guess,
        }
    }

    /// How sessions are sent.
    pub(crate) fn options(
        &self,
        context: &Context,
        dataset: &str,
        concurrency: Option<u8>,
        by_content: bool,
    ) -> Outcome<ingest::Options> {
        Ok(ingest::Options {
            dataset: names::dataset(context.project(), dataset).map_err(Failure::usage)?,
            attributes: refs::attributes(&self.attributes).map_err(Failure::usage)?,
            concurrency: concurrency.map(usize::from),
            by_content,
        })
    }
}

impl Upload {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let context = Context::new(
            context.config.clone(),
            context.out.clone().quiet(self.quiet),
        );
        let options = self
            .describe
            .options(&context, &self.dataset, self.concurrency, true)?;
        let folders = self.read()?;
        let client = context.patient_client().await?;
        note_if_made(&context.out, &client, &options).await?;
        let mut failed = false;
        for folder in &folders {
            ingest::warn(&context.out, folder);
            match self.one(&context, &client, folder, &options).await {
                Ok(succeeded) => failed |= !succeeded,
                Err(failure)
                    if folders.len() == 1
                        || failure.is_hopeless()
                        || failure.is_transient()
                        || failure.is_of_limit() =>
                {
                    return Err(failure);
                }
                Err(failure) => {
                    failure
                        .message()
                        .iter()
                        .for_each(|message| context.out.say(message));
                    failed = true;
                }
            }
        }
        if failed {
            Err(Failure::reported())
        } else {
            Ok(())
        }
    }

    // Everything is read and understood before anything is sent.
    fn read(&self) -> Outcome<Vec<Folder>> {
        let choice = self.describe.choice();
        let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) =
            self.paths.iter().cloned().partition(|path| path.is_dir());
        if self.session.is_some() && folders.len() + usize::from(!files.is_empty()) > 1 {
            return Err(Failure::flag(
                "--session",
                "there are several sessions: send them one at a time to name them",
            ));
        }
        let session = self.session.as_deref();
        let mut read: Vec<Folder> = folders
            .iter()
            .map(|path| Folder::read(path, session, &choice))
            .collect::<Outcome<_>>()?;
        if !files.is_empty() {
            read.push(loose(&files, session, &choice)?);
        }
        let mut ids = HashSet::new();
        match read
            .iter()
            .find(|folder| !ids.insert(folder.session.as_str()))
        {
            Some(twice) => Err(Failure::at(
                &twice.label,
                Error::invalid(
                    "",
                    "another folder has the same name: send it alone, with --session ID",
                ),
            )),
            None => Ok(read),
        }
    }

    async fn one(
        &self,
        context: &Context,
        client: &Client,
        folder: &Folder,
        options: &ingest::Options,
    ) -> Outcome<bool> {
        let sent = ingest::ingest(
            client,
            &context.out,
            folder,
            options,
            &CancellationToken::new(),
        )
        .await?;
        if !self.wait {
            context.out.record(|| sent.json(), || sent.line())?;
            return Ok(true);
        }
        if context.out.is_table() {
            context.out.line(&sent.line())?;
        }
        let name = options.dataset.session(&folder.session)?;
        let settled = wait::settled(client, &name, &context.out).await?;
        session::print_one(context, &settled)?;
        Ok(settled.succeeded())
    }
}

/// Makes the dataset if it is missing, and says so.
pub(crate) async fn note_if_made(
    out: &Out,
    client: &Client,
    options: &ingest::Options,
) -> granary_core::Result<()> {
    if ensure(client, &options.dataset).await? {
        out.note(&format!("dataset {} made", options.dataset.dataset));
    }
    Ok(())
}
