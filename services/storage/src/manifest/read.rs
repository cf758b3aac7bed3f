//! Reads manifests, which are input like any other: whoever may write to the bucket may have written them.

use bytes::Bytes;
use futures::{TryStreamExt as _, stream::BoxStream};
use granary_core::{
    Error, Result,
    layout::manifest_key,
    name::{SessionName, quote},
    path,
};
use granary_proto::{
    json::from_json,
    metadata::v1::{Asset, Session},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::FORMAT;

/// The longest line: a session or an asset whose attributes, errors and origins have 1 MiB each, written as JSON.
const MAX_LINE: usize = 16 << 20;
/// A page ends with the line that brings it to one of these.
const PAGE: usize = 500;
const PAGE_BYTES: usize = 4 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u64,
    session: Value,
    #[serde(rename = "assets")]
    _assets: [IgnoredAny; 0],
}

/// The manifest of a session, read a page at a time.
pub struct Manifest {
    name: SessionName,
    session: Session,
    lines: Lines,
    /// The path of the last asset that was read.
    last: Option<String>,
    ended: bool,
}

impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manifest")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Manifest {
    pub(crate) async fn open(
        name: &SessionName,
        bytes: BoxStream<'static, Result<Bytes>>,
    ) -> Result<Self> {
        let mut lines = Lines::of(bytes);
        let wrong = |why: String| wrong(&manifest_key(name), why);
        let Some(mut first) = lines.next().await? else {
            return Err(wrong("it is empty".into()));
        };
        first.extend_from_slice(b"]}");
        let head: Head = serde_json::from_slice(&first)
            .map_err(|error| wrong(format!("its first line is none of a manifest: {error}")))?;
        check_format(head.format).map_err(wrong)?;
        let session: Session = from_json(head.session).map_err(|error| wrong(error.to_string()))?;
        if session.name != name.to_string() {
            return Err(wrong(format!(
                "it is of another session: {}",
                quote(&session.name)
            )));
        }
        Ok(Self {
            name: name.clone(),
            session,
            lines,
            last: None,
            ended: false,
        })
    }

    /// The session, by the name of the key that the manifest has.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Its next assets, in the order of their paths, each of this session; none at its end. A manifest that does not end as it should is an error.
    pub async fn page(&mut self) -> Result<Vec<Asset>> {
        let (mut assets, mut bytes) = (Vec::new(), 0);
        while !self.ended && assets.len() < PAGE && bytes < PAGE_BYTES {
            let line = self.line().await?;
            bytes += line.len();
            if line == b"]}" && self.last.is_none() {
                self.end().await?;
                break;
            }
            let (line, more) = match line.strip_suffix(b",") {
                Some(line) => (line, true),
                None => (&line[..], false),
            };
            assets.push(self.asset(line)?);
            if !more {
                if self.line().await? != b"]}" {
                    return Err(self.wrong("it goes on after its last asset"));
                }
                self.end().await?;
            }
        }
        Ok(assets)
    }

    async fn line(&mut self) -> Result<Vec<u8>> {
        let line = self.lines.next().await;
        let line = line.map_err(|error| match error {
            Error::Invalid(_) => self.wrong(error.to_string()),
            other => other,
        })?;
        line.ok_or_else(|| self.wrong("it ends in the middle"))
    }

    async fn end(&mut self) -> Result<()> {
        self.ended = true;
        match self.lines.next().await? {
            None => Ok(()),
            Some(_) => Err(self.wrong("it goes on after its end")),
        }
    }

    fn asset(&mut self, line: &[u8]) -> Result<Asset> {
        let no_asset = |why: String| self.wrong(format!("it lists what is no asset: {why}"));
        let value = serde_json::from_slice(line).map_err(|error| no_asset(error.to_string()))?;
        let asset: Asset = from_json(value).map_err(|error| no_asset(error.to_string()))?;
        let known = asset.name == self.name.asset(&asset.path).to_string()
            && asset.session == self.name.to_string();
        if path::check(&asset.path).is_err() || !known {
            return Err(self.wrong(format!(
                "it lists what is no asset of its session: {} at {}",
                quote(&asset.name),
                quote(&asset.path)
            )));
        }
        if self.last.as_ref().is_some_and(|last| *last >= asset.path) {
            return Err(self.wrong(format!(
                "its assets are not in order at {}",
                quote(&asset.path)
            )));
        }
        self.last = Some(asset.path.clone());
        Ok(asset)
    }

    fn wrong(&self, why: impl Into<String>) -> Error {
        wrong(&manifest_key(&self.name), why.into())
    }
}

/// Reads a manifest that holds one message: that of a project or of a dataset.
pub(crate) fn whole<M>(
    key: &str,
    noun: &str,
    bytes: &[u8],
    message: impl Fn(Value) -> Result<M>,
) -> Result<M> {
    let read = || {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let Value::Object(mut fields) = value else {
            return Err("it is no JSON object".to_owned());
        };
        let format = fields.remove("format").as_ref().and_then(Value::as_u64);
        check_format(format.unwrap_or_default())?;
        message(fields.remove(noun).unwrap_or_default()).map_err(|error| error.to_string())
    };
    read().map_err(|why| wrong(key, why))
}

fn check_format(format: u64) -> Result<(), String> {
    match format {
        FORMAT => Ok(()),
        other => Err(format!(
            "it has the format {other}, of which this version knows {FORMAT} only"
        )),
    }
}

/// A manifest that cannot be used.
pub(crate) fn wrong(key: &str, why: String) -> Error {
    Error::DataLoss {
        resource: format!("the manifest {key}"),
        reason: why,
    }
}

