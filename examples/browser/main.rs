//! A web page that keeps its token in a cookie.

fn main() {}
