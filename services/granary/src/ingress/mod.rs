//! Envoy in front of the platform: its configuration, and what it serves itself.
//!
//! Everything is made of the same settings and the same protos as the server: the filters, the table of REST calls, the OpenAPI document. What
//! comes out is a folder that Envoy can be started in, on a workstation and in a cluster alike.

mod bindings;
mod certificate;
mod envoy;
mod folder;
mod openapi;
mod parse;
mod rest;
mod settings;
mod upstreams;

use granary_core::{Error, Result};
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};
use tonic_types::pb;

pub(crate) use certificate::check;
pub(crate) use folder::write;
pub(crate) use parse::absolute;
pub(crate) use settings::{Flags, Own, Settings, Table};

/// What the folder holds, in the order in which it has to be written: what names others comes after them.
pub(crate) fn files(settings: &Settings) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let bindings = bindings::all()?;
    let document = openapi::document(&bindings);
    let document = serde_json::to_vec_pretty(&document)
        .map_err(|error| Error::internal("writing the OpenAPI document", error))?;
    Ok(vec![
        ("descriptors.pb", descriptors()?),
        ("rest.lua", rest::script(&bindings).into_bytes()),
        ("openapi.json", document),
        ("index.html", openapi::PAGE.as_bytes().to_vec()),
        ("certificate.yaml", yaml(&envoy::certificate(settings))?),
        ("envoy.yaml", yaml(&envoy::bootstrap(settings, &bindings))?),
    ])
}

fn yaml(value: &serde_json::Value) -> Result<Vec<u8>> {
    serde_yaml_ng::to_string(value)
        .map(String::into_bytes)
        .map_err(|error| Error::internal("writing Envoy's configuration", error))
}

/// The protos, and those of the details of errors, which the transcoder shows.
fn descriptors() -> Result<Vec<u8>> {
    let failed = |error| Error::internal("reading the protos of error details", error);
    let mut details = FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).map_err(failed)?;
    details
        .file
        .retain(|file| file.name() == "error_details.proto");
    for message in details
        .file
        .iter_mut()
        .flat_map(|file| &mut file.message_type)
    {
        without_maps(message);
    }
    // Sets of files add up by being written one after the other; decoded and encoded here, ours would lose their HTTP bindings.
    let mut bytes = granary_proto::DESCRIPTORS.to_vec();
    bytes.extend(details.encode_to_vec());
    Ok(bytes)
}

// Envoy 1.40 crashes on a map in a message of any type, as the details of errors are. What is not described is not shown: here that is nothing but
// the reason, which stands in the message too.
fn without_maps(message: &mut DescriptorProto) {
    let is_map = |inner: &DescriptorProto| {
        inner
            .options
            .as_ref()
            .is_some_and(|options| options.map_entry())
    };
    let maps: Vec<String> = message
        .nested_type
        .iter()
        .filter(|inner| is_map(inner))
        .map(|inner| format!(".{}", inner.name()))
        .collect();
    message
        .field
        .retain(|field| !maps.iter().any(|map| field.type_name().ends_with(map)));
    message.nested_type.retain(|inner| !is_map(inner));
}

#[cfg(test)]
mod tests {
    use super::*;
    use granary_proto::prost_reflect::DescriptorPool;

    #[test]
    fn the_descriptors_hold_every_detail_of_an_error() {
        let pool = DescriptorPool::decode(descriptors().unwrap().as_slice()).unwrap();
        for message in ["BadRequest", "RetryInfo", "ResourceInfo", "ErrorInfo"] {
            let name = format!("google.rpc.{message}");
            let message = pool
                .get_message_by_name(&name)
                .unwrap_or_else(|| panic!("{name}"));
            assert!(
                message.fields().len() > 0 && message.fields().all(|field| !field.is_map()),
                "{name}"
            );
        }
    }

    /// Written anew by `GRANARY_GOLDEN=write cargo test ...`; what changed is then seen in the commit.
    fn golden(name: &str, found: &str) {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden/ingress")
            .join(name);
        #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
        if std::env::var_os("GRANARY_GOLDEN").is_some_and(|value| value == "write") {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, found).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        let different = kept
            .lines()
            .zip(found.lines())
            .enumerate()
            .find(|(_, (kept, found))| kept != found);
        if let Some((line, (kept, found))) = different {
            panic!("{name}:{}:\nkept  {kept}\nfound {found}", line + 1);
        }
        assert_eq!(
            kept.lines().count(),
            found.lines().count(),
            "{name} has another length"
        );
    }

    fn rendered(settings: &Settings, name: &str) -> String {
        let files = files(settings).unwrap();
        let (_, bytes) = files.into_iter().find(|(file, _)| *file == name).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_configuration_of_the_defaults_is_the_kept_one() {
        let settings = settings::tests::settings("");
        golden("defaults.yaml", &rendered(&settings, "envoy.yaml"));
        golden("certificate.yaml", &rendered(&settings, "certificate.yaml"));
    }

    #[test]
    fn the_configuration_of_every_setting_is_the_kept_one() {
        let settings = settings::tests::settings(settings::tests::EVERYTHING);
        golden("everything.yaml", &rendered(&settings, "envoy.yaml"));
    }
}
