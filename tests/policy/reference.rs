//! Rules and requests, and what the rules say, written down as simply as it can be.

use std::net::IpAddr;

use regex::bytes::{Regex, RegexBuilder};

use super::random::Random;

const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "DELETE", "PURGE"];
const SCOPES: [&str; 3] = ["s0", "s1", "s2"];
const NETWORKS: [&str; 6] =
    ["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32", "10.1.2.3", "0.0.0.0/0", "::ffff:192.0.2.0/120"];
const SOURCES: [Option<&str>; 7] = [
    Some("10.1.2.3"),
    Some("10.2.0.1"),
    Some("2001:db8::1"),
    Some("192.0.2.7"),
    Some("::ffff:10.1.2.3"),
    Some("2001:db9::1"),
    None,
];
/// What the consumers of the two credentials hold.
const HELD: [&[&str]; 2] = [&["s0", "s1"], &[]];

/// The rules of two proxy credentials, the target credential, the proxy and the target, in this order.
pub struct Reference {
    places: Vec<Place>,
}

struct Place {
    default: Option<bool>,
    rules: Vec<Rule>,
}

struct Rule {
    allow: bool,
    methods: Vec<&'static str>,
    path: Option<Check>,
    headers: Vec<Pair>,
    query: Vec<Pair>,
    source: Vec<&'static str>,
    scopes: Vec<&'static str>,
}

struct Check {
    pattern: String,
    regex: Regex,
    exists: bool,
}

struct Pair {
    name: Check,
    value: Option<Check>,
}

pub struct Request {
    pub credential: usize,
    /// None is a caller whose address is unknown.
    pub source: Option<&'static str>,
    method: &'static str,
    path: String,
    query: Option<String>,
    headers: Vec<(&'static str, &'static str)>,
}

impl Check {
    fn new(pattern: &str, caseless: bool, exists: bool) -> Self {
        let regex = RegexBuilder::new(pattern).unicode(false).case_insensitive(caseless).build();
        // Without Unicode the crate takes no literals beyond ASCII; as bytes they are these.
        let regex = regex.unwrap_or_else(|_| Regex::new(r"(?-u)\xC3\xA9").unwrap());
        Self { pattern: pattern.to_owned(), regex, exists }
    }

    fn presence(&self) -> &'static str {
        if self.exists { "must_exist" } else { "must_absent" }
    }
}

impl Reference {
    pub fn random(random: &mut Random) -> Self {
        Self { places: (0..5).map(|_| Place::random(random)).collect() }
    }

    pub fn allows(&self, request: &Request) -> bool {
        let said: Vec<Option<bool>> =
            [request.credential, 2, 3, 4].iter().map(|place| self.places[*place].says(request)).collect();
        if said.contains(&Some(false)) {
            return false;
        }
        if said.contains(&Some(true)) {
            return true;
        }
        self.places[3].default.unwrap_or(true)
    }

    pub fn to_toml(&self) -> String {
        let place = |at: usize, name: &str| self.places[at].to_toml(name);
        let mut text = format!(
            "[[target]]\nname = \"t\"\nurl = \"http://t.example/base\"\n{}{}",
            self.places[4].default_line(),
            place(4, "target")
        );
        for (at, held) in HELD.iter().enumerate() {
            text += &format!("[[consumer]]\nname = \"u{at}\"\n");
            if !held.is_empty() {
                text += &format!("scopes = {held:?}\n");
            }
            text += &format!("[[credential]]\nname = \"c{at}\"\ntype = \"proxy\"\nauth = \"key\"\n");
            text += &format!("consumer = \"u{at}\"\n{}", self.places[at].default_line());
            text += &place(at, "credential");
        }
        text += "[[credential]]\nname = \"tc\"\ntype = \"target\"\nauth = \"none\"\n";
        text += &format!("{}{}", self.places[2].default_line(), place(2, "credential"));
        text += "[[proxy]]\nalias = \"p\"\ntarget = \"t\"\ntarget_credential = \"tc\"\n";
        text += "proxy_credentials = [\"c0\", \"c1\"]\n";
        text + &self.places[3].default_line() + &place(3, "proxy")
    }
}

