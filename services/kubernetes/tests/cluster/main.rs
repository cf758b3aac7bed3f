//! Jobs in a real cluster, where there is one: GRANARY_TEST_KUBECONFIG is how to call it, GRANARY_TEST_HOST where its pods reach this machine,
//! GRANARY_TEST_IMAGE Granary's image and GRANARY_TEST_PROGRAMS one with `sh` and `python3`, both known to its nodes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop at the first thing that is not as it should be"
)]

#[allow(dead_code, reason = "the tests of processes use all of it")]
#[path = "../../../worker/tests/launcher/contract.rs"]
mod contract;

mod ends;
mod jobs;
mod launcher;
mod restart;
mod world;
