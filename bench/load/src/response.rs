//! Just enough HTTP/1.1 to read an answer: status, one header by name, a body with a length or in chunks.
//!
//! The generator shares a machine with the server it measures, so it looks at as few bytes as it can:
//! it does not parse JSON, it finds one field in it.

use std::borrow::Cow;

use anyhow::{Context, Result, bail};

/// No target answers with more headers than this.
const MOST_HEADERS: usize = 48;

/// A whole response, borrowed from the connection's buffer.
#[derive(Debug)]
pub struct Response<'buffer> {
    /// The status code.
    pub status: u16,
    /// The body, put together when it came in several chunks.
    pub body: Cow<'buffer, [u8]>,
    /// The value of [`CODE_HEADER`], when a peer sends it.
    pub code: Option<&'buffer [u8]>,
}

/// The header in which a peer that draws its own codes tells the generator which code it "sent".
pub const CODE_HEADER: &str = "x-bench-code";

/// Reads one response; `None` while some of it is still to come.
///
/// Targets are asked one thing at a time, so the response is all that the buffer holds.
pub fn parse(buffer: &[u8]) -> Result<Option<Response<'_>>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_length) = head.parse(buffer)? else {
        return Ok(None);
    };
    let mut length = 0;
    let mut chunked = false;
    let mut code = None;
    for header in head.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = std::str::from_utf8(header.value)?.trim().parse()?;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = header.value.eq_ignore_ascii_case(b"chunked");
        } else if header.name.eq_ignore_ascii_case(CODE_HEADER) {
            code = Some(header.value);
        }
    }
    let rest = &buffer[head_length..];
    let body = if chunked {
        let Some(body) = join_chunks(rest)? else {
            return Ok(None);
        };
        Cow::Owned(body)
    } else {
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        Cow::Borrowed(body)
    };
    let status = head.code.context("a response without a status")?;
    Ok(Some(Response { status, body, code }))
}

/// Puts a chunked body together; `None` while its last chunk is still to come.
fn join_chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let (start, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => bail!("a chunk without a size"),
        };
        let end = start + usize::try_from(size)?;
        // Each chunk, the last and empty one too, closes with a line break.
        if rest.len() < end + 2 {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(&rest[start..end]);
        rest = &rest[end + 2..];
    }
}

/// What follows `"name":` in a JSON text, blanks skipped.
fn after_name<'body>(body: &'body [u8], name: &str) -> Option<&'body [u8]> {
    let name = name.as_bytes();
    let quoted = name.len() + 2;
    let at = body.windows(quoted).position(|window| window[0] == b'"' && window[quoted - 1] == b'"' && &window[1..quoted - 1] == name)?;
    let rest = body[at + quoted..].trim_ascii_start();
    Some(rest.strip_prefix(b":")?.trim_ascii_start())
}

/// The text field `name`: the first of that name, and only if it needs no unescaping (identifiers never do).
pub fn text_field<'body>(body: &'body [u8], name: &str) -> Option<&'body str> {
    let rest = after_name(body, name)?.strip_prefix(b"\"")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// The true-or-false field `name`.
pub fn truth_field(body: &[u8], name: &str) -> Option<bool> {
    let rest = after_name(body, name)?;
    if rest.starts_with(b"true") {
        Some(true)
    } else if rest.starts_with(b"false") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_with_a_length_is_awaited() {
        let whole = b"HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\n{\"id\": \"a\"}";
        assert!(parse(&whole[..whole.len() - 1]).unwrap().is_none());
        let response = parse(whole).unwrap().unwrap();
        assert_eq!(response.status, 201);
        assert_eq!(text_field(&response.body, "id"), Some("a"));
    }

    #[test]
    fn chunks_are_put_together_and_awaited() {
        let whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nX-Bench-Code: 123456\r\n\r\n\
                      8\r\n{\"valid\"\r\n6\r\n:true}\r\n0\r\n\r\n";
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).unwrap().is_none(), "at {end}");
        }
        let response = parse(whole).unwrap().unwrap();
        assert_eq!(truth_field(&response.body, "valid"), Some(true));
        assert_eq!(response.code, Some(&b"123456"[..]));
    }

    #[test]
    fn a_field_is_not_taken_for_another_that_ends_alike() {
        let body = br#"{"request_id":"wrong","id":"right"}"#;
        assert_eq!(text_field(body, "id"), Some("right"));
        assert_eq!(text_field(body, "missing"), None);
    }
}
