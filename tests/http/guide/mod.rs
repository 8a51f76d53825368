//! The guide: what its pages say about behavior, and the code that they show.

mod errors;
mod layers;
mod policies;

use std::{fs, path::Path};

use tower_auth_test_support::{
    ROOT,
    api::{Api, Issuer, Reply, greet, staff},
};

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(format!("src/guide/{name}.md"))).unwrap()
}

/// Returns the code blocks of a page.
fn code_blocks(name: &str) -> Vec<String> {
    let page = page(name);
    let blocks = page.split("\n```rust\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}
