//! Small helpers for handlers.

use std::sync::Arc;

use granary_core::{Error, Result};
use tonic::{Request, Status};

use crate::auth::{Caller, Known, Principal};
pub use granary_proto::status::{answer, from_item, from_status, to_item, to_status};

/// Who makes the call. The server's token check put it there; without it nothing is served.
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    checked(request).cloned()
}

/// Who is behind the call: for services, the principal whose call they handle.
pub fn principal<T>(request: &Request<T>) -> Result<Principal, Status> {
    checked(request).map(|caller| caller.author().clone())
}

fn checked<T>(request: &Request<T>) -> Result<&Caller, Status> {
    let caller = request.extensions().get::<Arc<Caller>>();
    caller.map(|caller| &**caller).ok_or_else(|| {
        to_status(Error::Unauthenticated {
            reason: crate::auth::REFUSED.into(),
        })
    })
}

/// Says who made a call without a token, for the audit log.
pub fn known<T>(response: &mut tonic::Response<T>, caller: Principal) {
    response.extensions_mut().insert(Known(caller));
}

/// A required message field.
pub fn required<T>(field: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::invalid(field, "is required"))
}

/// Bounds a batch: 1 to 1,000 items.
pub fn batch_size(field: &str, size: usize) -> Result<()> {
    if (1..=1000).contains(&size) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("expected 1 to 1000 items, got {size}"),
    ))
}
