//! A chunked body decodes to the same in any split, and what was decoded survives being encoded again.

use keyferry::protocol::h1::{CHUNK_HEADER_MAX, Decoder, LAST_CHUNK, parse_trailers, write_chunk_header};

type Body = (Vec<u8>, Vec<u8>, usize, bool);

pub fn run(bytes: &[u8]) {
    let whole = decode(bytes, bytes.len().max(1));
    for piece in [1, 2, 3, 7, 64] {
        assert_eq!(decode(bytes, piece), whole, "in pieces of {piece}");
    }
    if let Some((data, trailers, _, true)) = whole {
        let lines = parse_trailers(&trailers).map(|field| field.name.len() + field.value.len() + 4);
        assert_eq!(lines.sum::<usize>(), trailers.len(), "every trailer is a line");
        let wire = encode(&data, &trailers);
        assert_eq!(decode(&wire, wire.len()), Some((data, trailers, wire.len(), true)));
    }
}

fn decode(bytes: &[u8], piece: usize) -> Option<Body> {
    let (mut decoder, mut data, mut trailers) = (Decoder::new(), Vec::new(), Vec::new());
    let mut consumed = 0;
    for piece in bytes.chunks(piece) {
        let mut buffer = piece.to_vec();
        let decoded = decoder.decode(&mut buffer, &mut trailers).ok()?;
        assert!(decoded.data <= decoded.consumed && decoded.consumed <= piece.len());
        assert!(decoded.end || decoded.consumed == piece.len(), "input was left behind");
        assert_eq!(buffer[decoded.consumed..], piece[decoded.consumed..], "what follows was moved");
        data.extend_from_slice(&buffer[..decoded.data]);
        consumed += decoded.consumed;
        if decoded.end {
            return Some((data, trailers, consumed, true));
        }
    }
    Some((data, trailers, consumed, false))
}

fn encode(data: &[u8], trailers: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for chunk in data.chunks(17) {
        let mut header = [0; CHUNK_HEADER_MAX];
        let length = write_chunk_header(chunk.len(), &mut header);
        wire.extend_from_slice(&[&header[..length], chunk, b"\r\n"].concat());
    }
    let (zero, end) = LAST_CHUNK.split_at(3);
    wire.extend_from_slice(&[zero, trailers, end].concat());
    wire
}