impl Place {
    fn random(random: &mut Random) -> Self {
        let default = random.one_of(&[None, None, Some(true), Some(false)]);
        // Few places have many rules, so that none decides nearly everything.
        let count_max = random.one_of(&[0, 2, 4, 12]);
        Self { default, rules: random.some(count_max, Rule::random) }
    }

    fn says(&self, request: &Request) -> Option<bool> {
        if self.rules.is_empty() {
            return None;
        }
        let matching: Vec<bool> =
            self.rules.iter().filter(|rule| rule.matches(request)).map(|rule| rule.allow).collect();
        match (matching.contains(&false), matching.contains(&true)) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => self.default,
        }
    }

    fn default_line(&self) -> String {
        self.default
            .map_or_else(String::new, |allow| format!("default_rule_effect = \"{}\"\n", effect(allow)))
    }

    fn to_toml(&self, name: &str) -> String {
        self.rules.iter().map(|rule| rule.to_toml(name)).collect()
    }
}

fn effect(allow: bool) -> &'static str {
    if allow { "allow" } else { "deny" }
}

impl Rule {
    fn random(random: &mut Random) -> Self {
        let some_of = |random: &mut Random, members: &[&'static str]| {
            let mut chosen =
                if random.once_in(3) { random.some(2, |random| random.one_of(members)) } else { Vec::new() };
            chosen.sort_unstable();
            chosen.dedup();
            chosen
        };
        let pairs = |random: &mut Random, caseless| {
            if random.once_in(3) {
                random.some(2, |random| Pair::random(random, caseless))
            } else {
                Vec::new()
            }
        };
        Self {
            allow: !random.once_in(3),
            methods: some_of(random, &METHODS),
            path: (!random.once_in(6)).then(|| Check::new(&random.path_pattern(), false, !random.once_in(6))),
            headers: pairs(random, true),
            query: pairs(random, false),
            source: some_of(random, &NETWORKS),
            scopes: some_of(random, &SCOPES),
        }
    }

    fn matches(&self, request: &Request) -> bool {
        let path = if request.path.is_empty() { "/" } else { &request.path };
        let headers = request.headers.iter().chain(&[("Host", "gw")]);
        let headers: Vec<(Vec<u8>, Vec<u8>)> = headers
            .map(|(name, value)| (name.as_bytes().to_vec(), value.trim().as_bytes().to_vec()))
            .collect();
        let query = request.query.as_deref().map(pairs).unwrap_or_default();
        (self.methods.is_empty() || self.methods.contains(&request.method))
            && self.path.as_ref().is_none_or(|check| check.regex.is_match(path.as_bytes()) == check.exists)
            && self.headers.iter().all(|check| check.holds(&headers))
            && self.query.iter().all(|check| check.holds(&query))
            && (self.source.is_empty() || self.comes_from_there(request.source))
            && self.scopes.iter().all(|scope| HELD[request.credential].contains(scope))
    }

    fn comes_from_there(&self, source: Option<&str>) -> bool {
        match source {
            Some(address) => self.source.iter().any(|network| lies_in(address, network)),
            None => !self.allow,
        }
    }

    fn to_toml(&self, name: &str) -> String {
        let mut text = format!("[[{name}.rule]]\neffect = \"{}\"\n", effect(self.allow));
        for (key, list) in [("methods", &self.methods), ("source", &self.source), ("scopes", &self.scopes)] {
            if !list.is_empty() {
                text += &format!("{key} = {list:?}\n");
            }
        }
        if let Some(check) = &self.path {
            text +=
                &format!("path = {{ pattern = '{}', presence = \"{}\" }}\n", check.pattern, check.presence());
        }
        for (key, checks) in [("headers", &self.headers), ("query", &self.query)] {
            let listed: Vec<_> = checks.iter().map(Pair::to_toml).collect();
            text += &format!("{key} = [{}]\n", listed.join(", "));
        }
        text
    }
}

