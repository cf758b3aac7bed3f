//! What becomes of calls: each is watched from its headers to the end of its answer, which the ledger is told.
//!
//! Of a request, only the text of the field that names the resource is looked at.

use std::{
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use granary_core::Error;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use tonic::{Code, Status, body::Body, transport::server::TcpConnectInfo};

use super::{Principal, Role, roles::Rule};
use crate::{ledger::Ledger, spanned::REQUEST_ID};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const GRPC_STATUS: &str = "grpc-status";
/// No id in a name is longer: what is, is none, and may be a secret.
const MAX_SEGMENT: usize = 128;
const MAX_RESOURCE: usize = 1024;
/// The longest path of a call that is no part of the table, in the log.
const MAX_PATH: usize = 128;
/// What such a call is called in the audit log: its path may hold anything.
const UNKNOWN: &str = "unknown";
/// How API keys and JSON web tokens begin.
const SECRETS: [&str; 2] = ["granary_", "eyJ"];
const MAX_REQUEST_ID: usize = 64;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was carried out, or may have been: its caller went away before the answer.
    Allowed,
    /// The caller is nobody known, or may not do this.
    Denied,
    /// It was let through and failed.
    Failed,
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Whose token it was; none without a valid one.
    pub caller: Option<Principal>,
    /// For whom a service called.
    pub on_behalf_of: Option<Principal>,
    /// The RPC, without the leading slash; `unknown` if there is no such call.
    pub method: String,
    /// What it was about, at most 1,024 bytes.
    pub resource: String,
    /// Whether calls of this method are kept.
    pub kept: bool,
    /// How it ended.
    pub verdict: Verdict,
    /// The status of the answer.
    pub code: Code,
    /// From its headers to the end of its answer.
    pub latency: Duration,
    /// The `x-request-id`.
    pub request_id: String,
    /// Where it came from, as far as that is known.
    pub remote_address: Option<IpAddr>,
}

/// Who made a call without a token, which the handler found out: for the extensions of the answer.
#[derive(Clone, Debug)]
pub struct Known(pub Principal);

/// A call in progress. If it is dropped before its answer ends, the call was cancelled.
#[derive(Debug)]
pub(super) struct Watch(Option<Box<Seen>>);

#[derive(Debug)]
struct Seen {
    ledger: Ledger,
    began: Instant,
    method: &'static str,
    rule: Option<&'static Rule>,
    kept: bool,
    caller: Option<Principal>,
    on_behalf_of: Option<Principal>,
    resource: String,
    refused: bool,
    let_in: bool,
    request_id: Option<HeaderValue>,
    remote_address: Option<IpAddr>,
}

impl Watch {
    /// Watches nothing.
    pub(super) fn nothing() -> Self {
        Self(None)
    }

    /// Watches a call.
    pub(super) fn begin(
        ledger: &Ledger,
        rule: Option<&'static Rule>,
        request: &Request<Body>,
    ) -> Self {
        let method = rule.map_or(UNKNOWN, |rule| &*rule.method);
        let kept = rule.is_some_and(|rule| rule.kept);
        Self::seen(ledger, method, rule, kept, request)
    }

    /// Watches a call that is no part of the table and kept.
    pub(super) fn begin_open(ledger: &Ledger, path: &'static str, request: &Request<Body>) -> Self {
        Self::seen(ledger, path.trim_start_matches('/'), None, true, request)
    }

    fn seen(
        ledger: &Ledger,
        method: &'static str,
        rule: Option<&'static Rule>,
        kept: bool,
        request: &Request<Body>,
    ) -> Self {
        Self(Some(Box::new(Seen {
            began: Instant::now(),
            method,
            rule,
            kept,
            caller: None,
            on_behalf_of: None,
            resource: String::new(),
            refused: false,
            let_in: false,
            request_id: request.headers().get(&REQUEST_ID).cloned(),
            remote_address: remote_address(request, ledger.trusted_hops()),
            ledger: ledger.clone(),
        })))
    }

    /// Says who calls.
    pub(super) fn caller(&mut self, caller: &Principal) {
        if let Some(seen) = &mut self.0 {
            seen.caller = Some(caller.clone());
        }
    }

