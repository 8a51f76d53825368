use std::{error::Error, fmt};

/// Displays an error and all its causes on one line.
#[cfg(any(feature = "audit", feature = "tracing"))]
pub(crate) struct ErrorChain<'a>(pub(crate) &'a (dyn Error + 'static));

#[cfg(any(feature = "audit", feature = "tracing"))]
impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        write_causes(self.0, f)
    }
}

/// Writes `message`, and for `{:#}` also all causes of `error`, on one line.
pub(crate) fn write_message(
    message: &str,
    error: &dyn Error,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    f.write_str(message)?;
    if f.alternate() { write_causes(error, f) } else { Ok(()) }
}

fn write_causes(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}
