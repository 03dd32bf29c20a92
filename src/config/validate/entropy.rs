//! How many bits of chance a caller's key may plausibly hold: an estimate for a warning, never for a decision.

/// Below this a key could be searched for.
pub(super) const BITS_MIN: f64 = 128.0;
/// Neighbours that rise, fall or repeat in step from which a run counts as one character; shorter runs are common by chance.
const RUN_MIN: usize = 4;
/// Bytes that are looked at; a key of this length is long enough whatever stands in it.
const BYTES_MAX: usize = 256;

/// Length times the logarithm of the alphabet, with separators, runs and repeated parts counted out.
pub(in crate::config) fn bits(key: &[u8]) -> f64 {
    let key: Vec<u8> = key.iter().copied().take(BYTES_MAX).filter(|byte| !b"-_. ".contains(byte)).collect();
    let once = &key[..period(&key)];
    let size = alphabet(once);
    if size < 2 {
        return 0.0;
    }
    without_runs(once) as f64 * f64::from(size).log2()
}

/// Size of the smallest usual alphabet that holds all of the bytes.
fn alphabet(key: &[u8]) -> u32 {
    let has = |class: fn(&u8) -> bool| key.iter().any(class);
    let (lower, upper, digit) =
        (has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase), has(u8::is_ascii_digit));
    let hexadecimal = key.iter().all(u8::is_ascii_hexdigit) && !(lower && upper);
    if hexadecimal && (lower || upper) {
        return 16;
    }
    let other = has(|byte| !byte.is_ascii_alphanumeric());
    26 * u32::from(lower) + 26 * u32::from(upper) + 10 * u32::from(digit) + 32 * u32::from(other)
}

/// Length of the part that, repeated, makes up the whole.
fn period(key: &[u8]) -> usize {
    let repeats =
        |length: &usize| key.iter().zip(key.iter().skip(*length)).all(|(left, right)| left == right);
    (1..key.len()).find(repeats).unwrap_or(key.len())
}

/// Characters, each run (`aaaa`, `1234`, `dcba`) counted once.
fn without_runs(key: &[u8]) -> usize {
    let step = |at: usize| key[at].wrapping_sub(key[at - 1]);
    let (mut count, mut start) = (key.len(), 0);
    for at in 1..=key.len() {
        let in_step = at < key.len()
            && matches!(step(at), 0 | 1 | 255)
            && (at == start + 1 || step(at) == step(start + 1));
        if in_step {
            continue;
        }
        let length = at - start;
        if length >= RUN_MIN {
            count -= length - 1;
        }
        // The last character of a broken run may begin the next.
        start = if length > 1 && length < RUN_MIN { at - 1 } else { at };
        if at < key.len() && start == at - 1 && !matches!(step(at), 0 | 1 | 255) {
            start = at;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::{BITS_MIN, bits};

    #[test]
    fn random_keys_pass() {
        for key in [
            "70742f82518e2f4c44a28241e85eac9a",
            "0c6f43d8-5b1e-4f59-9d8a-3d2a4f0cbe71",
            "kf_live_2vK0qWZ8yD5TgR1uXbHcN9sJ4aEoM7iLpF3",
            "Zm9vYmFyIHRoZSBxdWljayBicm93",
        ] {
            assert!(bits(key.as_bytes()) >= BITS_MIN, "{key} {}", bits(key.as_bytes()));
        }
    }

    #[test]
    fn weak_keys_do_not() {
        let long_run = "a".repeat(200);
        let repeated = "secret".repeat(30);
        for key in [
            "",
            "a",
            "test",
            "hunter2",
            "acme_live_7Q2mZr9xW4",
            &long_run,
            &repeated,
            "abcdefghijklmnopqrstuvwxyz0123456789",
        ] {
            assert!(bits(key.as_bytes()) < BITS_MIN, "{key} {}", bits(key.as_bytes()));
        }
    }
}
