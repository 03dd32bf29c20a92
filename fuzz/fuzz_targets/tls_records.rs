//! Entry point; what is checked stands in `src/shard/tls/fuzz.rs`, because it reaches what is private.
#![no_main]

use keyferry::shard::fuzz::{Identity, introduce, records};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    introduce(|| {
        let made = rcgen::generate_simple_self_signed(vec!["api.example".to_owned()]).expect("a certificate");
        Identity { certificate: made.cert.der().to_vec(), key: made.signing_key.serialize_der() }
    });
    records(bytes);
});
