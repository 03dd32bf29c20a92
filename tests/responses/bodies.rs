//! RFC 9112 §6.3, §7 and §8: bodies that are whole, bodies that are cut, and trailers.

use super::table::{broken, cut, passed, run};
use crate::{
    both_drivers,
    common::{Framing, tls},
};

both_drivers!(until_the_close, until_an_unsaid_close, cut_ones, to_http_1_0, trailers);

fn until_the_close(driver: &str) {
    let section = "RFC 9112 §6.3";
    run(
        driver,
        &[
            passed("becomes chunked", section, 200, "hello", b"HTTP/1.1 200 OK\r\n\r\nhello")
                .closes()
                .framed(Framing::Chunked),
            passed("of HTTP/1.0 becomes chunked", section, 200, "hello", b"HTTP/1.0 200 OK\r\n\r\nhello")
                .closes()
                .framed(Framing::Chunked),
            passed("announced", section, 200, "hello", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
                .closes()
                .framed(Framing::Chunked),
            passed("an empty one", section, 200, "", b"HTTP/1.1 200 OK\r\n\r\n").closes(),
            passed(
                "that looks like an answer",
                section,
                200,
                "HTTP/1.1 200 OK\r\n\r\n",
                b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            )
            .closes(),
            broken("torn down", "RFC 9112 §8", b"HTTP/1.1 200 OK\r\n\r\nhello").resets(),
        ],
    );
}

/// RFC 9112 §9.8: with TLS whoever sits in between can end the connection, but not say that it is the end.
/// Without TLS there is no such word, and any close is as good as another.
fn until_an_unsaid_close(driver: &str) {
    let section = "RFC 9112 §9.8";
    let until_close = |name, body, bytes: &[u8]| match tls::is_on() {
        true => broken(name, section, bytes).ends_silently(),
        false => passed(name, section, 200, body, bytes).ends_silently(),
    };
    let line = "GET /crm/x HTTP/1.0";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    run(
        driver,
        &[
            until_close("is no end", "hello", b"HTTP/1.1 200 OK\r\n\r\nhello"),
            until_close("before its first byte", "", b"HTTP/1.1 200 OK\r\n\r\n"),
            until_close("announced", "hello", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"),
            until_close("to HTTP/1.0", "hello", b"HTTP/1.1 200 OK\r\n\r\nhello").to(line),
            passed(
                "of a length",
                section,
                200,
                "hello",
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            )
            .ends_silently(),
            passed("of nothing", section, 204, "", b"HTTP/1.1 204 No Content\r\n\r\n").ends_silently(),
            passed("of chunks", section, 200, "hello", chunked).ends_silently(),
            cut("short of a length", section, "hello", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello")
                .ends_silently(),
            cut("short of the last chunk", section, "hello", &chunked[..chunked.len() - 5]).ends_silently(),
        ],
    );
}

/// RFC 9112 §8: what is cut must be seen to be cut.
fn cut_ones(driver: &str) {
    let section = "RFC 9112 §8";
    let chunked =
        |body: &[u8]| [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(), body].concat();
    let fixed = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello";
    run(
        driver,
        &[
            cut("a fixed length", section, "hello", fixed).closes(),
            cut(
                "a fixed length, before its first byte",
                section,
                "",
                b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
            )
            .closes(),
            cut(
                "a fixed length, one byte short",
                section,
                "hell",
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            )
            .closes(),
            broken("a fixed length, torn down", section, fixed).resets(),
            cut("chunks without a last one", section, "hello", &chunked(b"5\r\nhello\r\n")).closes(),
            cut("inside a chunk", section, "hel", &chunked(b"5\r\nhel")).closes(),
            cut("inside a size", section, "hello", &chunked(b"5\r\nhello\r\n5")).closes(),
            cut("behind the last size", section, "hello", &chunked(b"5\r\nhello\r\n0\r\n")).closes(),
            cut("inside the trailers", section, "hello", &chunked(b"5\r\nhello\r\n0\r\nX-A: b\r\n")).closes(),
            cut("before the first chunk", section, "", &chunked(b"")).closes(),
            broken("chunks, torn down", section, &chunked(b"5\r\nhello\r\n")).resets(),
        ],
    );
}

/// A caller of HTTP/1.0 knows no chunks: it gets the plain bytes, and the close is their end.
fn to_http_1_0(driver: &str) {
    let kept = "GET /crm/x HTTP/1.0\r\nConnection: keep-alive";
    let section = "RFC 9112 §6.1";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                    5\r\nhello\r\n6\r\n, you!\r\n0\r\nX-A: b\r\n\r\n";
    let line = "GET /crm/x HTTP/1.0";
    run(
        driver,
        &[
            passed("chunks", section, 200, "hello, you!", chunked).to(line).framed(Framing::UntilClose),
            passed("until the close", section, 200, "hello", b"HTTP/1.1 200 OK\r\n\r\nhello")
                .closes()
                .to(line)
                .framed(Framing::UntilClose),
            passed(
                "a fixed length",
                section,
                200,
                "hello",
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            )
            .to(line)
            .framed(Framing::Fixed(5)),
            passed("chunks, although kept alive", section, 200, "hello, you!", chunked)
                .to(kept)
                .framed(Framing::UntilClose),
            passed(
                "until the close, although kept alive",
                section,
                200,
                "hello",
                b"HTTP/1.1 200 OK\r\n\r\nhello",
            )
            .closes()
            .to(kept)
            .framed(Framing::UntilClose),
            passed("nothing, kept alive", section, 204, "", b"HTTP/1.1 204 No Content\r\n\r\n")
                .to(kept)
                .has(&["keep-alive"]),
            cut(
                "a fixed length that is cut",
                "RFC 9112 §8",
                "hello",
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            )
            .closes()
            .to(line),
            broken(
                "chunks that are cut",
                "RFC 9112 §8",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            )
            .closes()
            .to(line),
        ],
    );
}

fn trailers(driver: &str) {
    let section = "RFC 9110 §6.5";
    let chunked = |trailers: &[u8]| {
        [
            b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
            trailers,
            b"\r\n",
        ]
        .concat()
    };
    run(
        driver,
        &[
            passed("are forwarded", section, 200, "hello", &chunked(b"X-Sum: 5d41\r\ngrpc-status: 0\r\n"))
                .has(&["(\"X-Sum\", \"5d41\")", "(\"grpc-status\", \"0\")"])
                .framed(Framing::Chunked),
            passed(
                "that would change the framing are not",
                "RFC 9110 §6.5.1",
                200,
                "hello",
                &chunked(b"Content-Length: 9\r\nTransfer-Encoding: gzip\r\nX-Sum: 1\r\n"),
            )
            .has(&["(\"X-Sum\", \"1\")"])
            .lacks(&["content-length", "gzip"]),
        ],
    );
}
