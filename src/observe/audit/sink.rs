use std::io::{self, ErrorKind, Write};

use super::{date::Day, directory::Directory};

/// Where lines are written.
pub(super) enum Sink {
    Directory(Directory),
    Writer(Box<dyn Write + Send>),
}

impl Sink {
    /// Prepares to write lines of this day. Returns whether they go to a new file.
    pub(super) fn select(&mut self, day: Day) -> io::Result<bool> {
        match self {
            Self::Directory(directory) => directory.select(day),
            Self::Writer(_) => Ok(false),
        }
    }

    /// Returns whether lines of this day go to the same file as those of `selected`.
    pub(super) fn is_same_file(&self, selected: Day, day: Day) -> bool {
        match self {
            Self::Directory(_) => Directory::is_same_file(selected, day),
            Self::Writer(_) => true,
        }
    }

    /// Writes the text. Returns how much of it was written, and the error if that is not all.
    pub(super) fn write(&mut self, text: &[u8]) -> (usize, io::Result<()>) {
        let writer: &mut dyn Write = match self {
            Self::Directory(directory) => match directory.file() {
                Ok(file) => file,
                Err(error) => return (0, Err(error)),
            },
            Self::Writer(writer) => writer,
        };
        let mut written = 0;
        while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
            match writer.write(rest) {
                Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
                Ok(count) => written += count.min(rest.len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    /// Makes sure that what was written survives a crash, as far as the sink can do that.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::Directory(directory) => directory.sync(),
            Self::Writer(writer) => writer.flush(),
        }
    }
}
