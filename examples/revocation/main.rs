//! Logout on one server, effective on all servers that share a store.
fn main() {}
