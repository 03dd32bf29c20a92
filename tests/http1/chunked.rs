//! RFC 9112 §7.1: chunked bodies, in every split, and back again.

use keyferry::limits::{
    CHUNK_EXTENSION_BYTES_MAX, CHUNK_OVERHEAD_BYTES_MAX, TRAILER_BYTES_MAX, TRAILERS_MAX,
};
use keyferry::protocol::h1::{
    CHUNK_HEADER_MAX, Decoded, Decoder, LAST_CHUNK, parse_trailers, write_chunk_header,
};
use keyferry::protocol::http::Kind;
use keyferry::types::Reason;

use super::support::{Random, splits};

/// What became of a body: its data, its trailer lines, and what is left of the input.
#[derive(Debug, PartialEq, Eq)]
struct Body {
    data: Vec<u8>,
    trailers: String,
    end: bool,
    rest: Vec<u8>,
}

fn decode_split(bytes: &[u8], ends: &[usize]) -> Result<Body, Reason> {
    let (mut decoder, mut trailers, mut data) = (Decoder::new(), Vec::new(), Vec::new());
    let mut start = 0;
    for end in ends {
        let mut piece = bytes[start..*end].to_vec();
        let decoded = decoder.decode(&mut piece, &mut trailers)?;
        data.extend_from_slice(&piece[..decoded.data]);
        start += decoded.consumed;
        if decoded.end {
            assert_eq!(piece[decoded.consumed..], bytes[start..*end], "what follows was moved");
            break;
        }
        assert_eq!(start, *end, "input was left behind");
    }
    let end = decoder.decode(&mut [], &mut trailers)?.end;
    Ok(Body {
        data,
        trailers: String::from_utf8_lossy(&trailers).into_owned(),
        end,
        rest: bytes[start..].to_vec(),
    })
}

fn decode(bytes: &[u8]) -> Result<Body, Reason> {
    let whole = decode_split(bytes, &[bytes.len()]);
    for ends in splits(bytes.len()) {
        let split = decode_split(bytes, &ends);
        match (&split, &whole) {
            // What follows the end stays in the input, however much of it had arrived.
            (Ok(split), Ok(whole)) => assert_eq!(split, whole, "{ends:?}"),
            _ => assert_eq!(split.is_err(), whole.is_err(), "{ends:?}"),
        }
    }
    whole
}

fn data(bytes: &[u8]) -> String {
    let body = decode(bytes).unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(bytes)));
    assert!(body.end, "{:?}", String::from_utf8_lossy(bytes));
    String::from_utf8_lossy(&body.data).into_owned()
}

fn refused(cases: &[&[u8]]) {
    for case in cases {
        assert_eq!(decode(case), Err(Reason::ChunkInvalid), "{:?}", String::from_utf8_lossy(case));
    }
}

