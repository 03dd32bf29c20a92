//! The codecs: bytes to heads and bodies, and back.
//!
//! Pure: no sockets, no clock, no allocation, no `unsafe`, and no panic on any input. `http` is what all
//! versions share, `h1` reads and writes HTTP/1.1, `proxy_protocol` reads what may stand in front. The shards drive it;
//! `policy` uses the vocabulary of `http`.

mod crc32c;
pub mod h1;
pub mod http;
pub mod proxy_protocol;
