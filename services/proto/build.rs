//! Compiles the protos with protox, so that no protoc is needed, and keeps the descriptors for reflection, JSON and the ingress.
#![allow(
    clippy::disallowed_methods,
    reason = "cargo talks to build scripts by environment variables"
)]

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

#[allow(
    clippy::disallowed_methods,
    reason = "this is how cargo tells a build script where things are"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(protos_below(&root.join("granary"))?)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .btree_map(".granary")
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .include_file("include.rs")
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}

fn protos_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(protos_below(&path)?);
        } else if path.extension().is_some_and(|e| e == "proto") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