#[test]
fn rfc_9112_7_1_chunks() {
    assert_eq!(data(b"0\r\n\r\n"), "");
    assert_eq!(data(b"5\r\nhello\r\n0\r\n\r\n"), "hello");
    assert_eq!(data(b"5\r\nhello\r\nA\r\n, world 12\r\n0\r\n\r\n"), "hello, world 12");
    assert_eq!(data(b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n"), "hello");
    assert_eq!(data(b"a\r\n0\r\n\r\n12345\r\n000\r\n\r\n"), "0\r\n\r\n12345");
    assert_eq!(data(b"1\r\n\n\r\n1\r\n\r\r\n0\r\n\r\n"), "\n\r");
}

#[test]
fn rfc_9112_7_1_the_next_message_is_left_alone() {
    let body = decode(b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n").unwrap();
    assert_eq!(
        (body.data.as_slice(), body.rest.as_slice(), body.end),
        (&b"x"[..], &b"GET / HTTP/1.1\r\n"[..], true)
    );
    let (mut decoder, mut trailers) = (Decoder::new(), Vec::new());
    assert!(decoder.decode(&mut LAST_CHUNK.to_vec(), &mut trailers).unwrap().end);
    assert_eq!(
        decoder.decode(&mut b"more".to_vec(), &mut trailers),
        Ok(Decoded { data: 0, consumed: 0, end: true })
    );
}

#[test]
fn rfc_9112_7_1_a_cut_body_has_no_end() {
    let whole = b"5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n";
    for end in 0..whole.len() {
        assert!(!decode(&whole[..end]).unwrap().end, "{end}");
    }
}

#[test]
fn rfc_9112_7_1_chunk_sizes() {
    refused(&[
        b"\r\n\r\n",
        b"\r\n",
        b"\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\t\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"-5\r\n",
        b"0x5\r\nhello\r\n",
        b"5h\r\nhello\r\n",
        b"g\r\n",
        b"00000000000000005\r\nhello\r\n",
        b"10000000000000000\r\n",
        b"5.0\r\n",
        b"5,\r\n",
        b"5_0\r\n",
        b"\x005\r\n",
        b"5\0\r\n",
        b"\xef\xbc\x95\r\nhello\r\n",
        b"5\x0b\r\n",
        b"\"5\"\r\n",
        b"5 a=b\r\nhello\r\n",
        b"--0\r\n",
    ]);
    let largest = decode(b"ffffffffffffffff\r\nabc").unwrap();
    assert_eq!((largest.data.as_slice(), largest.end), (&b"abc"[..], false));
}

#[test]
fn rfc_9112_7_1_line_ends_are_exact() {
    refused(&[
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5\rXhello\r\n0\r\n\r\n",
        b"5\r\r\nhello\r\n",
        b"5\r\nhello\rX0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"0\r\n\rX",
        b"0\r\r\n",
        b"\n5\r\nhello\r\n",
    ]);
}

#[test]
fn chunks_that_spill_over_their_size() {
    // SPILL.TERM and TERM.SPILL: data longer than announced, or something else where CRLF belongs.
    refused(&[
        b"5\r\nhello!!\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello \r\n0\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"4\r\nhello\r\n0\r\n\r\n",
        b"6\r\nhello\r\n0\r\n\r\n",
    ]);
}

#[test]
fn rfc_9112_7_1_1_extensions_are_dropped() {
    assert_eq!(data(b"5;a\r\nhello\r\n0;last\r\n\r\n"), "hello");
    assert_eq!(data(b"5;a=b;c=\"d e\\\"f;\";g\r\nhello\r\n0\r\n\r\n"), "hello");
    assert_eq!(data(b"5;a=\"\"\r\nhello\r\n0;a=\"\x80\t\"\r\n\r\n"), "hello");
}

#[test]
fn rfc_9112_7_1_1_extensions_that_are_refused() {
    // TERM.EXT and EXT.TERM: a line end that one reader sees inside an extension and another does not.
    refused(&[
        b"5;\r\nhello\r\n",
        b"5;;\r\n",
        b"5;a=\r\n",
        b"5;=b\r\n",
        b"5; a\r\n",
        b"5 ;a\r\n",
        b"5;a =b\r\n",
        b"5;a= b\r\n",
        b"5;a=b \r\n",
        b"5;a\nhello\r\n",
        b"5;\nxx\r\nhello\r\n",
        b"5;a\rX\r\n",
        b"5;a=\"b\r\n",
        b"5;a=\"b\r\n\"\r\n",
        b"5;a=\"b\nc\"\r\n",
        b"5;a=\"\\\r\n",
        b"5;a=\"b\"c\r\n",
        b"5;a=b\"c\"\r\n",
        b"5;a\0\r\n",
        b"5;a=\"\x01\"\r\n",
        b"5;\xe4\r\n",
        b"5;a,b\r\n",
        b"0;a\n\r\n",
        b"5;a=b=c\r\n",
    ]);
}

#[test]
fn rfc_9112_7_1_1_extensions_have_a_bound_in_a_line() {
    let line = |bytes: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(bytes)).into_bytes();
    assert!(decode(&line(CHUNK_EXTENSION_BYTES_MAX - 10)).is_ok());
    refused(&[&line(CHUNK_EXTENSION_BYTES_MAX + 1)]);
}

#[test]
fn rfc_9112_7_1_1_extensions_have_a_bound_in_a_body() {
    let chunk = format!("1;{}\r\nx\r\n", "a".repeat(200));
    let mut body = chunk.repeat(CHUNK_OVERHEAD_BYTES_MAX / 200 / 2).into_bytes();
    body.extend_from_slice(LAST_CHUNK);
    assert!(decode_split(&body, &[body.len()]).is_ok());
    let body = chunk.repeat(2 * CHUNK_OVERHEAD_BYTES_MAX / 200);
    assert_eq!(decode_split(body.as_bytes(), &[body.len()]), Err(Reason::ChunkInvalid));
}

#[test]
fn small_chunks_without_extensions_have_no_bound() {
    let mut body = b"1\r\nx\r\n".repeat(100_000);
    body.extend_from_slice(LAST_CHUNK);
    assert_eq!(decode_split(&body, &[body.len()]).map(|body| body.data.len()), Ok(100_000));
}

#[test]
fn rfc_9112_7_1_2_trailers_become_lines() {
    let body = decode(b"1\r\nx\r\n0\r\nX-Sum: a\r\ny:\t b c \t\r\nEmpty: \r\n\r\nrest").unwrap();
    assert_eq!(
        (body.trailers.as_str(), body.rest.as_slice()),
        ("X-Sum: a\r\ny: b c\r\nEmpty: \r\n", &b"rest"[..])
    );
    let fields: Vec<_> =
        parse_trailers(body.trailers.as_bytes()).map(|field| (field.name, field.value, field.kind)).collect();
    assert_eq!(
        fields,
        [(&b"X-Sum"[..], &b"a"[..], Kind::Other), (b"y", b"b c", Kind::Other), (b"Empty", b"", Kind::Other)]
    );
    assert_eq!(parse_trailers(b"no line").count(), 0);
}

#[test]
fn rfc_9112_7_1_2_trailers_that_are_refused() {
    refused(&[
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n: y\r\n\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX: y\r\n z\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nX: \0\r\n\r\n",
        b"0\r\nX: \x7f\r\n\r\n",
        b"0\r\nX: a\rb\r\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
        b"0\r\nX: y\r\n\n",
        b"0\r\n\xe4: y\r\n\r\n",
    ]);
}

#[test]
fn rfc_9110_6_5_1_trailers_that_would_decide_framing_or_routing_are_dropped() {
    for dropped in [
        "Content-Length: 5",
        "transfer-encoding: chunked",
        "HOST: a",
        "Transfer_Encoding: x",
        "Connection: X",
        "te: trailers",
        "Upgrade: h2c",
    ] {
        let body = decode(format!("0\r\nA: b\r\n{dropped}\r\nC: d\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(body.trailers, "A: b\r\nC: d\r\n", "{dropped}");
    }
}

#[test]
fn rfc_9112_7_1_2_trailers_have_bounds() {
    let body = |lines: String| format!("0\r\n{lines}\r\n").into_bytes();
    assert!(decode(&body("X: y\r\n".repeat(TRAILERS_MAX))).is_ok());
    refused(&[&body("X: y\r\n".repeat(TRAILERS_MAX + 1))]);
    let long = |bytes: usize| body(format!("X: {}\r\n", "y".repeat(bytes)));
    assert!(decode_split(&long(TRAILER_BYTES_MAX - 16), &[64, TRAILER_BYTES_MAX - 16]).is_ok());
    let endless = [&b"0\r\nX:"[..], &b" ".repeat(TRAILER_BYTES_MAX)].concat();
    for refused in [long(TRAILER_BYTES_MAX), endless] {
        assert_eq!(decode_split(&refused, &[refused.len()]), Err(Reason::ChunkInvalid));
    }
}

#[test]
fn after_an_error_there_is_no_way_on() {
    let (mut decoder, mut trailers) = (Decoder::new(), Vec::new());
    assert!(decoder.decode(&mut b"x".to_vec(), &mut trailers).is_err());
    assert!(decoder.decode(&mut LAST_CHUNK.to_vec(), &mut trailers).is_err());
}

#[test]
fn chunk_headers() {
    let header = |length| {
        let mut out = [0; CHUNK_HEADER_MAX];
        let bytes = write_chunk_header(length, &mut out);
        String::from_utf8(out[..bytes].to_vec()).unwrap()
    };
    assert_eq!(
        [header(1), header(15), header(16), header(255), header(4096)],
        ["1\r\n", "f\r\n", "10\r\n", "ff\r\n", "1000\r\n"]
    );
    assert_eq!(header(usize::MAX), "ffffffffffffffff\r\n");
    assert_eq!(header(0), "0\r\n");
}

#[test]
fn what_is_encoded_decodes_to_itself() {
    let mut random = Random(7);
    for _ in 0..200 {
        let body: Vec<u8> = (0..random.below(600)).map(|_| random.next() as u8).collect();
        let mut wire = Vec::new();
        let mut rest = &body[..];
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(1 + random.below(rest.len()));
            let mut header = [0; CHUNK_HEADER_MAX];
            let bytes = write_chunk_header(chunk.len(), &mut header);
            wire.extend_from_slice(&[&header[..bytes], chunk, b"\r\n"].concat());
            rest = after;
        }
        wire.extend_from_slice(LAST_CHUNK);
        assert_eq!(decode(&wire).map(|decoded| (decoded.data, decoded.end)), Ok((body, true)));
    }
}
