//! The PROXY protocol: the specification's examples, every truncation, and garbage.

use super::{FIXED_BYTES, Header, Malformed, SIGNATURE, parse};
use crate::limits::{PROXY_V1_BYTES_MAX, PROXY_V2_BYTES_MAX};

fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, content].concat()
}

fn v4_content() -> Vec<u8> {
    [&[192, 0, 2, 1], &[192, 0, 2, 2], &[0xc8, 0x22][..], &[0x01, 0xbb]].concat()
}

/// A header with a checksum in it, of which some bits are turned.
fn summed(turned: u32) -> Vec<u8> {
    // Of this header with zeros in its place, as another program has it.
    let sum = 0x6c16_f95d_u32 ^ turned;
    let content = [&v4_content()[..], &[4, 0, 1, 9, 3, 0, 4], &sum.to_be_bytes(), &[0xe0, 0, 1, 7]].concat();
    v2(0x21, 0x11, &content)
}

/// What is right, and the address in it.
fn right() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let v6 = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0; 20]].concat();
    let tlv = [&v4_content()[..], &[0x04, 0, 3, 1, 2, 3], &[0xe0, 0, 0]].concat();
    let room = PROXY_V2_BYTES_MAX - FIXED_BYTES - 12 - 3;
    let [high, low] = u16::try_from(room).unwrap().to_be_bytes();
    let longest = [&v4_content()[..], &[4, high, low], &vec![0; room]].concat();
    let unix = [&[b'/'; 216][..], &[4, 0, 0]].concat();
    let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    vec![
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_vec(), Some("255.255.255.255")),
        (format!("PROXY TCP6 {all} {all} 65535 65535\r\n").into_bytes(), Some(all)),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (format!("PROXY UNKNOWN {all} {all} 65535 65535\r\n").into_bytes(), None),
        (b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n".to_vec(), Some("192.168.0.1")),
        (b"PROXY TCP6 ::1 ::2 0 1\r\n".to_vec(), Some("::1")),
        (v2(0x21, 0x11, &v4_content()), Some("192.0.2.1")),
        (v2(0x21, 0x11, &tlv), Some("192.0.2.1")),
        (v2(0x21, 0x11, &longest), Some("192.0.2.1")),
        (v2(0x21, 0x21, &v6), Some("2001:db8::7")),
        (v2(0x21, 0x31, &[b'/'; 216]), None),
        (v2(0x21, 0x32, &unix), None),
        (summed(0), Some("192.0.2.1")),
        (v2(0x21, 0x00, b""), None),
        (v2(0x21, 0x00, b"anything"), None),
        (v2(0x20, 0x00, b""), None),
        (v2(0x20, 0x11, &v4_content()), None),
        (v2(0x20, 0x11, b"anything"), None),
    ]
}

#[test]
fn headers_are_read_whole_and_at_every_truncation_awaited() {
    for (bytes, address) in right() {
        let source = address.map(|address| address.parse().unwrap());
        let expected = Ok(Some(Header { bytes: bytes.len(), source }));
        assert_eq!(parse(&bytes), expected, "{}", bytes.escape_ascii());
        for behind in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01", b"\r\n"] {
            assert_eq!(parse(&[&bytes[..], behind].concat()), expected, "{}", bytes.escape_ascii());
        }
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]), Ok(None), "{}", bytes[..length].escape_ascii());
        }
    }
}

#[test]
fn what_is_no_header_is_said_at_once() {
    let line = |text: &str| format!("PROXY {text}\r\n").into_bytes();
    let mut wrong = vec![
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"G".to_vec(),
        b"POST".to_vec(),
        b"\x16\x03\x01".to_vec(),
        b"\r\n\r\n\0\r\nQUIX".to_vec(),
        b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
        b"PROXY UNKNOWN\n".to_vec(),
        b"PROXY UNKNOWN\rx".to_vec(),
        [&b"PROXY UNKNOWN "[..], &[b'x'; 93]].concat(),
        [&b"PROXY UNKNOWN "[..], &[b'x'; 92], b"\r"].concat(),
    ];
    for text in [
        "",
        "TCP4",
        "TCP5 1.1.1.1 1.1.1.1 1 1",
        "TCP4 1.1.1.1 1.1.1.1 1",
        "TCP4 1.1.1.1 1.1.1.1 1 1 ",
        "TCP4  1.1.1.1 1.1.1.1 1 1",
        "TCP4 1.1.1.1 1.1.1.1 01 1",
        "TCP4 1.1.1.1 1.1.1.1 1 65536",
        "TCP4 1.1.1.1 1.1.1.1 +1 1",
        "TCP4 1.1.1 1.1.1.1 1 1",
        "TCP4 01.1.1.1 1.1.1.1 1 1",
        "TCP4 ::1 ::1 1 1",
        "TCP6 1.1.1.1 1.1.1.1 1 1",
        "TCP4 1.1.1.1 nobody 1 1",
        "unknown",
    ] {
        wrong.push(line(text));
    }
    for (command, family, content) in [
        (0x11, 0x11, v4_content()),
        (0x22, 0x11, v4_content()),
        (0x2f, 0x11, v4_content()),
        (0x21, 0x12, v4_content()),
        (0x21, 0x10, v4_content()),
        (0x21, 0x41, v4_content()),
        (0x21, 0x01, Vec::new()),
        (0x21, 0x11, vec![0; 11]),
        (0x21, 0x21, vec![0; 35]),
        (0x21, 0x31, vec![b'/'; 215]),
        (0x21, 0x32, Vec::new()),
        (0x21, 0x11, [&v4_content()[..], &[4]].concat()),
        (0x21, 0x11, [&v4_content()[..], &[4, 0]].concat()),
        (0x21, 0x11, [&v4_content()[..], &[4, 0, 2, 0]].concat()),
        (0x21, 0x11, [&v4_content()[..], &[3, 0, 3, 1, 2, 3]].concat()),
        (0x21, 0x11, [&v4_content()[..], &[3, 0, 0]].concat()),
        (0x21, 0x11, vec![0; PROXY_V2_BYTES_MAX - FIXED_BYTES + 1]),
    ] {
        wrong.push(v2(command, family, &content));
    }
    wrong.extend([summed(1), summed(1 << 31), summed(0xff00)]);
    for bytes in wrong {
        assert_eq!(parse(&bytes), Err(Malformed), "{}", bytes.escape_ascii());
    }
    assert_eq!(PROXY_V1_BYTES_MAX, 107);
}

#[test]
fn garbage_has_no_header() {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    for round in 0..20_000 {
        let length = usize::from(next());
        let mut bytes: Vec<u8> = (0..length).map(|_| next()).collect();
        if round % 2 == 0 {
            let (sample, _) = &right()[round % right().len()];
            bytes = sample.clone();
            let at = usize::from(next()) % bytes.len();
            bytes[at] = next();
        }
        if let Ok(Some(header)) = parse(&bytes) {
            assert!(header.bytes <= bytes.len() && header.bytes >= 15, "{}", bytes.escape_ascii());
        }
    }
}