impl Pair {
    fn random(random: &mut Random, caseless: bool) -> Self {
        let exists = !random.once_in(3);
        let value = (!random.once_in(3)).then(|| Check::new(random.value_pattern(), false, true));
        Self { name: Check::new(random.name_pattern(), caseless, exists), value }
    }

    fn holds(&self, pairs: &[(Vec<u8>, Vec<u8>)]) -> bool {
        let found = pairs.iter().any(|(name, value)| {
            self.name.regex.is_match(name)
                && self.value.as_ref().is_none_or(|check| check.regex.is_match(value))
        });
        found == self.name.exists
    }

    fn to_toml(&self) -> String {
        let value =
            self.value.as_ref().map_or_else(String::new, |check| format!("value = '{}', ", check.pattern));
        format!("{{ name = '{}', {value}presence = \"{}\" }}", self.name.pattern, self.name.presence())
    }
}

impl Request {
    pub fn random(random: &mut Random, reference: &Reference) -> Self {
        // Now and then a path out of a pattern, so that long ones are met too.
        let path = if random.once_in(3) { reference.a_path(random) } else { None };
        let header = |random: &mut Random| {
            let name = random.one_of(&["X-A", "x-a", "X-B", "x-bb", "B"]);
            (name, random.one_of(&["", "1", "a", "ab", "b1", "a b", "A", "1, 2"]))
        };
        let pair = |random: &mut Random| {
            let name = random.one_of(&["a", "b", "a+b", "a%20b", "A", "", "x-a"]);
            let value = random.one_of(&["", "=1", "=a", "=ab", "=a%0Ab", "=%61", "=1=2", "=%C3%A9", "=b+1"]);
            format!("{name}{value}")
        };
        Self {
            credential: random.below(2),
            source: random.one_of(&SOURCES),
            method: random.one_of(&METHODS),
            path: path.unwrap_or_else(|| random.path()),
            query: random.once_in(2).then(|| random.some(3, pair).join("&")),
            headers: random.some(3, header),
        }
    }

    pub fn head(&self) -> String {
        let query = self.query.as_ref().map_or_else(String::new, |query| format!("?{query}"));
        let fields: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{} /p{}{query} HTTP/1.1\r\nHost: gw\r\n{fields}\r\n", self.method, self.path)
    }
}

impl Reference {
    /// The plain text of one of the path patterns, and something behind it.
    fn a_path(&self, random: &mut Random) -> Option<String> {
        let place = &self.places[random.below(self.places.len())];
        let rule = (!place.rules.is_empty()).then(|| &place.rules[random.below(place.rules.len())])?;
        let pattern = &rule.path.as_ref()?.pattern;
        let text: String =
            pattern.chars().filter(|char| char.is_ascii_alphanumeric() || "/-".contains(*char)).collect();
        let tail = if random.once_in(2) { random.path() } else { String::new() };
        text.starts_with('/').then(|| text + &tail)
    }
}

/// The pairs of a query, decoded by the book.
fn pairs(query: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> Vec<u8> {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

fn lies_in(address: &str, network: &str) -> bool {
    let (network, bits) =
        network.split_once('/').map_or((network, None), |(network, bits)| (network, Some(bits)));
    let (address, network) = (bits_of(address), bits_of(network));
    // Networks are written with the width of their own family.
    let own: usize = if network.starts_with(MAPPED) { 96 } else { 0 };
    let bits = match bits.map(|bits| bits.parse::<usize>().unwrap()) {
        None => 128,
        Some(120) => 120,
        Some(bits) => own + bits,
    };
    address[..bits] == network[..bits]
}

/// The front of every IPv4 address in the form of IPv6.
const MAPPED: &str = concat!(
    "0000000000000000000000000000000000000000000000000000000000000000",
    "00000000000000001111111111111111"
);

fn bits_of(address: &str) -> String {
    let address = match address.parse().unwrap() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    format!("{:0128b}", address.to_bits())
}
