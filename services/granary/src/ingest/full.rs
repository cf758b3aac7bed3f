//! What becomes of a session whose files a limit does not let in.

use granary_core::{Error, Result, name::SessionName, units::human_bytes};
use granary_proto::metadata::v1::{Asset, AssetState, ListAssetsRequest};

use crate::{
    client::{Client, call},
    folder::Folder,
    human, page,
};

/// What has arrived, and how to go on.
pub(super) async fn advice(client: &Client, name: &SessionName, folder: &Folder) -> String {
    // The limit may be one of calls.
    let arrived = arrived(client, name).await.ok();
    said(name, arrived, folder.files.len() as u64)
}

fn said(name: &SessionName, arrived: Option<(u64, u64)>, files: u64) -> String {
    let of = human::count(files, "file");
    let there = match arrived {
        None => String::new(),
        Some((0, _)) => format!(" with none of its {of} there yet"),
        Some((count, bytes)) => format!(" with {count} of {of} ({}) there", human_bytes(bytes)),
    };
    format!(
        "the session {} stays open{there}: the same command goes on once the limit allows it",
        human::short(&name.to_string())
    )
}

/// How many files have arrived, and their bytes.
async fn arrived(client: &Client, name: &SessionName) -> Result<(u64, u64)> {
    let (mut count, mut bytes) = (0, 0);
    let get = async |page_size, page_token| {
        let request = ListAssetsRequest {
            parent: name.parent().to_string(),
            page_size,
            page_token,
            filter: format!("session = \"{}\"", name.session),
        };
        let response = call!(client.assets().list_assets(request))?;
        Ok::<_, Error>((response.assets, response.next_page_token))
    };
    page::each(None, get, |assets: Vec<Asset>| {
        for asset in assets
            .iter()
            .filter(|asset| asset.state() != AssetState::Pending)
        {
            count += 1;
            bytes += u64::try_from(asset.size_bytes).unwrap_or_default();
        }
        Ok(())
    })
    .await?;
    Ok((count, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_how_much_is_there_and_how_to_go_on() {
        let name = SessionName::new("p", "raw", "s1").unwrap();
        let goes_on = "the same command goes on once the limit allows it";
        for (arrived, there) in [
            (None, ""),
            (Some((0, 0)), " with none of its 3 files there yet"),
            (Some((2, 1500)), " with 2 of 3 files (1.5 kB) there"),
        ] {
            assert_eq!(
                said(&name, arrived, 3),
                format!("the session raw/s1 stays open{there}: {goes_on}")
            );
        }
    }
}
