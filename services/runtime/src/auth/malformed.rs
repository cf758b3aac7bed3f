//! Requests that cannot be read. What reads them calls that an internal error, as gRPC's own table of codes has it; here it is the caller who
//! is told what is wrong.

use granary_core::Error;
use granary_proto::status::to_status;
use http::Response;
use tonic::{Code, Status, body::Body};

/// How tonic and prost begin what they say of such a request; answers of handlers begin otherwise. It stands before the first message of an
/// answer, so in the headers.
const UNREADABLE: [&str; 5] = [
    "failed to decode Protobuf message: ",
    "protocol error: received message with ",
    "Missing request message",
    "Unexpected EOF decoding stream",
    "Error decompressing: ",
];

/// The answer, as INVALID_ARGUMENT if it says that the request cannot be read.
pub(super) fn told(answer: Response<Body>) -> Response<Body> {
    let code = answer.headers().get("grpc-status");
    if code.is_none_or(|code| Code::from_bytes(code.as_bytes()) != Code::Internal) {
        return answer;
    }
    let Some(status) = Status::from_header_map(answer.headers()) else {
        return answer;
    };
    let said = status.message();
    let Some(start) = UNREADABLE.iter().find(|start| said.starts_with(*start)) else {
        return answer;
    };
    // Of the reading of protobuf only what is wrong with which field: names of the proto, nothing of the message.
    let why = match *start {
        "failed to decode Protobuf message: " => said.trim_start_matches(start),
        _ => said.trim_end_matches('.'),
    };
    let reason = format!("the message cannot be decoded: {why}");
    to_status(Error::invalid("", reason)).into_http()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: Status) -> Status {
        let answer = told(status.into_http());
        Status::from_header_map(answer.headers()).unwrap()
    }

    #[test]
    fn the_caller_is_told_what_is_wrong_with_the_message() {
        let wrong = "failed to decode Protobuf message: GetJobRequest.name: invalid wire type";
        let status = answer(Status::internal(wrong));
        assert_eq!(status.code(), Code::InvalidArgument);
        let expected = "the message cannot be decoded: GetJobRequest.name: invalid wire type";
        assert_eq!(status.message(), expected);
        let status = answer(Status::internal("Missing request message."));
        assert_eq!(status.code(), Code::InvalidArgument);
    }

    #[test]
    fn other_errors_stay_what_they_are() {
        let own = "calling another service: failed to decode Protobuf message: x";
        assert_eq!(answer(Status::internal(own)).code(), Code::Internal);
        let lost = Status::data_loss("failed to decode Protobuf message: x");
        assert_eq!(answer(lost).code(), Code::DataLoss);
    }
}
