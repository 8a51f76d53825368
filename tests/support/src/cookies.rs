//! A model of the `Cookie` header, written differently from the parser.

/// The pairs of `Cookie` lines, as a reader of one cookie should see them.
#[derive(Debug)]
pub struct CookieModel<'h> {
    /// The values of all pairs with the name.
    pub values: Vec<&'h [u8]>,
    /// The other pairs, in order.
    pub others: Vec<&'h [u8]>,
}

impl<'h> CookieModel<'h> {
    pub fn new(lines: impl IntoIterator<Item = &'h [u8]>, name: &str) -> Self {
        let pairs = lines.into_iter().flat_map(|line| line.split(|byte| *byte == b';'));
        let mut model = Self { values: Vec::new(), others: Vec::new() };
        for pair in pairs.map(trim).filter(|pair| !pair.is_empty()) {
            match pair.iter().position(|byte| *byte == b'=') {
                Some(at) if &pair[..at] == name.as_bytes() => {
                    model.values.push(trim(&pair[at + 1..]));
                }
                _ => model.others.push(pair),
            }
        }
        model
    }
}

fn trim(text: &[u8]) -> &[u8] {
    let is_kept = |byte: &u8| *byte != b' ' && *byte != b'\t';
    match (text.iter().position(is_kept), text.iter().rposition(is_kept)) {
        (Some(start), Some(end)) => &text[start..=end],
        _ => &[],
    }
}
