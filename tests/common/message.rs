//! Heads as they stood on the wire, read strictly (RFC 9112 §2 to §5): anything malformed is an error.
//!
//! Used for what the gateway sends, to the API and to the caller. Bytes above 0x7f become the character of
//! the same number, so that nothing is lost in a `String`.

/// A first line and the fields behind it, in order, with their case kept.
#[derive(Clone)]
pub struct Head {
    pub line: String,
    pub fields: Vec<(String, String)>,
    pub raw: Vec<u8>,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", latin(&self.raw))
    }
}

impl Head {
    /// Reads `raw`, which ends with an empty line.
    pub fn parse(raw: &[u8]) -> Result<Self, String> {
        let text = latin(raw);
        let lines = text.strip_suffix("\r\n\r\n").ok_or("a head ends with an empty line")?;
        let mut lines = lines.split("\r\n");
        let line = lines.next().unwrap_or_default().to_string();
        if line.chars().any(char::is_control) {
            return Err(format!("a control character in {line:?}"));
        }
        let fields = lines.map(field).collect::<Result<_, _>>()?;
        Ok(Self { line, fields, raw: raw.to_vec() })
    }

    /// Values of every field called `name`, without regard to case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        all(&self.fields, name)
    }

    /// The value of the only field called `name`.
    #[track_caller]
    pub fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} stands {} times in {self:#?}", all.len());
        all[0]
    }

    /// Whether a field is called `name`.
    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// Whether a list field has the member, without regard to case.
    pub fn lists(&self, name: &str, member: &str) -> bool {
        let members = self.all(name);
        members.iter().flat_map(|value| value.split(',')).any(|m| m.trim().eq_ignore_ascii_case(member))
    }

    /// The length of the body that the fields announce: beyond doubt, or an error (RFC 9112 §6.3).
    pub fn length(&self) -> Result<Length, String> {
        match (&self.all("transfer-encoding")[..], &self.all("content-length")[..]) {
            ([], []) => Ok(Length::Absent),
            (["chunked"], []) => Ok(Length::Chunked),
            ([], [digits]) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map(Length::Fixed).map_err(|error| error.to_string())
            }
            (codings, lengths) => Err(format!("framing in doubt: {codings:?} {lengths:?}")),
        }
    }
}

/// What a head says about the length of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Absent,
    Fixed(usize),
    Chunked,
}

/// A body as it arrived.
#[derive(Debug, Clone, Default)]
pub struct Body {
    pub bytes: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Its announced end was reached.
    pub whole: bool,
}

/// Reads one field line: `token ":" OWS value OWS`, no control characters, no fold.
pub fn field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or(format!("no colon in {line:?}"))?;
    if name.is_empty() || !name.bytes().all(is_token) || !name.is_ascii() {
        return Err(format!("not a field name: {name:?}"));
    }
    let value = value.trim_matches([' ', '\t']);
    if value.chars().any(|c| c != '\t' && (c < ' ' || c == '\x7f')) {
        return Err(format!("a control character in {line:?}"));
    }
    Ok((name.to_string(), value.to_string()))
}

/// Values of every field called `name`.
pub fn all<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
}

/// Bytes as characters of the same number.
pub fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

/// Position of `needle`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}
