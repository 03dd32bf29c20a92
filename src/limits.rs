//! Every bound of the program, its unit in its name, with the reason for its size.
//!
//! What an operator may set has a default and a ceiling here; everything else is fixed. The constant
//! assertions at the end keep the bounds consistent with one another.

// --- heads -------------------------------------------------------------------------------------

/// Default bound on a request head; nginx and Envoy take 32 to 60 KiB, which callers have grown used to.
pub const HEAD_BYTES_DEFAULT: usize = 32 * 1024;
/// Ceiling on a request or response head: field positions are kept in 16 bits.
pub const HEAD_BYTES_MAX: usize = 60 * 1024;
/// Default bound on the fields of one head.
pub const HEADERS_DEFAULT: usize = 100;
/// Ceiling on the fields of one head: the size of a shard's field table.
pub const HEADERS_MAX: usize = 256;
/// Default bound on a request target; RFC 9112 §3 asks for at least 8,000 octets.
pub const TARGET_BYTES_DEFAULT: usize = 8 * 1024;
/// Longest method token that is accepted.
pub const METHOD_BYTES_MAX: usize = 32;
/// Longest field name that is accepted.
pub const FIELD_NAME_BYTES_MAX: usize = 256;
/// Options of the `Connection` fields of one head.
pub const CONNECTION_OPTIONS_MAX: usize = 32;
/// Largest part of a body that is awaited before the request goes to the API, so that small bodies sent in a second
/// segment need no pump.
pub const GATHERED_BYTES_MAX: u64 = 8 * 1024;
/// Ticks for which it is awaited.
pub const GATHER_TICKS: u32 = 2;
/// Empty lines that are skipped in front of a request line (RFC 9112 §2.2).
pub const EMPTY_LINES_MAX: usize = 1;
/// Interim (1xx) responses relayed in one exchange, so that an API cannot keep one alive for ever.
pub const INTERIM_RESPONSES_MAX: usize = 16;

// --- TLS -----------------------------------------------------------------------------------------

/// Largest file of certificates or of a key: the roots of a whole system are a quarter of it.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most certificates of one listener.
pub const CERTIFICATES_MAX: usize = 1_000;
/// Most pins of one target.
pub const PINS_MAX: usize = 64;
/// Days before a certificate expires from which on the operator is told.
pub const EXPIRY_NOTICE_DAYS: i64 = 30;
/// Servers whose sessions are remembered for one target: it has one name, and the table is made at once.
pub const TLS_SESSIONS_MAX: usize = 32;

// --- bodies ------------------------------------------------------------------------------------

/// Hex digits of a chunk size: 16 hold any 64-bit length.
pub const CHUNK_SIZE_DIGITS_MAX: usize = 16;
/// Bytes of chunk extensions in one chunk-size line.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 256;
/// Bytes of chunk-size lines and extensions that one body may spend beyond its data and 20 bytes a chunk.
pub const CHUNK_OVERHEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a trailer section.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Fields of a trailer section.
pub const TRAILERS_MAX: usize = 32;

// --- buffers -----------------------------------------------------------------------------------

/// The small class: a request head and a small body.
pub const BUFFER_SMALL_BYTES: usize = 4 * 1024;
/// The medium class: a response of ordinary size.
pub const BUFFER_MEDIUM_BYTES: usize = 16 * 1024;
/// The large class: streams, and heads near the ceiling.
pub const BUFFER_LARGE_BYTES: usize = 128 * 1024;
/// Room in front of what is read, so that a rewritten head fits before the body without moving it.
pub const BUFFER_HEADROOM_BYTES: usize = 1024;
/// Room behind what is read, for the end of a chunk and the last chunk.
pub const BUFFER_TAILROOM_BYTES: usize = 16;
/// Free buffers of the small class that a shard keeps.
pub const BUFFERS_SMALL_KEPT: usize = 1024;
/// Free buffers of the medium class that a shard keeps.
pub const BUFFERS_MEDIUM_KEPT: usize = 256;
/// Free buffers of the large class that a shard keeps, and streams that have such a one at a time.
pub const BUFFERS_LARGE_KEPT: usize = 64;

