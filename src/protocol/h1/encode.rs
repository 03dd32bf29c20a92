//! Writes heads: the only way in which one leaves the program.
//!
//! It writes what it is given and judges nothing: names and values come from a parsed head or from the operator's
//! checked configuration. A buffer that is too small never panics: nothing more is written and `finish` says so.

/// The buffer was too small for the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

/// Writes one head into a buffer.
#[derive(Debug)]
pub struct HeadWriter<'a> {
    out: &'a mut [u8],
    len: usize,
    overflow: bool,
}

impl<'a> HeadWriter<'a> {
    /// Starts at the front of `out`.
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0, overflow: false }
    }

    /// `METHOD target HTTP/1.1`, the target in parts that follow one another (RFC 9112 §3).
    #[inline]
    pub fn request_line(&mut self, method: &[u8], parts: &[&[u8]]) {
        self.raw(method);
        self.raw(b" ");
        parts.iter().for_each(|part| self.raw(part));
        self.raw(b" HTTP/1.1\r\n");
    }

    /// `HTTP/1.1 status reason` (RFC 9112 §4). A status has three digits: only the last three are written.
    #[inline]
    pub fn status_line(&mut self, status: u16, reason: &[u8]) {
        let digit = |place: u16| b'0' + (status / place % 10) as u8;
        self.raw(b"HTTP/1.1 ");
        self.raw(&[digit(100), digit(10), digit(1), b' ']);
        self.raw(reason);
        self.raw(b"\r\n");
    }

    /// `name: value` (RFC 9112 §5).
    #[inline]
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        self.raw(name);
        self.raw(b": ");
        self.raw(value);
        self.raw(b"\r\n");
    }

    /// `name: value`, the value in parts that follow one another.
    #[inline]
    pub fn field_parts(&mut self, name: &[u8], parts: &[&[u8]]) {
        self.raw(name);
        self.raw(b": ");
        parts.iter().for_each(|part| self.raw(part));
        self.raw(b"\r\n");
    }

    /// `name: number`, in decimal.
    pub fn number(&mut self, name: &[u8], value: u64) {
        let mut digits = [b'0'; 20];
        let mut rest = value;
        let mut used = 0;
        for slot in digits.iter_mut().rev() {
            *slot = b'0' + (rest % 10) as u8;
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        let (_, digits) = digits.split_at(digits.len() - used);
        self.field(name, digits);
    }

    /// Bytes as they are: whole lines that were made before.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        match self.out.get_mut(self.len..self.len + bytes.len()) {
            Some(room) if !self.overflow => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => self.overflow = true,
        }
    }

    /// The empty line.
    #[inline]
    pub fn end(&mut self) {
        self.raw(b"\r\n");
    }

    /// How many bytes were written so far.
    pub const fn written(&self) -> usize {
        self.len
    }

    /// How many bytes were written, if all fitted.
    pub const fn finish(self) -> Result<usize, Overflow> {
        if self.overflow { Err(Overflow) } else { Ok(self.len) }
    }
}

/// The registered phrase of a status code (RFC 9110 §15, RFC 6585), or nothing.
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}