/// Lines of a stream of bytes, each of a bounded length.
struct Lines {
    bytes: BoxStream<'static, Result<Bytes>>,
    buffer: Vec<u8>,
    /// How much of the buffer was given away, and how much of it has no further end of a line.
    given: usize,
    searched: usize,
}

impl Lines {
    fn of(bytes: BoxStream<'static, Result<Bytes>>) -> Self {
        Self {
            bytes,
            buffer: Vec::new(),
            given: 0,
            searched: 0,
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
                let end = self.searched + length;
                let line = self
                    .buffer
                    .get(self.given..end)
                    .unwrap_or_default()
                    .to_vec();
                (self.given, self.searched) = (end + 1, end + 1);
                return Ok(Some(line));
            }
            self.buffer.drain(..self.given);
            (self.given, self.searched) = (0, self.buffer.len());
            if self.buffer.len() > MAX_LINE {
                return Err(Error::invalid("", "it has a line of more than 16 MiB"));
            }
            match self.bytes.try_next().await? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(std::mem::take(&mut self.buffer)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};

    use super::*;

    fn session() -> SessionName {
        SessionName::new("p", "d", "s").unwrap()
    }

    fn line(path: &str) -> String {
        let name = session().asset(path);
        format!(
            r#"{{"name":"{name}","session":"{}","path":"{path}"}}"#,
            session()
        )
    }

    fn head() -> String {
        format!(
            r#"{{"format":1,"session":{{"name":"{}"}},"assets":["#,
            session()
        )
    }

    /// What a manifest of these bytes says, which come in pieces of a few.
    async fn read(text: &str) -> Result<Vec<String>> {
        let pieces: Vec<_> = text
            .as_bytes()
            .chunks(7)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let mut manifest = Manifest::open(&session(), stream::iter(pieces).boxed()).await?;
        let mut paths = Vec::new();
        loop {
            let page = manifest.page().await?;
            if page.is_empty() {
                return Ok(paths);
            }
            paths.extend(page.into_iter().map(|asset| asset.path));
        }
    }

    #[tokio::test]
    async fn lines_are_read_one_by_one_to_the_end() {
        let all = format!("{}\n{},\n{}\n]}}\n", head(), line("a"), line("b/c"));
        assert_eq!(read(&all).await.unwrap(), ["a", "b/c"]);
        assert_eq!(read(&format!("{}\n]}}\n", head())).await.unwrap(), [""; 0]);
        let many: Vec<_> = (0..1201).map(|i| line(&format!("{i:04}"))).collect();
        let all = format!("{}\n{}\n]}}\n", head(), many.join(",\n"));
        assert_eq!(read(&all).await.unwrap().len(), 1201);
    }

    fn with(lines: &str) -> String {
        format!("{}\n{lines}", head())
    }

    /// One of another project.
    fn other() -> String {
        let other = SessionName::new("q", "d", "s").unwrap();
        other.to_string()
    }

    /// Fails unless a manifest is refused for this reason.
    async fn refused(text: &str, said: &str) {
        let error = read(text).await.unwrap_err();
        assert!(matches!(error, Error::DataLoss { .. }), "{error:?}");
        assert!(error.to_string().contains(said), "{error} for {text}");
    }

    #[tokio::test]
    async fn a_head_that_is_none_of_this_session_is_refused() {
        let empty = with("]}\n");
        refused("", "it is empty").await;
        refused("nothing\n", "its first line is none of a manifest").await;
        let newer = empty.replace("\"format\":1", "\"format\":2");
        refused(&newer, "this version knows 1 only").await;
        let foreign = empty.replace(&session().to_string(), &other());
        let said = "it is of another session: \"projects/q/datasets/d/sessions/s\"";
        refused(&foreign, said).await;
    }

    #[tokio::test]
    async fn what_is_cut_short_or_goes_on_is_refused() {
        let a = line("a");
        for lines in [String::new(), format!("{a},\n"), format!("{a}\n")] {
            refused(&with(&lines), "it ends in the middle").await;
        }
        let more = with(&format!("{a}\n]}}\nmore"));
        refused(&more, "it goes on after its end").await;
    }

    #[tokio::test]
    async fn assets_of_others_or_out_of_order_are_refused() {
        let two = |first, second| with(&format!("{},\n{}\n]}}\n", line(first), line(second)));
        let said = "its assets are not in order at \"a\"";
        refused(&two("b", "a"), said).await;
        refused(&two("a", "a"), said).await;
        for asset in [
            line("../../q/x"),
            line(".granary/session.json"),
            line("a").replace(&session().to_string(), &other()),
            line("a").replace("\"path\":\"a\"", "\"path\":\"b\""),
        ] {
            let said = "it lists what is no asset of its session";
            refused(&with(&format!("{asset}\n]}}\n")), said).await;
        }
        refused(&with("{\"nme\":1}\n]}\n"), "it lists what is no asset").await;
    }

    #[tokio::test]
    async fn no_line_is_longer_than_it_may_be() {
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[b' '; 1 << 20])));
        let mut lines = Lines::of(endless.boxed());
        assert!(lines.next().await.is_err());
        assert!(lines.buffer.len() <= MAX_LINE + (1 << 20));
    }

    #[test]
    fn manifests_of_one_message_are_read_whole() {
        use granary_proto::metadata::v1::Project;

        let key = "p/.granary/project.json";
        let read = |text: &str| whole(key, "project", text.as_bytes(), from_json::<Project>);
        let found = read(r#"{"format":1,"project":{"name":"projects/p"}}"#).unwrap();
        assert_eq!(found.name, "projects/p");
        for text in ["", "[]", r#"{"format":1}"#, r#"{"project":{}}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
