//! The guide: what its pages say about behavior, and the code that they show.

mod layers;

use std::{fs, path::Path};

use tower_auth_test_support::{
    ROOT,
    api::{Api, Issuer, Reply, greet, staff},
};

/// Returns the code blocks of a page.
fn code_blocks(page: &str) -> Vec<String> {
    let page = format!("src/guide/{page}.md");
    let text = fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
    let blocks = text.split("\n```rust\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}
