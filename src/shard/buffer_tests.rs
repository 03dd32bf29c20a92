//! Tests of `buffer.rs`.

use super::{Buffer, Class};
use crate::limits::{BUFFER_HEADROOM_BYTES, BUFFER_SMALL_BYTES, BUFFER_TAILROOM_BYTES, BUFFERS_LARGE_KEPT};

fn filled(class: Class, bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::take(class);
    assert!(buffer.append(bytes));
    buffer
}

#[test]
fn a_buffer_that_comes_back_shows_nothing_of_its_past() {
    drop(filled(Class::Small, b"somebody's secret"));
    assert!(Buffer::take(Class::Small).is_empty());
}

#[test]
fn a_head_goes_in_front_without_moving_the_body() {
    let mut buffer = filled(Class::Small, b"old head body");
    buffer.consume(9);
    let buffer = buffer.with_head(b"a new and longer head ").expect("the headroom holds it");
    assert_eq!(buffer.filled(), b"a new and longer head body");
}

#[test]
fn a_head_beyond_the_headroom_moves_to_a_larger_buffer() {
    let head = vec![b'h'; BUFFER_HEADROOM_BYTES + 1];
    let buffer = filled(Class::Small, b"body").with_head(&head).expect("a medium buffer holds it");
    assert_eq!(buffer.len(), head.len() + 4);
    assert!(buffer.filled().ends_with(b"hbody"));
}

#[test]
fn what_follows_a_message_moves_out() {
    let mut buffer = filled(Class::Small, b"one|two");
    assert_eq!(buffer.split_off(4).expect("three bytes are left").filled(), b"two");
    assert_eq!(buffer.filled(), b"one|");
    assert!(buffer.split_off(4).is_none());
}

#[test]
fn a_full_buffer_moves_down_then_grows() {
    let full = BUFFER_SMALL_BYTES - BUFFER_HEADROOM_BYTES - BUFFER_TAILROOM_BYTES;
    let mut buffer = filled(Class::Small, &vec![b'x'; full]);
    assert_eq!(buffer.room(), 0);
    buffer.consume(10);
    let buffer = buffer.with_room();
    assert_eq!((buffer.class(), buffer.room(), buffer.len()), (Class::Small, 10, full - 10));
    let mut buffer = buffer;
    assert!(buffer.append(&[b'y'; 10]));
    let buffer = buffer.with_room();
    assert_eq!((buffer.class(), buffer.len()), (Class::Medium, full));
    assert!(buffer.filled().ends_with(b"xyyyyyyyyyy"));
}

#[test]
fn the_tailroom_is_there_for_the_end_of_a_chunk() {
    let full = BUFFER_SMALL_BYTES - BUFFER_HEADROOM_BYTES - BUFFER_TAILROOM_BYTES;
    let mut buffer = filled(Class::Small, &vec![b'x'; full]);
    assert!(buffer.append(&[b'\n'; BUFFER_TAILROOM_BYTES]));
    assert!(!buffer.append(b"x"));
}

#[test]
fn only_so_many_streams_have_large_buffers() {
    let mut held: Vec<Buffer> = (0..BUFFERS_LARGE_KEPT).map(|_| Buffer::take(Class::for_stream())).collect();
    assert!(held.iter().all(|buffer| buffer.class() == Class::Large));
    assert_eq!(Class::for_stream(), Class::Medium, "they are all in use");
    let mut one_more = Buffer::take(Class::Large); // a head near the ceiling gets what it needs
    one_more.clear_for_stream();
    assert_eq!(one_more.class(), Class::Medium, "a stream that has one gives it up");
    held[0].clear_for_stream();
    assert_eq!(held[0].class(), Class::Large, "there are no more than there may be");
    drop(held);
    assert_eq!(Class::for_stream(), Class::Large);
}
