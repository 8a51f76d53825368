//! Removes a subject from log files, in place.
//!
//! A text is overwritten with spaces, so no line changes its length or its place. Other processes
//! can append to their files meanwhile, a crash leaves each line in its old or new form, no second
//! copy of the file is needed, and no old copy remains.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
    path::Path,
    thread,
    time::Duration,
};

use super::{directory::files, identity::SubjectForms, line::MAX_LINE};

/// The members that name the user or the service that an event is about.
const NAMES: [&[u8]; 3] = [b"subject", b"actor", b"client_id"];
/// The members that also belong to the user if one of [`NAMES`] is the user.
const BELONGINGS: [&[u8]; 5] = [b"session", b"key", b"address", b"path", b"reason"];
/// The members that can contain the name of any user.
const FREE_TEXTS: [&[u8]; 3] = [b"policy", b"path", b"reason"];

/// A write is complete after this time.
const WRITE_TIME: Duration = Duration::from_millis(100);

/// Removes the subject from all files of a directory. Returns the number of changed lines.
///
/// All files are tried, and the last error is returned.
pub(super) fn forget(directory: &Path, forms: &SubjectForms) -> io::Result<u64> {
    let mut changed = 0;
    let mut result = Ok(());
    for (path, _) in files(directory)? {
        match forget_in_file(&path, forms, || thread::sleep(WRITE_TIME)) {
            Ok(count) => changed += count,
            // The retention has removed it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => result = Err(error),
        }
    }
    result.map(|()| changed)
}

/// `wait` is called if the last line has no end.
fn forget_in_file(path: &Path, forms: &SubjectForms, wait: impl Fn()) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(4 * MAX_LINE, File::open(path)?);
    let mut writer = None;
    let (mut line, mut offset, mut changed) = (Vec::with_capacity(MAX_LINE), 0, 0);
    loop {
        line.clear();
        // This crate writes no longer lines.
        let length = (&mut reader).take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        let end = offset + length as u64;
        // A crash has cut this line, or a thread or another process is writing it. What is still
        // being written must not be taken for a part of another name.
        if line.last() != Some(&b'\n') && length < MAX_LINE {
            if reader.get_ref().metadata()?.len() == end {
                wait();
            }
            if reader.get_ref().metadata()?.len() > end {
                reader.seek(SeekFrom::Start(offset))?;
                continue;
            }
        }
        if forget_in_line(&mut line, forms) {
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(OpenOptions::new().write(true).open(path)?),
            };
            writer.seek(SeekFrom::Start(offset))?;
            writer.write_all(&line)?;
            changed += 1;
        }
        offset = end;
    }
    if let Some(writer) = writer {
        writer.sync_data()?;
    }
    Ok(changed)
}

/// Removes the subject from a line. Returns whether it was changed.
fn forget_in_line(line: &mut [u8], forms: &SubjectForms) -> bool {
    if !may_contain(line, forms) {
        return false;
    }
    let members: Vec<_> = Members { line, position: 0 }.collect();
    let is = |member: &Member, names: &[&[u8]]| {
        line.get(member.name.clone()).is_some_and(|name| names.contains(&name))
    };
    let text = |member: &Member| line.get(member.text.clone()).unwrap_or_default();
    let names_subject = |member: &Member| {
        // A text that a crash has cut could be the subject.
        let is_subject = |form: &Vec<u8>| match member.is_complete {
            true => text(member) == form,
            false => form.starts_with(text(member)),
        };
        is(member, &NAMES) && forms.values.iter().any(is_subject)
    };
    let is_about_subject = members.iter().any(names_subject);
    let removed = members.iter().filter(|member| {
        names_subject(member)
            || (is_about_subject && is(member, &BELONGINGS))
            || (is(member, &FREE_TEXTS) && mentions(text(member), forms))
    });
    let removed: Vec<_> = removed.filter(|member| !text(member).is_empty()).cloned().collect();
    for member in &removed {
        member.remove_from(line);
    }
    !removed.is_empty()
}

/// Excludes most lines that do not contain the subject. A line that was cut can end within it.
fn may_contain(line: &[u8], forms: &SubjectForms) -> bool {
    let is_cut = !line.ends_with(b"}\n");
    is_cut || line.contains(&b'%') || forms.values.iter().any(|form| find(line, form))
}

fn find(line: &[u8], text: &[u8]) -> bool {
    !text.is_empty() && line.windows(text.len()).any(|window| window == text)
}

/// Returns whether a text contains the subject as a word, also with percent-encoding.
fn mentions(text: &[u8], forms: &SubjectForms) -> bool {
    forms.values.iter().any(|form| has_word(text, form))
        || has_word(&percent_decoded(text), &forms.text)
}

fn has_word(text: &[u8], word: &[u8]) -> bool {
    let is_boundary = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    !word.is_empty()
        && text.windows(word.len()).enumerate().any(|(start, window)| {
            window == word
                && is_boundary(start.checked_sub(1).and_then(|before| text.get(before)))
                && is_boundary(text.get(start + word.len()))
        })
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let byte = match rest {
            [b'%', high, low, ..] => digit(high).zip(digit(low)),
            _ => None,
        };
        match byte.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

/// A member of a line whose value is a text.
#[derive(Clone, Debug)]
struct Member {
    name: Range<usize>,
    /// Without its quotes.
    text: Range<usize>,
    /// Whether the line does not end within the text.
    is_complete: bool,
}

impl Member {
    /// Makes the text empty. The closing quote moves to the front, followed by spaces.
    fn remove_from(&self, line: &mut [u8]) {
        let end = self.text.end + usize::from(self.is_complete);
        if let Some(place) = line.get_mut(self.text.start..end) {
            place.fill(b' ');
            if let (true, Some(first)) = (self.is_complete, place.first_mut()) {
                *first = b'"';
            }
        }
    }
}

/// Finds the members of a line that this crate has written, as far as it is complete.
struct Members<'a> {
    line: &'a [u8],
    position: usize,
}

impl Members<'_> {
    /// Skips a string that starts here. Returns its content, and whether it has an end.
    fn string(&mut self) -> (Range<usize>, bool) {
        let start = self.position + 1;
        let mut is_escaped = false;
        for (index, byte) in self.line.iter().enumerate().skip(start) {
            match byte {
                b'\n' => break,
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => {
                    self.position = index + 1;
                    return (start..index, true);
                }
                _ => {}
            }
        }
        let has_line_feed = self.line.last() == Some(&b'\n');
        self.position = self.line.len();
        (start..self.line.len() - usize::from(has_line_feed), false)
    }

    /// Skips everything up to the next string.
    fn next_string(&mut self) -> Option<(Range<usize>, bool)> {
        let rest = self.line.get(self.position..)?;
        self.position += rest.iter().position(|byte| *byte == b'"')?;
        Some(self.string())
    }
}

impl Iterator for Members<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        let (mut name, _) = self.next_string()?;
        loop {
            match self.line.get(self.position..)? {
                [b':', b'"', ..] => {
                    self.position += 1;
                    let (text, is_complete) = self.string();
                    return Some(Member { name, text, is_complete });
                }
                // The value is a number or a list, or this was an element of a list.
                _ => (name, _) = self.next_string()?,
            }
        }
    }
}

#[cfg(test)]
#[path = "forget_tests.rs"]
mod tests;
