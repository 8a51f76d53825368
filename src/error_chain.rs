use std::{error::Error, fmt};

/// Writes `message`, followed by all causes of `error`, on one line.
pub(crate) fn with_causes(
    message: &str,
    error: &dyn Error,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    f.write_str(message)?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}
