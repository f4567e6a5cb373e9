//! The command `sendoff`.
fn main() {}
