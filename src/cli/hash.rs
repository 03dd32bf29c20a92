//! `keyferry hash`: one key from standard input → its SHA-256 and the record that lets it in.

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Read},
    process::ExitCode,
};

use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::print;
use crate::limits::KEY_BYTES_MAX;

/// Exit code for wrong arguments, the same that clap uses.
const USAGE: u8 = 2;

/// Reads a key and prints its digest; `refused` are arguments, of which none is wanted.
pub(super) fn run(refused: &[OsString]) -> ExitCode {
    if !refused.is_empty() {
        super::complain(&format_args!(
            "keyferry hash takes no arguments: a key on the command line ends up in the history of the shell and in \
             the list of processes. Write it to standard input instead: keyferry hash < key.txt\n\
             If that was a real key, take it out of the history, or replace it."
        ));
        return ExitCode::from(USAGE);
    }
    match key() {
        Ok(key) => {
            let digest = hex(&key);
            print(&format!(
                "{digest}\n\nrecord (for keys = [ … ] of a credential):\n{}\n",
                record(None, &digest)
            ))
        }
        Err(sentence) => {
            super::complain(&format_args!("keyferry hash: {sentence}"));
            ExitCode::FAILURE
        }
    }
}

/// SHA-256 in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One member of `keys`. The id holds no character that TOML would have to escape.
pub(super) fn record(id: Option<&str>, digest: &str) -> String {
    let id = id.map_or_else(String::new, |id| format!(r#"id = "{id}", "#));
    format!(r#"{{ {id}sha256 = "{digest}" }}"#)
}

/// The digest of the key on standard input, in hexadecimal digits.
pub(super) fn digest_of_standard_input() -> Result<String, String> {
    key().map(|key| hex(&key))
}

fn key() -> Result<Zeroizing<Vec<u8>>, String> {
    let input = io::stdin();
    // Room for the line end and for one byte too many; reserved, so that no copy stays behind.
    let bytes_max = KEY_BYTES_MAX + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
    if input.is_terminal() {
        eprint!("Key (it will be visible), then Enter: ");
        line(&mut input.lock().take(bytes_max as u64), &mut bytes)?;
    } else {
        input.lock().take(bytes_max as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    checked(bytes)
}

/// Reads up to the end of the line: at a terminal nothing else ends the input.
fn line(input: &mut dyn Read, bytes: &mut Vec<u8>) -> Result<(), String> {
    let mut byte = [0];
    while input.read(&mut byte).map_err(unreadable)? == 1 {
        bytes.push(byte[0]);
        if byte[0] == b'\n' {
            break;
        }
    }
    Ok(())
}

/// One key, without the end of its line. What a caller could not send in a header field is refused here.
fn checked(mut bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, String> {
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err("there is no key on standard input".to_owned());
    }
    if bytes.len() > KEY_BYTES_MAX {
        return Err(format!("the key is longer than {KEY_BYTES_MAX} bytes"));
    }
    if bytes.contains(&b'\n') {
        return Err("there is more than one line on standard input; give it one key at a time".to_owned());
    }
    if !bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
        || bytes.starts_with(b" ")
        || bytes.ends_with(b" ")
    {
        return Err(
            "the key has characters, or spaces at its ends, that a header field cannot carry".to_owned()
        );
    }
    Ok(bytes)
}

fn unreadable(error: io::Error) -> String {
    format!("standard input cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::{KEY_BYTES_MAX, checked, hex};

    #[test]
    fn one_key_without_its_line_end() {
        let read = |text: &str| checked(Zeroizing::new(text.as_bytes().to_vec())).map(|key| key.to_vec());
        for text in ["abc", "abc\n", "abc\r\n"] {
            assert_eq!(read(text), Ok(b"abc".to_vec()));
        }
        assert!(read(&"a".repeat(KEY_BYTES_MAX)).is_ok());
        for text in ["", "\n", "\r\n", "a\nb\n", " a", "a\n\n", "a\tb", "ä", &"a".repeat(KEY_BYTES_MAX + 1)]
        {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_digest_of_a_known_key() {
        let digest = "70742f82518e2f4c44a28241e85eac9a4870d8c6b8b11ac034a6d66bb074abf8";
        assert_eq!(hex(b"acme_live_7Q2mZr9xW4"), digest);
    }
}
