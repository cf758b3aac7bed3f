//! Receives traces and writes each span to a file, as one JSON object a line: for scripts that want to see what a platform exports.
//!
//!     otlp-receiver 127.0.0.1:4317 spans.jsonl
//!
//! Says `ready` once it listens, and runs until it is ended.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for scripts, which end with it if something is wrong"
)]

use std::path::Path;

use granary_testkit::Receiver;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, file] = &arguments[..] else {
        eprintln!("usage: otlp-receiver ADDRESS FILE");
        std::process::exit(2);
    };
    let listen = listen
        .parse()
        .expect("expected an address such as 127.0.0.1:4317");
    Receiver::serve(listen, Some(Path::new(file))).await;
    println!("ready");
    std::future::pending::<()>().await;
}
