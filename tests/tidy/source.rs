//! Source text as words and tokens, without its comments and strings.

/// The text with comments and the content of strings blanked out; lines stay where they are.
pub fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => {
                at + chars[at..].iter().position(|char| *char == '\n').unwrap_or(chars.len() - at)
            }
            ('/', Some('*')) => end_of_block_comment(&chars, at),
            ('"', _) => end_of_string(&chars, at),
            ('r', Some('"' | '#')) if !is_word_before(&chars, at) => end_of_raw_string(&chars, at),
            ('\'', _) => end_of_char(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        for char in &chars[at..end.min(chars.len())] {
            out.push(if *char == '\n' { '\n' } else { ' ' });
        }
        at = end;
    }
    out
}

fn is_word_before(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') && chars[at - 1] != 'b'
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// `start` itself when this is a name such as `r#type`.
fn end_of_raw_string(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|char| **char == '#').count();
    if chars.get(start + 1 + hashes) != Some(&'"') {
        return start;
    }
    let mut at = start + 2 + hashes;
    while at < chars.len() {
        let closes = chars[at] == '"'
            && chars[at + 1..].iter().take(hashes).filter(|char| **char == '#').count() == hashes;
        if closes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

/// `start` itself when this is a lifetime.
fn end_of_char(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), _) => {
            let after = start + 3; // what is escaped may be a quote itself
            after
                + chars[after.min(chars.len())..].iter().position(|char| *char == '\'').map_or(0, |at| at + 1)
        }
        (Some(_), Some('\'')) => start + 3,
        _ => start,
    }
}

pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_alphanumeric() && char != '_').filter(|word| !word.is_empty())
}

pub struct Token {
    pub text: String,
    pub line: usize,
}

/// Names, `::`, and every other sign on its own.
pub fn tokens(code: &str) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_name_char(first) {
                rest.find(|char| !is_name_char(char)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push(Token { text: rest[..length].to_string(), line: line + 1 });
            rest = rest[length..].trim_start();
        }
    }
    found
}

fn is_name_char(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

pub fn is_name(text: &str) -> bool {
    text.starts_with(is_name_char)
}

pub fn text_of(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| &token.text)
}

pub struct Attribute {
    pub text: String,
    pub line: usize,
}

/// Attributes at the start of a line, up to their closing bracket.
pub fn attributes(text: &str) -> Vec<Attribute> {
    let code = blank(text);
    let mut found = Vec::new();
    for (line, start) in line_starts(&code) {
        let rest = code[start..].trim_start_matches(' ');
        if !rest.starts_with("#[") && !rest.starts_with("#![") {
            continue;
        }
        let mut depth = 0;
        let end = rest.char_indices().find_map(|(at, char)| {
            match char {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => return None,
            }
            (depth == 0).then_some(at + 1)
        });
        found.push(Attribute { text: rest[..end.unwrap_or(rest.len())].to_string(), line });
    }
    found
}

fn line_starts(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut start = 0;
    text.split_inclusive('\n').enumerate().map(move |(line, text)| {
        let this = start;
        start += text.len();
        (line + 1, this)
    })
}

mod planted {
    use super::blank;

    #[test]
    fn comments_and_strings_are_no_code() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("a \"b \\\" c\" d", "a          d"),
            ("a r#\"b \" c\"# d", "a            d"),
            ("a 'b' '\\'' 'c d", "a          'c d"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("r#type", "r#type"),
            ("b'\"' x \"y\"", "b    x    "),
        ] {
            assert_eq!(blank(text), code, "{text}");
        }
    }
}
