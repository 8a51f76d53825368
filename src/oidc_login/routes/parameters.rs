use std::borrow::Cow;

/// The parameters of a query or a form. Only those that are read are kept.
pub(super) struct Parameters<const N: usize>([Parameter; N]);

#[derive(Clone, Default)]
enum Parameter {
    #[default]
    Missing,
    One(String),
    Repeated,
}

impl<const N: usize> Parameters<N> {
    /// Reads the parameters with these names. All others are ignored.
    pub(super) fn parse(text: &[u8], names: [&str; N]) -> Self {
        let mut parameters = std::array::from_fn(|_| Parameter::Missing);
        for (name, value) in form_urlencoded::parse(text) {
            let position = names.iter().position(|known| *known == name);
            if let Some(parameter) = position.and_then(|at| parameters.get_mut(at)) {
                *parameter = parameter.with(value);
            }
        }
        Self(parameters)
    }

    /// Returns the values in the order of the names. A repeated parameter counts as missing.
    pub(super) fn lenient(self) -> [Option<String>; N] {
        self.0.map(|parameter| match parameter {
            Parameter::One(value) => Some(value),
            Parameter::Missing | Parameter::Repeated => None,
        })
    }

    /// Returns the values in the order of the names, or `None` if a parameter is repeated.
    pub(super) fn strict(self) -> Option<[Option<String>; N]> {
        let is_repeated = |parameter: &Parameter| matches!(parameter, Parameter::Repeated);
        (!self.0.iter().any(is_repeated)).then(|| self.lenient())
    }
}

impl Parameter {
    /// Returns the parameter with one more value. An empty value counts as missing (RFC 6749
    /// §3.1).
    fn with(&self, value: Cow<'_, str>) -> Self {
        match self {
            _ if value.is_empty() => self.clone(),
            Self::Missing => Self::One(value.into_owned()),
            Self::One(_) | Self::Repeated => Self::Repeated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parameters<2> {
        Parameters::parse(text.as_bytes(), ["code", "state"])
    }

    #[test]
    fn known_parameters_are_decoded_and_others_are_ignored() {
        let read = parse("state=a%2Bb+c&session_state=x&x=&code=1&session_state=y").strict();
        assert_eq!(read, Some([Some("1".to_owned()), Some("a+b c".to_owned())]));
        assert_eq!(parse("").strict(), Some([None, None]));
        assert_eq!(parse("code=&state").strict(), Some([None, None]));
        assert_eq!(parse("code=&code=1").strict(), Some([Some("1".to_owned()), None]));
    }

    #[test]
    fn repeated_parameter_is_rejected_or_counts_as_missing() {
        for repeated in ["code=1&code=1", "code=1&state=s&code=2&code=3", "c%6fde=1&code=2"] {
            assert_eq!(parse(repeated).strict(), None, "{repeated}");
            assert_eq!(parse(repeated).lenient()[0], None, "{repeated}");
        }
    }
}