// --- time --------------------------------------------------------------------------------------

/// The most that a TLS handshake may take, however long a head may.
pub const HANDSHAKE_MILLIS_MAX: u64 = 15_000;
/// How long it holds that authorities stand behind a client certificate, before their signatures are checked again.
pub const CLIENT_CHECK_MILLIS: i64 = 60_000;
/// Steps of TLS handshakes that a shard takes before it looks after everybody else.
pub const HANDSHAKES_PER_TURN_MAX: usize = 2;
/// Length of a tick, the resolution of every deadline.
pub const TICK_MILLIS: u64 = 100;
/// Deadlines of one tick that a shard looks after before everybody else: each may end a connection with an answer.
pub const EXPIRED_PER_TURN_MAX: usize = 32;
/// Ticks after which a connection that waits for a request gives its buffer back.
pub const IDLE_BUFFER_TICKS: u32 = 5;
/// The same when many wait: what lies idle in buffers is bounded by the callers of about a tenth of a second.
pub const IDLE_BUFFER_TICKS_CROWDED: u32 = 1;
/// Connections waiting with a buffer from which on a shard is crowded.
pub const WAITING_CROWD: usize = 128;
/// Ticks between two looks whether a caller still waits for its answer.
pub const LOOK_TICKS: u32 = 10;
/// Ticks for which an answer is still awaited for a caller that has ended its own side.
pub const HALF_CLOSED_TICKS: u32 = 50;
/// How long a kept connection may still bring a request when the gateway drains; its answer says that it is the last.
pub const DRAIN_GRACE_MILLIS: u64 = 1_000;
/// How long a connection whose end was announced is read, so that the answer is not lost to a reset.
pub const LINGER_MILLIS: u64 = 2_000;
/// Tunnels that are asked in one turn of a shard whether their keys still count: a look-up each, a few milliseconds.
pub const TUNNELS_REVIEWED_MAX: usize = 4096;
/// Bytes that are read and thrown away in that time.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;

// --- connections -------------------------------------------------------------------------------

/// Entries of a ring's submission queue; monoio cannot cope with a full one.
pub const RING_ENTRIES: u32 = 4096;
/// Idle connections to one target that a shard keeps by default.
pub const IDLE_CONNECTIONS_DEFAULT: usize = 512;
/// Requests that one connection may have answered without input or output in between.
pub const REQUESTS_PER_TURN_MAX: usize = 64;
/// Bytes of bodies and tunnels that a shard carries before it looks after everybody else: with TLS on both sides a
/// tenth of a millisecond. A fast sender and a fast receiver would otherwise never let go of the shard on epoll, and
/// hundreds of them make whoever asks something small wait for all on either driver.
pub const BULK_BYTES_PER_TURN: usize = 256 * 1024;
/// What a smaller piece counts as.
pub const BULK_PIECE_BYTES_MIN: usize = 4 * 1024;
/// Callers over the bound on connections that are told so at a time; the rest is closed without a word.
pub const REFUSALS_MAX: usize = 64;
/// Networks that one listener takes PROXY headers, or a caller's address, from: each is looked at in turn.
pub const LISTENER_PEERS_MAX: usize = 64;
/// Length of a PROXY header of version 1, with its end of line (PROXY protocol §2.1).
pub const PROXY_V1_BYTES_MAX: usize = 107;
/// Length of a PROXY header of version 2 that is accepted: addresses, and what load balancers add to them.
pub const PROXY_V2_BYTES_MAX: usize = 2 * 1024;
/// Counts of connections by address, 4 bytes each, made only where there is a bound on them. Two addresses that share
/// one are counted together: with 10,000 connected addresses one in 26 does.
pub const ADDRESS_COUNTS: usize = 256 * 1024;
/// Bytes that the kernel takes for a caller beyond what it may send at once (`TCP_NOTSENT_LOWAT`, tcp(7)): two pieces of
/// a stream.
pub const UNSENT_BYTES_MAX: u32 = 128 * 1024;
/// Backlog of a listening socket.
pub const LISTEN_BACKLOG: i32 = 4096;
/// Old tables that wait for a moment in which nobody else needs the processor.
pub const GARBAGE_KEPT_MAX: usize = 4;
/// Credentials that a caller must present together.
pub const BRANCH_MEMBERS_MAX: usize = 4;
/// Ways into one proxy.
pub const BRANCHES_MAX: usize = 1_000;
/// Ways into one proxy of which it is told why they were not taken.
pub const BRANCHES_TOLD_MAX: usize = 4;
/// What one request may prove in all: more, and the rest does not count.
pub const PROOFS_MAX: usize = 16;
/// Names of one client certificate.
pub const CLIENT_NAMES_MAX: usize = 64;
/// Sets of authorities that are remembered to stand behind one client certificate.
pub const CLIENT_AUTHORITIES_KEPT_MAX: usize = 8;
/// Shards at most.
pub const SHARDS_MAX: usize = 256;
/// Addresses of one target that are kept.
pub const ADDRESSES_MAX: usize = 16;

