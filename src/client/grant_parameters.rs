use crate::one_or_many::OneOrMany;

/// The parameters that each request of a grant has.
#[derive(Clone, Debug)]
pub(super) struct GrantParameters(Vec<(&'static str, String)>);

impl GrantParameters {
    pub(super) fn new(grant_type: &str) -> Self {
        Self(vec![("grant_type", grant_type.to_owned())])
    }

    pub(super) fn set_scopes<K>(&mut self, scopes: impl OneOrMany<str, K>) {
        let scopes: Vec<_> = scopes.values().map(|scope| scope.as_ref().to_owned()).collect();
        let scopes = scopes.join(" ");
        self.0.retain(|(name, _)| *name != "scope");
        if !scopes.is_empty() {
            self.add("scope", scopes);
        }
    }

    pub(super) fn add<K>(&mut self, name: &'static str, values: impl OneOrMany<str, K>) {
        self.0.extend(values.values().map(|value| (name, value.as_ref().to_owned())));
    }

    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_scope_is_sent_without_scopes() {
        let mut parameters = GrantParameters::new("client_credentials");
        parameters.set_scopes(["orders:read", "stock"]);
        let grant = ("grant_type", "client_credentials");
        assert_eq!(parameters.pairs(), [grant, ("scope", "orders:read stock")]);
        parameters.set_scopes([""; 0]);
        assert_eq!(parameters.pairs(), [grant]);
        parameters.set_scopes("");
        assert_eq!(parameters.pairs(), [grant]);
    }
}
