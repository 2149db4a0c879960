//! The gateway's HTTP/1.1 client, without its sockets.

use bytes::BytesMut;
use http::{Method, StatusCode};
use scopegate::upstream::{ResponseParser, ResponsePart};

use super::outcome::{Head, Outcome, fields};

/// Parses these pieces; then the upstream closes the connection.
pub(crate) fn read(method: &Method, pieces: &[&[u8]]) -> Outcome {
    let (mut parser, mut read) = (ResponseParser::new(method), BytesMut::new());
    let mut outcome = Outcome::default();
    for piece in pieces {
        read.extend_from_slice(piece);
        if !parse(&mut parser, &mut read, &mut outcome) {
            return outcome.without_partial_body();
        }
    }
    outcome.is_reusable = outcome.is_whole && parser.is_reusable() && read.is_empty();
    if !outcome.is_whole && parser.end_of_input().is_ok() {
        outcome.is_whole = true;
    }
    outcome.without_partial_body()
}

// Returns false after a parse error.
fn parse(parser: &mut ResponseParser, read: &mut BytesMut, outcome: &mut Outcome) -> bool {
    while !outcome.is_whole {
        match parser.next(read) {
            Ok(Some(ResponsePart::Interim(response))) => outcome
                .interim
                .push((response.status().as_u16(), fields(response.headers()))),
            Ok(Some(ResponsePart::Head(response))) => {
                outcome.head = Some(Head::of(&response));
                // What follows is another protocol.
                outcome.is_whole = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            }
            Ok(Some(ResponsePart::Data(data))) => outcome.content.extend_from_slice(&data),
            Ok(Some(ResponsePart::Trailers(trailers))) => outcome.trailers = fields(&trailers),
            Ok(Some(ResponsePart::End)) => outcome.is_whole = true,
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
    true
}