// --- telemetry ---------------------------------------------------------------------------------

/// Series that requests are counted under. One in use takes some 7 KiB on each shard.
pub const SERIES_MAX: usize = 16 * 1024;
/// Of these, how many may be given to pairs of proxy and credential; the rest is kept for proxies.
pub const SERIES_PAIRS_MAX: usize = 12 * 1024;
/// Series that a shard's table takes in one piece of memory.
pub const SERIES_CHUNK: usize = 64;
/// Series that have labels of their own in `/metrics`; the others are added up, so that whoever stores the metrics is
/// not flooded.
pub const METRICS_SERIES_MAX: usize = 1_000;
/// Keys whose last use is kept; a key with a higher number has none.
pub const KEYS_USED_MAX: usize = 16 * 1024 * 1024;
/// Keys that the table of last uses takes in one piece of memory.
pub const KEYS_USED_CHUNK: usize = 4096;
/// Default bound on lines of the access log that wait at a shard: at 100,000 requests a second, for 80 ms.
pub const LOG_ENTRIES_DEFAULT: usize = 8 * 1024;
/// Least bound on them.
pub const LOG_ENTRIES_MIN: usize = 16;
/// Ceiling on them: an entry takes some 400 bytes, on each shard.
pub const LOG_ENTRIES_MAX: usize = 1024 * 1024;
/// Bytes of a path that the access log shows.
pub const LOG_PATH_BYTES_MAX: usize = 256;
/// Unused entries that a shard keeps for requests to come.
pub const LOG_DRAFTS_KEPT: usize = 256;

// --- admin listener ----------------------------------------------------------------------------

/// Size of an answer of the admin listener that the command line takes: `/telemetry` of the largest gateway is smaller.
pub const ADMIN_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

// --- configuration -----------------------------------------------------------------------------

/// Size of one configuration file.
pub const CONFIG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Size of one file of keys.
pub const KEY_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Size of one line in a file of keys.
pub const KEY_LINE_BYTES_MAX: usize = 64 * 1024;
/// Files that one include directory or one pattern may name.
pub const FILES_MAX: usize = 10_000;
/// Keys that a reload may always take away, whatever their share: fewer are looked through by eye.
pub const SHRINK_KEYS_MIN: usize = 100;
/// Proxies that a reload may always take away.
pub const SHRINK_PROXIES_MIN: usize = 10;
/// Size of one secret.
pub const SECRET_BYTES_MAX: usize = 16 * 1024;
/// Size of the key that `hash` reads.
pub const KEY_BYTES_MAX: usize = 4 * 1024;
/// Length of a name of an object, and of an alias.
pub const NAME_BYTES_MAX: usize = 128;

// --- rules -------------------------------------------------------------------------------------

