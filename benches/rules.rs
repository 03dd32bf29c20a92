//! What rules cost: placeholder for the build.
fn main() {}