    /// Says for whom a service calls.
    pub(super) fn on_behalf_of(&mut self, whose: Option<&Principal>) {
        if let Some(seen) = &mut self.0 {
            seen.on_behalf_of = whose.cloned();
        }
    }

    /// Says what the call is about.
    pub(super) fn resource(&mut self, text: &str) {
        if let Some(seen) = &mut self.0 {
            name_like(text).clone_into(&mut seen.resource);
        }
    }

    /// Says that the call was not let through.
    pub(super) fn refused(&mut self, error: &Error) {
        if let Some(seen) = &mut self.0 {
            // A stranger is told that there is no such project.
            seen.refused = matches!(
                error,
                Error::Unauthenticated { .. } | Error::Denied { .. } | Error::NotFound { .. }
            );
        }
    }

    /// From here on it may be carried out, whether or not its caller waits.
    pub(super) fn let_in(&mut self) {
        if let Some(seen) = &mut self.0 {
            seen.let_in = true;
        }
    }

    /// Goes on watching, up to the end of the answer if that matters.
    pub(super) fn answered(mut self, answer: Response<Body>) -> Response<Body> {
        let Some(seen) = &mut self.0 else {
            return answer;
        };
        if let Some(Known(caller)) = answer.extensions().get() {
            seen.resource = name_like(&caller.subject).to_owned();
            seen.caller = Some(caller.clone());
        }
        let ends_here =
            code(answer.headers()).or(answer.body().is_end_stream().then_some(Code::Ok));
        if let Some(code) = ends_here {
            self.end(code);
        } else if seen.is_quiet() {
            self.0 = None;
        } else {
            return answer.map(|body| Body::new(Watched { body, watch: self }));
        }
        answer
    }

