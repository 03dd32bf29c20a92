//! The head of a request that is asked about, as a caller would send it.

use zeroize::Zeroizing;

use super::Question;

/// The bytes of a head; they may hold a key.
pub(super) struct HeadBytes(Zeroizing<Vec<u8>>);

impl HeadBytes {
    /// Writes a head. Whether it is well-formed is for the parser to say: a line end in any part is taken out of it.
    pub fn new(question: &Question<'_>) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity(question)));
        let mut part = |part: &[u8]| bytes.extend(part.iter().filter(|byte| !b"\r\n".contains(byte)));
        part(question.method.as_bytes());
        part(b" ");
        part(question.path.as_bytes());
        part(b" HTTP/1.1");
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in [("Host", question.host.as_bytes())].iter().chain(question.headers) {
            let mut part = |part: &[u8]| bytes.extend(part.iter().filter(|byte| !b"\r\n".contains(byte)));
            part(name.as_bytes());
            part(b": ");
            part(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        Self(bytes)
    }
}

/// Room for all of it, so that no copy of a key is left behind by a buffer that grows.
fn capacity(question: &Question<'_>) -> usize {
    let fields = question.headers.iter().map(|(name, value)| name.len() + value.len() + 4);
    64 + question.method.len() + question.path.len() + question.host.len() + fields.sum::<usize>()
}

impl AsRef<[u8]> for HeadBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
