//! `granary completion`: scripts for shells.

use clap::Args;
use clap_complete::Shell;

use crate::{failure::Outcome, output::Out};

/// Prints a script that completes this command in a shell
///
/// For example: granary completion bash > ~/.local/share/bash-completion/completions/granary
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self, out: &Out, mut command: clap::Command) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "granary", &mut script);
        out.write(&script)
    }
}