    fn end(&mut self, code: Code) {
        if let Some(seen) = self.0.take() {
            let ledger = seen.ledger.clone();
            if let Some(ended) = seen.ended(code) {
                ledger.ended(ended);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

impl Seen {
    // Services that work for nobody but themselves are left alone.
    fn is_of_service(&self) -> bool {
        let is_service = |caller: &Principal| caller.role == Some(Role::Service);
        self.on_behalf_of.is_none() && self.caller.as_ref().is_some_and(is_service)
    }

    /// Whether its end will not be told, unless it is refused.
    fn is_quiet(&self) -> bool {
        let streams = self.rule.is_some_and(|rule| rule.streams);
        self.is_of_service() || !(self.kept || streams || Ledger::tells_reads())
    }

    fn ended(self, code: Code) -> Option<Ended> {
        let verdict = match code {
            _ if self.refused => Verdict::Denied,
            Code::Unauthenticated | Code::PermissionDenied => Verdict::Denied,
            Code::Ok => Verdict::Allowed,
            // Whoever follows something stops when they have seen enough, and a change that nobody waits for may have been made.
            Code::Cancelled if self.let_in => Verdict::Allowed,
            _ => Verdict::Failed,
        };
        let matters = self.kept || verdict == Verdict::Denied || Ledger::tells_reads();
        if self.is_of_service() || !matters {
            return None;
        }
        let request_id = self.request_id.as_ref().and_then(|id| id.to_str().ok());
        Some(Ended {
            method: self.method.to_owned(),
            resource: self.resource,
            kept: self.kept,
            verdict,
            code,
            latency: self.began.elapsed(),
            request_id: cut(request_id.unwrap_or_default(), MAX_REQUEST_ID).to_owned(),
            remote_address: self.remote_address,
            caller: self.caller,
            on_behalf_of: self.on_behalf_of,
        })
    }
}

/// As much of a path as the log may have.
pub(super) fn path_like(path: &str) -> &str {
    name_like(cut(path, MAX_PATH))
}

/// As much of a text as can be the name of a resource or a subject: names have no queries, no spaces and no long parts, and hold no secret.
fn name_like(text: &str) -> &str {
    let text = cut(text, MAX_RESOURCE);
    let text = cut(text, secret(text).unwrap_or(MAX_RESOURCE));
    let mut segment = 0;
    let legal =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b'@' | b':');
    let end = text.bytes().position(|b| {
        segment = if b == b'/' { 0 } else { segment + 1 };
        !legal(b) || segment > MAX_SEGMENT
    });
    cut(text, end.unwrap_or(MAX_RESOURCE))
}

/// Where a key or a token begins, if there is one.
fn secret(text: &str) -> Option<usize> {
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = |at: &usize| text.get(..*at).is_some_and(|text| !text.ends_with(in_word));
    let all = SECRETS
        .iter()
        .filter_map(|start| text.match_indices(start).map(|(at, _)| at).find(begins));
    all.min()
}

/// At most so many bytes of a text.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

fn code(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(GRPC_STATUS)
        .map(|code| Code::from_bytes(code.as_bytes()))
}

/// Where a call came from: what so many trusted proxies say, or else the other end of the connection.
fn remote_address(request: &Request<Body>, trusted_hops: usize) -> Option<IpAddr> {
    if let Some(back) = trusted_hops.checked_sub(1) {
        let said = request.headers().get_all(FORWARDED_FOR).iter();
        let mut said: Vec<&str> = said
            .filter_map(|header| header.to_str().ok())
            .flat_map(|header| header.split(','))
            .collect();
        said.reverse();
        // What the caller may have written itself stands before what the proxies added.
        return said.get(back)?.trim().parse().ok();
    }
    let connection = request.extensions().get::<TcpConnectInfo>()?;
    connection
        .remote_addr()
        .map(|address| address.ip().to_canonical())
}

/// An answer whose end is told.
struct Watched {
    body: Body,
    watch: Watch,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.watch.end(code(trailers).unwrap_or(Code::Unknown));
                }
            }
            Some(Err(status)) => self.watch.end(status.code()),
            None => self.watch.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_name_is_kept_of_a_resource() {
        let name = "projects/p/datasets/d/sessions/20210229_161221.a-b";
        assert_eq!(name_like(name), name);
        let url = "projects/p/x?X-Amz-Signature=abc";
        assert_eq!(name_like(url), "projects/p/x");
        assert_eq!(name_like("projects/p and more"), "projects/p");
        assert_eq!(name_like("projects/\u{e9}"), "projects/");
        let token = format!("projects/p/{}", "a".repeat(700));
        assert_eq!(name_like(&token).len(), "projects/p/".len() + MAX_SEGMENT);
        let long = "a/".repeat(1000);
        assert_eq!(name_like(&long).len(), MAX_RESOURCE);
        assert_eq!(cut("a\u{e9}b", 2), "a");
    }

    #[test]
    fn keys_and_tokens_are_no_part_of_a_name() {
        let key = format!("granary_{}", "0aZ".repeat(19));
        let issuer = super::super::Issuer::ephemeral().unwrap();
        let (token, _) = issuer
            .issue("ada", Role::Administrator, Duration::from_secs(60))
            .unwrap();
        for secret in [key, token] {
            for before in ["", "projects/p/apiKeys/", "projects/", "/v1/projects/p:"] {
                let text = format!("{before}{secret}/more");
                assert_eq!(name_like(&text), before);
                assert_eq!(path_like(&text), before);
            }
        }
        let name = "projects/my_granary_1/datasets/heyJude";
        assert_eq!(name_like(name), name);
        assert_eq!(path_like(&"/a".repeat(1000)).len(), MAX_PATH);
    }

    #[test]
    fn a_header_of_the_caller_is_no_address_unless_a_proxy_wrote_it() {
        let request = |headers: &[&str]| {
            let mut request = Request::new(Body::empty());
            for header in headers {
                request
                    .headers_mut()
                    .append(FORWARDED_FOR, header.parse().unwrap());
            }
            request.extensions_mut().insert(TcpConnectInfo {
                local_addr: None,
                remote_addr: Some("[::ffff:10.0.0.1]:555".parse().unwrap()),
            });
            request
        };
        let spoofed = request(&["1.1.1.1", "2.2.2.2, 3.3.3.3"]);
        let address = |request, hops| remote_address(request, hops).map(|a| a.to_string());
        assert_eq!(address(&spoofed, 0).as_deref(), Some("10.0.0.1"));
        assert_eq!(address(&spoofed, 1).as_deref(), Some("3.3.3.3"));
        assert_eq!(address(&spoofed, 2).as_deref(), Some("2.2.2.2"));
        assert_eq!(address(&spoofed, 4), None);
        assert_eq!(address(&request(&["nonsense"]), 1), None);
    }
}
