//! An attempt that has a pod to itself: what brings its inputs, what runs its program within the user's container, and what takes away what it made.
//!
//! The user's container has the files of the job, and nothing else: no token, no way to ask for one. The other two believe nothing that it could
//! have put in their way, such as a link where a file should be.

mod attend;
mod cgroup;
mod exec;
mod order;
mod prepare;
mod said;
mod seen;
mod tail;
mod tried;

use std::collections::BTreeMap;

use granary_proto::job::v1::Lease;

use crate::environment;

pub use attend::attend;
pub use exec::{Exec, exec};
pub use order::{Endpoints, Order};
pub use prepare::prepare;
pub use said::Said;

/// What the program of a lease is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// The variables that the job sets.
    pub variables: BTreeMap<String, String>,
}

/// The command of a lease, with the values of its parameters.
pub fn command(lease: &Lease) -> Command {
    let job = lease.job.clone().unwrap_or_default();
    let entrypoint = lease.entrypoint.clone().unwrap_or_default();
    Command {
        arguments: environment::arguments(&entrypoint, &job),
        variables: environment::variables(&entrypoint, &job, lease.attempt),
    }
}

/// Where things are in the containers of such a pod.
pub mod place {
    /// The files of the job, as its entrypoint names them.
    pub const FILES: &str = "/files";
    /// The program's own place for what passes.
    pub const TMP: &str = "/tmp";
    /// The folder with the program that runs the user's, as the user's container sees it.
    pub const PROGRAM: &str = "/granary";
    /// The same as the container sees it that copies it there.
    pub const PROGRAM_TO: &str = "/program";
    /// What the program writes, and how it ends.
    pub const TALK: &str = "/run/granary";
    /// The order and the token.
    pub const ORDER: &str = "/etc/granary/attempt";
    /// The order, in its folder.
    pub const ORDER_FILE: &str = "order.json";
    /// The token, in the same one.
    pub const TOKEN_FILE: &str = "token";
    /// Where a container says how it ended, as Kubernetes has it unless told otherwise.
    pub const SAID: &str = "/dev/termination-log";

    pub(super) const OUTPUT: &str = "/run/granary/output";
    pub(super) const SEEN: &str = "/run/granary/seen.json";
}
