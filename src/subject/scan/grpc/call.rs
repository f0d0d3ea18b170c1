//! One call of the service: messages as they come, each behind its length, and at the end a status.

use http_body_util::BodyExt;
use prost::Message;
use prost::bytes::{Buf, BufMut, Bytes, BytesMut};
use reqwest::header::HeaderMap;

use super::super::super::answer::shortened;
use super::super::super::node::cause;
use super::messages::{Request, Response};

/// Longer than what services send: 15 MiB.
const LONGEST: usize = 32 << 20;
/// Before a message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// A call that has been answered. What was received is kept in it, so `next` may be given up at any time.
pub(super) struct Call {
    body: reqwest::Body,
    received: BytesMut,
    /// Whether it has told anything new.
    pub has_told: bool,
}

/// How a call ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With the service's word.
    Status(Status),
    /// Without one.
    Broken(String),
}

/// gRPC's own word for how a call went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub code: u32,
    pub message: String,
}

impl Call {
    pub fn new(body: reqwest::Body) -> Self {
        Self { body, received: BytesMut::new(), has_told: false }
    }

    /// The next message.
    pub async fn next(&mut self) -> Result<Response, Ended> {
        loop {
            if let Some(message) = taken(&mut self.received).map_err(Ended::Broken)? {
                return Response::decode(message)
                    .map_err(|error| Ended::Broken(format!("sent no response that can be read: {error}")));
            }
            let frame = match self.body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(Ended::Broken(format!("the stream broke off: {}", cause(&error)))),
                None => return Err(Ended::Broken("the stream ended without a status".to_owned())),
            };
            match frame.into_data() {
                Ok(data) => self.received.extend_from_slice(&data),
                Err(frame) => {
                    let status = frame.trailers_ref().and_then(Status::of);
                    let untold = || Ended::Broken("the stream ended without a status".to_owned());
                    return Err(status.map_or_else(untold, Ended::Status));
                }
            }
        }
    }
}

/// The first message of what was received, once it is there as a whole.
fn taken(received: &mut BytesMut) -> Result<Option<Bytes>, String> {
    let Some(mut head) = received.get(..HEAD) else { return Ok(None) };
    if head.get_u8() != 0 {
        return Err("sent a compressed message, which was not asked for".to_owned());
    }
    let length = usize::try_from(head.get_u32()).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(format!("sent a message of {length} bytes, longer than {} MiB", LONGEST >> 20));
    }
    if received.len() < HEAD + length {
        return Ok(None);
    }
    received.advance(HEAD);
    let message = received.split_to(length).freeze();
    if received.is_empty() {
        // A long one is not to hold its memory for all that come after.
        *received = BytesMut::new();
    }
    Ok(Some(message))
}

/// A request as it is sent.
pub(super) fn framed(request: &Request) -> Vec<u8> {
    let message = request.encode_to_vec();
    let mut framed = Vec::with_capacity(HEAD + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&message);
    framed
}

impl Status {
    /// As headers or trailers tell it.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let code = text("grpc-status")?.parse().unwrap_or(2);
        let message = text("grpc-message").unwrap_or_default().replace('+', "%2B");
        // Its encoding is that of a URL's query, but for the plus.
        let message: String = url::form_urlencoded::parse(message.as_bytes()).map(|(name, _)| name).collect();
        Some(Self { code, message: shortened(&message) })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        const NAMES: [&str; 17] = [
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        ];
        usize::try_from(self.code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("UNKNOWN")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_whole_however_they_come() {
        let mut received = BytesMut::new();
        let sent = [&[0, 0, 0, 0, 2, 7, 8][..], &[0, 0, 0, 0, 0], &[0, 0, 0, 0, 1, 9]].concat();
        let mut messages = vec![];
        for byte in sent {
            received.put_u8(byte);
            messages.extend(taken(&mut received).unwrap());
        }
        assert_eq!(messages, [&[7, 8][..], &[], &[9]]);
        assert!(taken(&mut BytesMut::from(&[0, 0xff, 0, 0, 0][..])).unwrap_err().contains("longer than 32 MiB"));
        assert!(taken(&mut BytesMut::from(&[1, 0, 0, 0, 0][..])).unwrap_err().contains("compressed"));
    }

    #[test]
    fn a_status_is_read_from_trailers() {
        let mut trailers = HeaderMap::new();
        assert_eq!(Status::of(&trailers), None);
        trailers.insert("grpc-status", "16".parse().unwrap());
        trailers.insert("grpc-message", "no%20key+%2B%0A".parse().unwrap());
        let status = Status::of(&trailers).unwrap();
        assert_eq!((status.name(), &*status.message), ("UNAUTHENTICATED", "no key++"));
    }
}
