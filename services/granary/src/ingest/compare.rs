//! Whether a folder is what a completed session already holds.

use std::{collections::HashMap, io::Read as _, path::Path};

use granary_core::{Error, Result, name::SessionName};
use granary_proto::metadata::v1::{Asset, ListAssetsRequest};
use sha2::{Digest as _, Sha256};

use crate::{
    client::{Client, call},
    folder::{Folder, LocalFile},
    human, page,
};

/// Fails unless the session holds the same files.
pub(super) async fn same(
    client: &Client,
    name: &SessionName,
    folder: &Folder,
    by_content: bool,
) -> Result<()> {
    let mut there = HashMap::new();
    let get = async |page_size, page_token| {
        let filter = format!("session = \"{}\"", name.session);
        let request = ListAssetsRequest {
            parent: name.parent().to_string(),
            page_size,
            page_token,
            filter,
        };
        let response = call!(client.assets().list_assets(request))?;
        Ok::<_, Error>((response.assets, response.next_page_token))
    };
    page::each(None, get, |assets: Vec<Asset>| {
        there.extend(assets.into_iter().map(|asset| (asset.path.clone(), asset)));
        Ok(())
    })
    .await?;
    let files = folder.files.clone();
    let difference = tokio::task::spawn_blocking(move || difference(&files, &there, by_content))
        .await
        .map_err(|error| Error::internal("comparing files", error))??;
    match difference {
        None => Ok(()),
        Some(difference) => Err(Error::already_exists(
            human::short(&name.to_string()),
            format!(
                "it is complete and {difference}; a completed session does not change: send this under another id with --session"
            ),
        )),
    }
}

fn difference(
    files: &[LocalFile],
    there: &HashMap<String, Asset>,
    by_content: bool,
) -> Result<Option<String>> {
    for file in files {
        let path = human::shown(&file.path);
        let Some(asset) = there.get(&file.path) else {
            return Ok(Some(format!("has no file {path}")));
        };
        let differs = u64::try_from(asset.size_bytes) != Ok(file.size)
            || by_content && asset.sha256 != sha256(&file.source)?;
        if differs {
            return Ok(Some(format!("its {path} has other content")));
        }
    }
    if there.len() > files.len() {
        return Ok(Some(format!(
            "holds {} that is not here",
            human::count((there.len() - files.len()) as u64, "file")
        )));
    }
    Ok(None)
}

fn sha256(file: &Path) -> Result<String> {
    let failed = |error: std::io::Error| {
        Error::invalid(
            human::shown(&file.display().to_string()),
            human::io_error(&error),
        )
    };
    let mut source = std::fs::File::open(file).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = source.read(&mut buffer).map_err(failed)?;
        match buffer.get(..read) {
            Some(bytes) if read > 0 => hash.update(bytes),
            _ => {
                return Ok(hash
                    .finalize()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_content_more_and_fewer_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("a");
        std::fs::write(&source, "one").unwrap();
        let file = LocalFile {
            path: "a".into(),
            source,
            size: 3,
        };
        let asset = |sha256: &str| Asset {
            path: "a".into(),
            size_bytes: 3,
            sha256: sha256.into(),
            ..Asset::default()
        };
        let one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
        let told = |there: &[Asset], by_content| {
            let there = there
                .iter()
                .enumerate()
                .map(|(n, a)| (if n == 0 { "a".into() } else { n.to_string() }, a.clone()))
                .collect();
            difference(std::slice::from_ref(&file), &there, by_content).unwrap()
        };
        assert_eq!(told(&[asset(one)], true), None);
        assert_eq!(
            told(&[asset("00")], true).unwrap(),
            "its a has other content"
        );
        assert_eq!(told(&[asset("00")], false), None);
        assert_eq!(told(&[], true).unwrap(), "has no file a");
        assert_eq!(
            told(&[asset(one), asset(one)], true).unwrap(),
            "holds 1 file that is not here"
        );
    }
}
