//! A strict JSON reader that shares no code with the crate or with serde_json.

/// A JSON value. The names of an object are different.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool,
    Number { value: f64, is_negative: bool },
    Text(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    /// Reads one value, with white space around it (RFC 8259). Returns `None` for anything else,
    /// for an object with two equal names, and for a number that does not fit into a double.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut reader = Reader(text);
        let value = reader.value()?;
        reader.0.is_empty().then_some(value)
    }

    /// Returns the member of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }
}

/// The rest of the text.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn take(&mut self, prefix: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(prefix)?;
        Some(())
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn value(&mut self) -> Option<Json> {
        self.skip_space();
        let value = match self.0.chars().next()? {
            'n' => self.take("null").map(|()| Json::Null)?,
            't' => self.take("true").map(|()| Json::Bool)?,
            'f' => self.take("false").map(|()| Json::Bool)?,
            '"' => Json::Text(self.text()?),
            '[' => Json::Array(self.items(']', Self::value)?),
            '{' => {
                let members = self.items('}', |reader| {
                    reader.skip_space();
                    let name = reader.text()?;
                    reader.skip_space();
                    reader.take(":")?;
                    Some((name, reader.value()?))
                })?;
                let has_twice = |(at, (name, _)): (usize, &(String, Json))| {
                    members[..at].iter().any(|(other, _)| other == name)
                };
                if members.iter().enumerate().any(has_twice) {
                    return None;
                }
                Json::Object(members)
            }
            _ => self.number()?,
        };
        self.skip_space();
        Some(value)
    }

    fn items<T>(
        &mut self,
        end: char,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.0 = &self.0[1..];
        self.skip_space();
        let mut items = Vec::new();
        if self.0.starts_with(end) {
            self.0 = &self.0[1..];
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            match self.0.chars().next()? {
                ',' => self.0 = &self.0[1..],
                other if other == end => {
                    self.0 = &self.0[1..];
                    return Some(items);
                }
                _ => return None,
            }
        }
    }

    fn text(&mut self) -> Option<String> {
        self.take("\"")?;
        let mut text = String::new();
        loop {
            let character = self.0.chars().next()?;
            self.0 = &self.0[character.len_utf8()..];
            match character {
                '"' => return Some(text),
                '\0'..='\u{1f}' => return None,
                '\\' => {
                    let escape = self.0.chars().next()?;
                    self.0 = &self.0[escape.len_utf8()..];
                    text.push(match escape {
                        '"' | '\\' | '/' => escape,
                        'b' => '\u{8}',
                        'f' => '\u{c}',
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'u' => self.escaped_character()?,
                        _ => return None,
                    });
                }
                _ => text.push(character),
            }
        }
    }

    fn escaped_character(&mut self) -> Option<char> {
        let first = self.hex_digits()?;
        if let Some(character) = char::from_u32(first) {
            return Some(character);
        }
        self.take("\\u")?;
        let second = self.hex_digits()?;
        let is_pair = (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&second);
        is_pair.then(|| char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)))?
    }

    fn hex_digits(&mut self) -> Option<u32> {
        let digits = self.0.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = u32::from_str_radix(digits?, 16).ok();
        self.0 = &self.0[4..];
        code
    }

    fn number(&mut self) -> Option<Json> {
        let all = self.0;
        let is_negative = self.take("-").is_some();
        let zero_first = self.0.starts_with('0');
        let whole = self.digits()?;
        if zero_first && whole > 1 {
            return None;
        }
        if self.take(".").is_some() {
            self.digits()?;
        }
        if self.take("e").or_else(|| self.take("E")).is_some() {
            let _sign = self.take("+").or_else(|| self.take("-"));
            self.digits()?;
        }
        let value: f64 = all[..all.len() - self.0.len()].parse().ok()?;
        value.is_finite().then_some(Json::Number { value, is_negative })
    }

    /// Skips one or more digits, and returns their number.
    fn digits(&mut self) -> Option<usize> {
        let rest = self.0.trim_start_matches(|character: char| character.is_ascii_digit());
        let count = self.0.len() - rest.len();
        self.0 = rest;
        (count > 0).then_some(count)
    }
}
