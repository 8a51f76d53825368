use std::fmt;

use http::request::Parts;

use super::{
    denial::Denial,
    describe::policy_layer,
    policy::{And, Not, Or, Policy},
    requirements::Requirements,
};
use crate::principal::Principal;

impl<A: Policy, B: Policy> Policy for And<A, B> {
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        match self.0.evaluate(principal, head) {
            Ok(()) => {
                let second = self.1.evaluate(principal, head);
                second.map_err(|denial| denial.with_requirements(self.0.requirements(head)))
            }
            Err(denial) if denial.is_final() => Err(denial),
            Err(denial) => Err(match self.1.evaluate(principal, head) {
                Ok(()) => denial.with_requirements(self.1.requirements(head)),
                Err(other) => denial.and(other),
            }),
        }
    }

    fn requirements(&self, head: &Parts) -> Requirements {
        self.0.requirements(head).and(self.1.requirements(head))
    }

    fn is_public(&self, head: &Parts) -> bool {
        self.0.is_public(head) && self.1.is_public(head)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_pair(&self.0, "and", &self.1, f)
    }
}

impl<A: Policy, B: Policy> Policy for Or<A, B> {
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        let Err(denial) = self.0.evaluate(principal, head) else { return Ok(()) };
        self.1.evaluate(principal, head).map_err(|other| denial.or(other))
    }

    fn requirements(&self, head: &Parts) -> Requirements {
        self.0.requirements(head).or(self.1.requirements(head))
    }

    fn is_public(&self, head: &Parts) -> bool {
        self.0.is_public(head) || self.1.is_public(head)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_pair(&self.0, "or", &self.1, f)
    }
}

impl<A: Policy> Policy for Not<A> {
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        match self.0.evaluate(principal, head) {
            Ok(()) => Err(Denial::forbidden()),
            Err(denial) if denial.is_invertible() => Ok(()),
            Err(denial) => Err(denial),
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not ")?;
        self.0.describe(f)
    }
}

policy_layer!(And<A, B>, A, B);
policy_layer!(Or<A, B>, A, B);
policy_layer!(Not<A>, A);

fn describe_pair<A, B>(
    first: &A,
    operator: &str,
    second: &B,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result
where
    A: Policy,
    B: Policy,
{
    f.write_str("(")?;
    first.describe(f)?;
    write!(f, " {operator} ")?;
    second.describe(f)?;
    f.write_str(")")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorize::policies::{public::public, scopes::RequireScopes};

    #[test]
    fn combination_is_public_only_if_no_branch_needs_a_caller() {
        let head = http::Request::new(()).into_parts().0;
        let admin = || RequireScopes::all(["admin"]);
        assert!(public().and(public()).is_public(&head));
        assert!(public().or(admin()).is_public(&head) && admin().or(public()).is_public(&head));
        for closed in [
            Box::new(public().and(admin())) as Box<dyn Policy>,
            Box::new(admin().and(public())),
            Box::new(admin().or(admin())),
            Box::new(public().not()),
            Box::new(admin().not()),
            Box::new(public().not().not()),
        ] {
            assert!(!closed.is_public(&head));
        }
    }
}
