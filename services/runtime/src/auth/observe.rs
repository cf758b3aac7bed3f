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

use super::{
    Principal, Role,
    roles::Rule,
    scope::{Field, shared},
    text::{cut, name_like},
};
use crate::{ledger::Ledger, spanned::REQUEST_ID};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const GRPC_STATUS: &str = "grpc-status";
/// What such a call is called in the audit log: its path may hold anything.
const UNKNOWN: &str = "unknown";
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
    /// What it was about, at most 1,024 bytes: what was made, if it was, else what the request named.
    pub resource: String,
    /// How many things it was about, if they were several: then the resource is what they share.
    pub items: u32,
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
    items: u32,
    /// What the answer is still to name.
    makes: Option<&'static Field>,
    made: Option<String>,
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
            items: 0,
            makes: rule.and_then(|rule| rule.made.as_ref()),
            made: None,
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

    /// Looks at the things that the call is about, if they may be several and it is kept.
    pub(super) fn items(&mut self, message: &[u8]) {
        let Some(seen) = &mut self.0 else { return };
        let Some(items) = seen.rule.and_then(|rule| rule.items.as_ref()) else {
            return;
        };
        let (count, common) = items.items(message);
        if let Some(common) = common.map(name_like).filter(|name| seen.is_around(name)) {
            common.clone_into(&mut seen.resource);
        }
        if count > 1 {
            (seen.items, seen.makes) = (count, None);
        }
    }

    /// Looks at the beginning of the answer.
    fn begun(&mut self, answer: &[u8]) {
        let Some(seen) = &mut self.0 else { return };
        let Some(name) = seen.makes.take().and_then(|makes| named(makes, answer)) else {
            return;
        };
        if !shared(name, &seen.resource).is_empty() {
            seen.made = Some(name.to_owned());
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

/// What a framed message names.
fn named<'a>(field: &Field, answer: &'a [u8]) -> Option<&'a str> {
    let (head, rest) = answer.split_first_chunk::<5>()?;
    let [0, length @ ..] = *head else { return None };
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    let name = name_like(field.resource(rest.get(..length)?).ok()?);
    Some(name).filter(|name| !name.is_empty())
}

impl Seen {
    /// Whether a name is that of the resource, or of something in it: whoever names others besides is known by that.
    fn is_around(&self, name: &str) -> bool {
        let rest = name.strip_prefix(self.resource.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

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
        let made = self.made.filter(|_| verdict == Verdict::Allowed);
        let request_id = self.request_id.as_ref().and_then(|id| id.to_str().ok());
        Some(Ended {
            method: self.method.to_owned(),
            resource: made.unwrap_or(self.resource),
            items: self.items,
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
                if let Some(data) = frame.data_ref() {
                    self.watch.begun(data);
                }
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
