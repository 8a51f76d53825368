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
        self.0.retain(|(name, _)| *name != "scope");
        self.add("scope", scopes.join(" "));
    }

    pub(super) fn add<K>(&mut self, name: &'static str, values: impl OneOrMany<str, K>) {
        self.0.extend(values.values().map(|value| (name, value.as_ref().to_owned())));
    }

    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}