/// Rules of one proxy, target or credential.
pub const RULES_MAX: usize = 10_000;
/// Of those, rules whose path must not be there: each of them is looked at for every request.
pub const RULES_PATH_ABSENT_MAX: usize = 256;
/// Header or query checks of one rule, each; every one of them is held against every field.
pub const RULE_CHECKS_MAX: usize = 16;
/// Methods, addresses or scopes of one rule, each.
pub const RULE_MEMBERS_MAX: usize = 1_000;
/// Highest priority of a rule.
pub const RULE_PRIORITY_MAX: usize = 1_000;
/// Length of the notes of a rule.
pub const RULE_NOTES_BYTES_MAX: usize = 1_024;
/// Length of one pattern.
pub const PATTERN_BYTES_MAX: usize = 4 * 1024;
/// Nested groups of one pattern.
pub const PATTERN_NESTING_MAX: u32 = 64;
/// Size of one pattern as a list of states: what a repetition such as `(a{1000}){1000}` runs into.
pub const PATTERN_STATES_BYTES_MAX: usize = 512 * 1024;
/// Size of all patterns of one proxy, target or credential as lists of states. A lazy automaton of paths passes over
/// all of its list for each byte whose outcome it does not remember.
pub const RULES_STATES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Size of the automaton of all path patterns of one proxy, target or credential; a larger one is lazy.
pub const AUTOMATON_PATHS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Size of the automaton of one header or query pattern; a larger one is lazy.
pub const AUTOMATON_FIELD_BYTES_MAX: usize = 256 * 1024;
/// Bytes of automata that are built in one compilation, each failed attempt counted as if it had succeeded; what
/// comes after is lazy. It bounds the time that a reload takes to about three seconds of one core.
pub const AUTOMATA_BUILT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What a lazy automaton remembers on one shard.
pub const LAZY_CACHE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What a lazy automaton may add to that for one text, at some 0.4 s a MiB. A text that asks for more, which takes
/// both unusual patterns and a hostile or very long text, is not followed to its end and the request is denied.
pub const LAZY_WORK_BYTES_MAX: usize = 256 * 1024;
/// Lazy automata of which a shard remembers something; the one that was not used for longest is forgotten.
pub const LAZY_CACHES_MAX: usize = 32;
/// `[[assert]]` tables.
pub const ASSERTS_MAX: usize = 10_000;

const _: () = {
    assert!(PATTERN_STATES_BYTES_MAX < RULES_STATES_BYTES_MAX);
    assert!(AUTOMATON_PATHS_BYTES_MAX < AUTOMATA_BUILT_BYTES_MAX);
    assert!(HEAD_BYTES_DEFAULT <= HEAD_BYTES_MAX);
    assert!(HEAD_BYTES_MAX < u16::MAX as usize);
    assert!(HEADERS_DEFAULT <= HEADERS_MAX);
    assert!(HEAD_BYTES_MAX + BUFFER_HEADROOM_BYTES + BUFFER_TAILROOM_BYTES < BUFFER_LARGE_BYTES);
    assert!(BUFFER_HEADROOM_BYTES + BUFFER_TAILROOM_BYTES < BUFFER_SMALL_BYTES / 2);
    assert!(BUFFER_SMALL_BYTES < BUFFER_MEDIUM_BYTES && BUFFER_MEDIUM_BYTES < BUFFER_LARGE_BYTES);
    assert!(
        PROXY_V2_BYTES_MAX + BUFFER_HEADROOM_BYTES + BUFFER_TAILROOM_BYTES < BUFFER_SMALL_BYTES,
        "a header fits the buffer that it is received in"
    );
    assert!(ADDRESS_COUNTS.is_power_of_two());
    assert!(TARGET_BYTES_DEFAULT < HEAD_BYTES_DEFAULT);
    assert!(SERIES_PAIRS_MAX < SERIES_MAX && SERIES_MAX.is_multiple_of(SERIES_CHUNK));
    assert!(METRICS_SERIES_MAX <= SERIES_MAX && KEYS_USED_MAX.is_multiple_of(KEYS_USED_CHUNK));
    assert!(LOG_ENTRIES_MIN <= LOG_ENTRIES_DEFAULT && LOG_ENTRIES_DEFAULT <= LOG_ENTRIES_MAX);
};
